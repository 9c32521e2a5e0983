// SPDX-License-Identifier: Apache-2.0

/// The features of one image or frame, channels last.
public struct FrameFeatures: Sendable, Hashable {
    /// The image embedding before any memory is added, `[1, grid, grid, channels]`: the level of stride 16.
    public var vision: Tensor
    /// The level of stride 8 for the mask decoder, `[1, 2 * grid, 2 * grid, channels / 4]`.
    public var s1: Tensor
    /// The level of stride 4 for the mask decoder, `[1, 4 * grid, 4 * grid, channels / 8]`.
    public var s0: Tensor

    /// Creates features.
    public init(vision: Tensor, s1: Tensor, s0: Tensor) {
        self.vision = vision
        self.s1 = s1
        self.s0 = s0
    }
}

/// The image encoder of a network of SAM 2's structure: a trunk of four levels and `FeaturePyramid`.
protocol FrameEncoder: AnyObject {
    /// Height and width of the input.
    var inputSize: Int { get }
    /// The number of channels of the image embedding.
    var channels: Int { get }

    /// Computes the features of one image.
    ///
    /// - Parameters:
    ///   - input: `[inputSize, inputSize, 3]`.
    ///   - stopwatch: measures the layers if the caller wants their times.
    ///   - onStage: receives `trunk.0` to `trunk.3`, from fine to coarse, and the output of that level, channels last.
    /// - Returns: the features.
    /// - Throws: `ComputeError`.
    func encode(
        _ input: UnsafePointer<Float>, _ stopwatch: Stopwatch, onStage: ((String, Tensor) -> Void)?
    ) throws -> FrameFeatures
}

extension FrameEncoder {
    /// Height and width of the image embedding.
    var embeddingSize: Int { inputSize / 16 }
}
