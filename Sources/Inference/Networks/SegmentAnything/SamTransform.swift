// SPDX-License-Identifier: Apache-2.0
//
// The geometry of segment_anything/utils/transforms.py (`ResizeLongestSide`) and of `Sam.postprocess_masks`: the longest
// side becomes the network's input size, the rest is padded right and below.

internal import CKernels

/// Between an image and the network's input, for the recipes that keep the aspect ratio.
public struct SamTransform: Sendable, Hashable {
    /// Of the image.
    public let height: Int
    public let width: Int
    /// Of the image within the network's input; the rest is padding.
    public let resizedHeight: Int
    public let resizedWidth: Int
    /// Height and width of the network's input.
    public let inputSize: Int

    public init(height: Int, width: Int, inputSize: Int) {
        precondition(height > 0 && width > 0 && inputSize > 0, "an image has extent")
        self.height = height
        self.width = width
        self.inputSize = inputSize
        let scale = Double(inputSize) / Double(max(height, width))
        // A side that would vanish keeps one pixel.
        resizedHeight = max(1, Int(Double(height) * scale + 0.5))
        resizedWidth = max(1, Int(Double(width) * scale + 0.5))
    }

    /// From pixels of the image to pixels of the input.
    public func input(x: Double, y: Double) -> (x: Float, y: Float) {
        (
            Float(x * (Double(resizedWidth) / Double(width))),
            Float(y * (Double(resizedHeight) / Double(height)))
        )
    }

    public func inputBox(x0: Double, y0: Double, x1: Double, y1: Double) -> PromptBox {
        let (first, last) = (input(x: x0, y: y0), input(x: x1, y: y1))
        return PromptBox(x0: first.x, y0: first.y, x1: last.x, y1: last.y)
    }

    /// Logits in the image's size, `[masks, height, width]`, from low-resolution ones, `[masks, size, size]`: enlarged to
    /// the input's size, without the padding, resized to the image's; bilinear, `align_corners=False`, no antialiasing.
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

    /// As `imageLogits`, for one mask of an answer: `[height * width]`.
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

/// torch's bilinear `interpolate` along one axis (`align_corners=False`, no antialiasing), and what such steps in a row
/// come to: output i is the sum of `counts[i]` samples from `firsts[i]` on.
struct BilinearMatrix {
    let inputCount: Int
    private var firsts: [Int32]
    private var counts: [Int32]
    private var weights: [[Float]]

    init(from: Int, to: Int) {
        inputCount = from
        (firsts, counts, weights) = ([], [], [])
        // In fp32, as torch places its samples.
        let scale = Float(from) / Float(to)
        for i in 0..<to {
            let place = from == to ? Float(i) : max(0, scale * (Float(i) + 0.5) - 0.5)
            let first = min(Int(place), from - 1)
            let share = min(max(place - Float(first), 0), 1)
            let alone = first == from - 1 || share == 0
            firsts.append(Int32(first))
            counts.append(alone ? 1 : 2)
            weights.append(alone ? [1] : [1 - share, share])
        }
    }

    var outputCount: Int { firsts.count }

    /// The first `count` outputs.
    func cropped(to count: Int) -> BilinearMatrix {
        var part = self
        part.firsts = Array(firsts.prefix(count))
        part.counts = Array(counts.prefix(count))
        part.weights = Array(weights.prefix(count))
        return part
    }

    /// This matrix, then `next`.
    func followed(by next: BilinearMatrix) -> BilinearMatrix {
        precondition(next.inputCount == outputCount, "the matrices fit")
        var product = self
        (product.firsts, product.counts, product.weights) = ([], [], [])
        for i in 0..<next.outputCount {
            let samples = Int(next.firsts[i])..<Int(next.firsts[i] + next.counts[i])
            let first = samples.map { firsts[$0] }.min() ?? 0
            let end = samples.map { firsts[$0] + counts[$0] }.max() ?? 0
            var row = [Float](repeating: 0, count: Int(end - first))
            for (sample, share) in zip(samples, next.weights[i]) {
                for (offset, weight) in weights[sample].enumerated() {
                    row[Int(firsts[sample] - first) + offset] += share * weight
                }
            }
            product.firsts.append(first)
            product.counts.append(end - first)
            product.weights.append(row)
        }
        return product
    }

    /// Resamples the middle axis of `[outer, inputCount, inner]`.
    func apply(outer: Int, inner: Int, _ input: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>?) {
        let stride = weights.map(\.count).max() ?? 1
        let flat = weights.flatMap { $0 + [Float](repeating: 0, count: stride - $0.count) }
        ck_resample(
            Int64(outer), Int64(inputCount), Int64(outputCount), Int64(inner), firsts, counts, flat, Int64(stride),
            input,
            output)
    }
}
