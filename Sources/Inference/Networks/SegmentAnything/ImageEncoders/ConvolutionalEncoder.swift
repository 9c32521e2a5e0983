// SPDX-License-Identifier: Apache-2.0
//
// medsam-compact's image encoder (training/networks/promptable.py), with its tensor names. It consists of
// the residual U-Net levels of training/networks/residual_unet.py, down and up again, and a neck that also reads
// the fine output of an early level. Norms are folded into the convolutions. All sizes except the
// input's follow from the shapes of the tensors.

/// A convolutional image encoder: computes `[size / 8, size / 8, 256]` from `[size, size, 3]`.
final class ConvolutionalEncoder: ImageEncoder {
    let inputSize: Int
    let embeddingSize: Int
    let channels: Int

    private let trunk: ResidualTrunk
    /// A strided convolution of the fine stage, whose output has the extents of the embedding.
    private let fine: Convolution
    private let narrow: Convolution
    private let norm: LayerNorm

    static let name = "image_encoder"
    /// A tensor that only this encoder has.
    static let firstTensor = "\(name).encoder.0.down.conv.weight"
    private static let fineStage = "encoder.1"

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - inputSize: height and width of the input; it does not follow from the tensors.
    ///   - precision: the number format of the convolutions.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, inputSize: Int, precision: Precision) throws {
        let architecture = try ResidualUNet.Architecture(of: weights, prefix: "\(Self.name).")
        try architecture.check()
        let levels = architecture.widths.count
        // The fine stage has twice the extents of the embedding.
        guard levels - architecture.decoderBlocks.count == 3 else {
            throw WeightFileError.tensor(Self.firstTensor, reason: "the embedding is not an eighth of the input")
        }
        guard inputSize > 0, inputSize % architecture.totalStride == 0, architecture.channels == 3 else {
            let reason = "an input of \(inputSize) x \(inputSize) x 3 does not fit its levels"
            throw WeightFileError.tensor(Self.firstTensor, reason: reason)
        }
        self.inputSize = inputSize
        embeddingSize = inputSize / 8
        trunk = try ResidualTrunk(
            weights, prefix: "\(Self.name).", architecture: architecture, precision: precision)
        channels = try weights.shape("\(Self.name).neck.0.weight", axes: 4)[0]
        fine = try Convolution(
            weight: weights.tensor("\(Self.name).fine.weight", shape: [channels, architecture.widths[1], 2, 2]),
            bias: nil, stride: 2, precision: precision)
        narrow = try Convolution(
            weight: weights.tensor("\(Self.name).neck.0.weight", shape: [channels, trunk.outputs, 1, 1]), bias: nil,
            adds: true, precision: precision)
        norm = try weights.layerNorm("\(Self.name).neck.1", channels, epsilon: 1e-6)
    }

    func embed(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, _ stopwatch: Stopwatch,
        onStage: ((String, Tensor) -> Void)?
    ) throws {
        let image = Tensor(copying: input, shape: [1, inputSize, inputSize, 3])
        var (edges, x) = (image, image)
        try stopwatch.measure(.convolution) {
            x = try trunk(image) { name, tensor in
                if name == Self.fineStage { edges = tensor }
                onStage?(name, tensor)
            }
        }
        try stopwatch.measure(.neck) {
            var embedding = try fine(edges)
            onStage?("fine", embedding)
            try narrow(x, addingTo: &embedding)
            embedding.values.withUnsafeBufferPointer { values in
                // The embedding has values, so its buffer has an address.
                guard let base = values.baseAddress else { return }
                norm.apply(rows: embeddingSize * embeddingSize, base, to: UnsafeMutableRawPointer(output))
            }
        }
    }
}
