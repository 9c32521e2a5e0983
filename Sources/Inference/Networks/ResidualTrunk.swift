// SPDX-License-Identifier: Apache-2.0
//
// The levels of training/networks/residual_unet.py's U-Nets, down and up again, with the same tensor names. Left out:
// the head.

/// Encoder and decoder of a residual U-Net: what it has in common with an image encoder made of the same levels.
struct ResidualTrunk {
    /// Channels of the decoder's last level.
    let outputs: Int
    private let encoder: [EncoderLevel]
    private let decoder: [DecoderLevel]

    /// - Parameters:
    ///   - prefix: of all names of tensors.
    ///   - architecture: checked.
    /// - Throws: `WeightFileError` that names the tensor, `ComputeError`.
    init(
        _ weights: SafeTensors, prefix: String = "", architecture: ResidualUNet.Architecture, precision: Precision
    ) throws {
        let builder = Builder(weights: weights, prefix: prefix, architecture: architecture, precision: precision)
        let (widths, levels) = (architecture.widths, architecture.widths.count)
        let inputs = [architecture.channels] + widths.dropLast()
        encoder = try widths.indices.map { level in
            let name = "encoder.\(level)"
            return EncoderLevel(
                down: try builder.convolution(
                    "\(name).down", inputs[level], widths[level],
                    kernel: level == 0 ? architecture.stemKernel : architecture.downKernel, stride: 2, activates: true),
                blocks: try builder.blocks(name, architecture.encoderBlocks[level], width: widths[level]))
        }
        decoder = try architecture.decoderBlocks.indices.map { step in
            let (from, to) = (widths[levels - 1 - step], widths[levels - 2 - step])
            let name = "decoder.\(step)"
            return DecoderLevel(
                project: try builder.project("\(name).project", from, to),
                blocks: try builder.blocks(name, architecture.decoderBlocks[step], width: to))
        }
        outputs = widths[levels - 1 - architecture.decoderBlocks.count]
    }

    /// - Parameters:
    ///   - input: `[batch, (depth,) height, width, channels]`, extents multiples of the architecture's `totalStride`.
    ///   - onStage: called with every stage's name in the reference and its output.
    /// - Returns: the decoder's last level.
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

/// A convolution and its norm, if it has one of its own; with an activation, and a summand before it, when asked for.
private struct ConvolutionNorm {
    let convolution: Convolution
    let norm: InstanceNorm?

    func callAsFunction(_ input: Tensor) throws(ComputeError) -> Tensor {
        var output = try convolution(input)
        try norm?.apply(to: &output)
        return output
    }

    /// activation(norm(convolution(input)) + summand), in the summand's place.
    func callAsFunction(_ input: Tensor, addingTo summand: inout Tensor) throws(ComputeError) {
        guard let norm else { return try convolution(input, addingTo: &summand) }
        var output = try convolution(input)
        try norm.apply(to: &output, adding: summand)
        summand = output
    }
}

private struct Block {
    let a: ConvolutionNorm
    let b: ConvolutionNorm

    func apply(to x: inout Tensor) throws(ComputeError) { try b(a(x), addingTo: &x) }
}

private struct EncoderLevel {
    let down: ConvolutionNorm
    let blocks: [Block]

    func callAsFunction(_ input: Tensor) throws(ComputeError) -> Tensor {
        var x = try down(input)
        for block in blocks { try block.apply(to: &x) }
        return x
    }
}

private struct DecoderLevel {
    let project: (product: PointwiseProduct, norm: InstanceNorm?)
    let blocks: [Block]

    func callAsFunction(_ input: Tensor, onto skip: consuming Tensor) throws(ComputeError) -> Tensor {
        var projected = project.product(input)
        try project.norm?.apply(to: &projected)
        var x = skip
        try x.addUpsampled(projected, by: 2)
        for block in blocks { try block.apply(to: &x) }
        return x
    }
}

/// Finds layers in a file by their names in the reference.
private struct Builder {
    let weights: SafeTensors
    /// Stands before every name.
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

    func blocks(_ name: String, _ count: Int, width: Int) throws -> [Block] {
        try (0..<count).map { index in
            let name = "\(name).blocks.\(index)"
            return Block(
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
