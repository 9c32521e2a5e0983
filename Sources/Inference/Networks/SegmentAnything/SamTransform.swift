// SPDX-License-Identifier: Apache-2.0
//
// The geometry of segment_anything/utils/transforms.py (`ResizeLongestSide`) and of
// `Sam.postprocess_masks`. The longest side of the image is resized to the network's input size,
// and the rest of the input is padding on the right and below.

/// The transform between an image and the network's input that keeps the aspect ratio.
public struct SamTransform: Sendable, Hashable {
    /// Height of the image in pixels.
    public let height: Int
    /// Width of the image in pixels.
    public let width: Int
    /// Height of the image within the network's input; the rest is padding.
    public let resizedHeight: Int
    /// Width of the image within the network's input; the rest is padding.
    public let resizedWidth: Int
    /// Height and width of the network's input.
    public let inputSize: Int

    /// Creates the transform of an image with at least one pixel.
    public init(height: Int, width: Int, inputSize: Int) {
        precondition(height > 0 && width > 0 && inputSize > 0, "an image has extent")
        self.height = height
        self.width = width
        self.inputSize = inputSize
        let scale = Double(inputSize) / Double(max(height, width))
        // The reference rounds the short side of a very long image to 0 and fails. Here it keeps
        // one pixel.
        resizedHeight = max(1, Int(Double(height) * scale + 0.5))
        resizedWidth = max(1, Int(Double(width) * scale + 0.5))
    }

    /// Transforms a point from pixels of the image to pixels of the input.
    public func input(x: Double, y: Double) -> (x: Float, y: Float) {
        (
            Float(x * (Double(resizedWidth) / Double(width))),
            Float(y * (Double(resizedHeight) / Double(height)))
        )
    }

    /// Resizes low-resolution logits to the size of the image.
    ///
    /// The logits are enlarged to the size of the input, cropped to the image without its padding,
    /// and resized to the image. Both interpolations are bilinear with `align_corners=False` and
    /// without antialiasing.
    ///
    /// - Parameter logits: `[masks, size, size]`.
    /// - Returns: `[masks, height, width]`.
    public func imageLogits(_ logits: Tensor) -> Tensor {
        let masks = logits.shape[0]
        let (rows, columns) = matrices(size: logits.shape[1])
        var values = [Float]()
        values.reserveCapacity(masks * height * width)
        logits.values.withUnsafeBufferPointer { all in
            let each = all.count / masks
            for mask in 0..<masks {
                values += imageLogits(
                    UnsafeBufferPointer(rebasing: all[mask * each..<(mask + 1) * each]), rows, columns)
            }
        }
        return Tensor(shape: [masks, height, width], values: values)
    }

    /// Resizes the logits of one mask of an answer to the size of the image, `[height * width]`.
    public func imageLogits(_ answer: PromptAnswer, mask: Int) -> [Float] {
        let size = answer.logits.shape[1]
        let (rows, columns) = matrices(size: size)
        return answer.logits.values.withUnsafeBufferPointer { all in
            let chosen = all[mask * size * size..<(mask + 1) * size * size]
            return imageLogits(UnsafeBufferPointer(rebasing: chosen), rows, columns)
        }
    }

    private func matrices(size: Int) -> (rows: BilinearMatrix, columns: BilinearMatrix) {
        let enlarged = BilinearMatrix(from: size, to: inputSize)
        return (
            enlarged.cropped(to: resizedHeight).followed(by: BilinearMatrix(from: resizedHeight, to: height)),
            enlarged.cropped(to: resizedWidth).followed(by: BilinearMatrix(from: resizedWidth, to: width))
        )
    }

    private func imageLogits(
        _ logits: UnsafeBufferPointer<Float>, _ rows: BilinearMatrix, _ columns: BilinearMatrix
    ) -> [Float] {
        let size = rows.inputCount
        let tall = [Float](unsafeUninitializedCapacity: height * size) { buffer, filled in
            rows.apply(outer: 1, inner: size, logits.baseAddress, buffer.baseAddress)
            filled = buffer.count
        }
        return [Float](unsafeUninitializedCapacity: height * width) { buffer, filled in
            columns.apply(outer: height, inner: 1, tall, buffer.baseAddress)
            filled = buffer.count
        }
    }
}
