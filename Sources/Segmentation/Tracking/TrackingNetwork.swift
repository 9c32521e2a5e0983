// SPDX-License-Identifier: Apache-2.0
//
// The input of networks that track, one slice or frame at a time:
//
// - SAM 2 (load_video_frames of sam2/utils/misc.py): Pillow's bicubic to a square, divided by 255, minus ImageNet's
//   mean, divided by its deviation, in fp32.
// - MedSAM2 (medsam2_infer_3D_CT.py): the same in fp64, with mean and deviation rounded to fp32 before.
// - medsam2-compact (training/recipes/medsam2_compact.py): training/recipes/resize.py to a square, without rounding.

internal import Imaging
package import Inference

/// A network of the SAM 2 family with its family's input and output.
struct TrackingNetwork {
    let network: SegmentAnything2
    let family: ModelFamily

    /// Packs verified weights.
    ///
    /// - Throws: `WeightFileError` or `ComputeError`.
    init(_ family: ModelFamily, _ weights: RecipeWeights) throws {
        self.family = family
        network = try SegmentAnything2(weights.tensors, family: family, precision: weights.precision)
    }

    /// The place of an image's pixels in the network's input.
    func grid(rows: Int, columns: Int) -> InputGrid {
        InputGrid(rows: rows, columns: columns, family: family, size: network.inputSize)
    }

    /// A slice or frame as the network's input, `[1, size, size, 3]`.
    func input(_ image: ByteImage) -> Tensor {
        SequenceInput.input(image, family: family, size: network.inputSize)
    }

    /// The answer on the image's grid.
    ///
    /// - Parameters:
    ///   - frame: the network's answer.
    ///   - grid: the mapping from the image to the network's input.
    /// - Returns: an empty answer if the network says that the object is absent.
    func answer(_ frame: TrackedFrame, on grid: InputGrid) -> ImageAnswer {
        guard frame.objectScore > 0 else { return ImageAnswer(rows: grid.rows, columns: grid.columns) }
        return ImageAnswer(
            PromptAnswer(logits: frame.logits, predictedIoU: [frame.predictedIoU]), mask: 0, on: grid)
    }
}

/// The input of networks that track.
package enum SequenceInput {
    /// Prepares a slice or frame as the family's reference does.
    ///
    /// - Parameters:
    ///   - image: 1 or 3 channels.
    ///   - family: a family of networks that track.
    ///   - size: height and width of the network's input.
    /// - Returns: `[1, size, size, 3]`.
    package static func input(_ image: ByteImage, family: ModelFamily, size: Int) -> Tensor {
        guard family != .medsam2Compact else { return PreparedImage(image, family: family, size: size).input }
        // Grey is repeated after the resize, which then runs on one channel.
        let resized = PillowResize.resize(image, rows: size, columns: size, filter: .bicubic).colour
        let table = (0..<3).map { channel in (0...255).map { normalised($0, channel, family) } }
        var values = [Float]()
        values.reserveCapacity(resized.values.count)
        for start in stride(from: 0, to: resized.values.count, by: 3) {
            for channel in 0..<3 { values.append(table[channel][Int(resized.values[start + channel])]) }
        }
        return Tensor(shape: [1, size, size, 3], values: values)
    }

    /// ImageNet's mean for values of 0...1, by channel.
    private static let mean: [Float] = [0.485, 0.456, 0.406]
    /// ImageNet's standard deviation for values of 0...1, by channel.
    private static let deviation: [Float] = [0.229, 0.224, 0.225]

    private static func normalised(_ byte: Int, _ channel: Int, _ family: ModelFamily) -> Float {
        guard family == .medsam2 else { return (Float(Double(byte) / 255) - mean[channel]) / deviation[channel] }
        return Float((Double(byte) / 255 - Double(mean[channel])) / Double(deviation[channel]))
    }
}
