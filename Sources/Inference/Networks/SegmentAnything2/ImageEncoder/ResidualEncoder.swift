// SPDX-License-Identifier: Apache-2.0
//
// medsam2-compact's image encoder (training/networks/tracker.py), with its tensor names: the residual U-Net levels of
// training/networks/residual_unet.py, down and up again, in the place of Hiera, and SAM 2's feature pyramid.

/// A convolutional image encoder for SAM 2's memory and mask decoder.
final class ResidualEncoder: FrameEncoder {
    let inputSize: Int
    private let trunk: ResidualTrunk
    private let pyramid: FeaturePyramid

    private static let name = "image_encoder.trunk"
    /// A tensor that only this encoder has.
    static let firstTensor = "\(name).encoder.0.down.conv.weight"
    /// The stages of the trunk that take the place of Hiera's, from fine to coarse.
    private static let stages = ["encoder.1", "decoder.1", "decoder.0", "encoder.4"]

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - inputSize: height and width of the input, a multiple of 32; it does not follow from the tensors.
    ///   - precision: the number format of convolutions and products.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, inputSize: Int, precision: Precision) throws {
        let architecture = try ResidualUNet.Architecture(of: weights, prefix: "\(Self.name).")
        try architecture.check()
        guard architecture.widths.count == 5, architecture.decoderBlocks.count == 2, architecture.channels == 3,
            inputSize > 0, inputSize % architecture.totalStride == 0
        else {
            let reason = "a tracker has five levels down and two up, and an input of \(inputSize) x \(inputSize) x 3"
            throw WeightFileError.tensor(Self.firstTensor, reason: reason)
        }
        self.inputSize = inputSize
        trunk = try ResidualTrunk(weights, prefix: "\(Self.name).", architecture: architecture, precision: precision)
        let widths = architecture.widths
        pyramid = try FeaturePyramid(
            weights, widths: [widths[1], widths[2], widths[3], widths[4]], precision: precision)
    }

    var channels: Int { pyramid.channels }

    func encode(
        _ input: UnsafePointer<Float>, _ stopwatch: Stopwatch, onStage: ((String, Tensor) -> Void)?
    ) throws -> FrameFeatures {
        let image = Tensor(copying: input, shape: [1, inputSize, inputSize, 3])
        var outputs = [String: Tensor]()
        try stopwatch.measure(.convolution) { _ = try trunk(image) { outputs[$0] = $1 } }
        var levels = [Tensor]()
        for (level, stage) in Self.stages.enumerated() {
            // The sizes were checked, so the trunk has every stage.
            guard let output = outputs[stage] else { preconditionFailure("the trunk has stage \(stage)") }
            onStage?("trunk.\(level)", output)
            try stopwatch.measure(.neck) {
                try output.values.withUnsafeBufferPointer { values in
                    guard let base = values.baseAddress else { return }
                    levels.append(try pyramid.level(level, base, side: output.shape[1]))
                }
            }
        }
        return pyramid.features(levels)
    }
}
