// SPDX-License-Identifier: Apache-2.0
//
// The encoder and decoder levels of the U-Nets in training/networks/residual_unet.py, with the same tensor names.
// The head of the network is not part of the trunk.

/// The encoder and decoder of a residual U-Net.
///
/// `ResidualUNet` and the image encoder of medsam-compact share it.
struct ResidualTrunk {
    /// The number of channels of the decoder's last level.
    let outputs: Int
    private let encoder: [EncoderLevel]
    private let decoder: [DecoderLevel]

    /// Reads all layers.
    ///
    /// - Parameters:
    ///   - weights: the file that holds the tensors.
    ///   - prefix: the beginning of all tensor names.
    ///   - architecture: the sizes, already checked.
    ///   - precision: the number format of the convolutions.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(
        _ weights: SafeTensors, prefix: String = "", architecture: ResidualUNet.Architecture, precision: Precision
    ) throws {
        let reader = LayerReader(weights: weights, prefix: prefix, architecture: architecture, precision: precision)
        let (widths, levels) = (architecture.widths, architecture.widths.count)
        let inputs = [architecture.channels] + widths.dropLast()
        encoder = try widths.indices.map { level in
            let name = "encoder.\(level)"
            return EncoderLevel(
                down: try reader.convolution(
                    "\(name).down", inputs[level], widths[level],
                    kernel: level == 0 ? architecture.stemKernel : architecture.downKernel, stride: 2, activates: true),
                blocks: try reader.blocks(name, architecture.encoderBlocks[level], width: widths[level]))
        }
        decoder = try architecture.decoderBlocks.indices.map { step in
            let (from, to) = (widths[levels - 1 - step], widths[levels - 2 - step])
            let name = "decoder.\(step)"
            return DecoderLevel(
                project: try reader.project("\(name).project", from, to),
                blocks: try reader.blocks(name, architecture.decoderBlocks[step], width: to))
        }
        outputs = widths[levels - 1 - architecture.decoderBlocks.count]
    }

    /// Runs all levels.
    ///
    /// - Parameters:
    ///   - input: `[batch, (depth,) height, width, channels]`; the extents are multiples of the
    ///     architecture's `totalStride`.
    ///   - onStage: receives the name of every stage in the reference and the output of that stage.
    /// - Returns: the output of the decoder's last level.
    /// - Throws: `ComputeError`.
    func callAsFunction(_ input: Tensor, onStage: ((String, Tensor) -> Void)?) throws(ComputeError) -> Tensor {
        var skips = [Tensor]()
        for (level, stage) in encoder.enumerated() {
            let output = try stage(skips.last ?? input)
            skips.append(output)
            onStage?("encoder.\(level)", output)
        }
        var x = skips.removeLast()
        for (step, stage) in decoder.enumerated() {
            x = try stage(x, onto: skips.removeLast())
            onStage?("decoder.\(step)", x)
        }
        return x
    }
}

/// A convolution and its optional norm, with an optional summand and activation.
private struct ConvolutionNorm {
    let convolution: Convolution
    let norm: InstanceNorm?

    func callAsFunction(_ input: Tensor) throws(ComputeError) -> Tensor {
        var output = try convolution(input)
        try norm?.apply(to: &output)
        return output
    }

    /// Replaces `summand` by activation(norm(convolution(input)) + summand).
    func callAsFunction(_ input: Tensor, addingTo summand: inout Tensor) throws(ComputeError) {
        guard let norm else { return try convolution(input, addingTo: &summand) }
        var output = try convolution(input)
        try norm.apply(to: &output, adding: summand)
        summand = output
    }
}

/// A residual block (He 2016): two convolutions around a residual.
private struct ResidualBlock {
    let a: ConvolutionNorm
    let b: ConvolutionNorm

    func apply(to x: inout Tensor) throws(ComputeError) { try b(a(x), addingTo: &x) }
}

/// A strided convolution and the blocks behind it.
private struct EncoderLevel {
    let down: ConvolutionNorm
    let blocks: [ResidualBlock]

    func callAsFunction(_ input: Tensor) throws(ComputeError) -> Tensor {
        var x = try down(input)
        for block in blocks { try block.apply(to: &x) }
        return x
    }
}

/// A 1 x 1 product that is enlarged onto the skip connection, and the blocks behind it.
private struct DecoderLevel {
    let project: (product: PointwiseProduct, norm: InstanceNorm?)
    let blocks: [ResidualBlock]

    func callAsFunction(_ input: Tensor, onto skip: consuming Tensor) throws(ComputeError) -> Tensor {
        var projected = project.product(input)
        try project.norm?.apply(to: &projected)
        var x = skip
        try x.addUpsampled(projected, by: 2)
        for block in blocks { try block.apply(to: &x) }
        return x
    }
}

/// Reads layers from a file by their names in the reference.
private struct LayerReader {
    let weights: SafeTensors
    /// The beginning of every tensor name.
    let prefix: String
    let architecture: ResidualUNet.Architecture
    let precision: Precision

    private var ones: [Int] { [Int](repeating: 1, count: architecture.axes) }
    private var normalises: Bool { architecture.norm == "instance" }

    func convolution(
        _ name: String, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int, adds: Bool = false, activates: Bool
    ) throws -> ConvolutionNorm {
        let slope = activates ? architecture.negativeSlope : 1
        let weight = try weights.tensor(
            "\(prefix)\(name).conv.weight",
            shape: [outputs, inputs] + [Int](repeating: kernel, count: architecture.axes))
        let convolution = try Convolution(
            weight: weight, bias: normalises ? nil : try weights.tensor("\(prefix)\(name).conv.bias", shape: [outputs]),
            stride: stride, padding: (kernel - 1) / 2, adds: adds && !normalises,
            negativeSlope: normalises ? 1 : slope, precision: precision)
        return ConvolutionNorm(convolution: convolution, norm: try norm(name, outputs, slope))
    }

    func blocks(_ name: String, _ count: Int, width: Int) throws -> [ResidualBlock] {
        try (0..<count).map { index in
            let name = "\(name).blocks.\(index)"
            return ResidualBlock(
                a: try convolution("\(name).a", width, width, kernel: 3, stride: 1, activates: true),
                b: try convolution("\(name).b", width, width, kernel: 3, stride: 1, adds: true, activates: true))
        }
    }

    func project(_ name: String, _ inputs: Int, _ outputs: Int) throws -> (PointwiseProduct, InstanceNorm?) {
        let weight = try weights.tensor("\(prefix)\(name).conv.weight", shape: [outputs, inputs] + ones)
        let bias = normalises ? nil : try weights.tensor("\(prefix)\(name).conv.bias", shape: [outputs])
        return (PointwiseProduct(weight: weight, bias: bias), try norm(name, outputs, 1))
    }

    private func norm(_ name: String, _ width: Int, _ slope: Float) throws -> InstanceNorm? {
        guard normalises else { return nil }
        return InstanceNorm(
            scale: try weights.tensor("\(prefix)\(name).norm.weight", shape: [width]),
            shift: try weights.tensor("\(prefix)\(name).norm.bias", shape: [width]), negativeSlope: slope)
    }
}
