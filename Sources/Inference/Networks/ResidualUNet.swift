// SPDX-License-Identifier: Apache-2.0
//
// The compact residual U-Net of training/networks.py, over two or three axes, with the same tensor names. After
// Ronneberger 2015 (U-Net), He 2016 (residual blocks) and Isensee 2021 (instance norm and leaky ReLU in 3D). Left out:
// batch norms, which are folded into the convolutions of a file.

internal import Foundation

/// `training/networks.py`'s `UNet`, from a file whose metadata describes it.
public final class ResidualUNet {
    /// The fields of `networks.Architecture`, under its names.
    public struct Architecture: Sendable, Hashable, Decodable {
        public var axes: Int
        public var channels: Int
        public var widths: [Int]
        public var encoderBlocks: [Int]
        public var decoderBlocks: [Int]
        public var stemKernel: Int
        public var downKernel: Int
        /// `none` (folded) or `instance`.
        public var norm: String
        public var negativeSlope: Float

        enum CodingKeys: String, CodingKey {
            case axes, channels, widths, norm
            case encoderBlocks = "encoder_blocks"
            case decoderBlocks = "decoder_blocks"
            case stemKernel = "stem_kernel"
            case downKernel = "down_kernel"
            case negativeSlope = "negative_slope"
        }

        /// Extents of the input are multiples of this.
        public var totalStride: Int { 1 << widths.count }

        func check() throws(WeightFileError) {
            let all = widths + [channels, stemKernel, downKernel]
            guard axes == 2 || axes == 3, (1...8).contains(widths.count), all.allSatisfy({ (1...4096).contains($0) }),
                encoderBlocks.count == widths.count, (1..<max(widths.count, 2)).contains(decoderBlocks.count),
                (encoderBlocks + decoderBlocks).allSatisfy({ (0...64).contains($0) }),
                norm == "none" || norm == "instance", negativeSlope.isFinite
            else { throw .header(reason: "its architecture is not one of training/networks.py") }
        }
    }

    public let architecture: Architecture
    private let encoder: [EncoderLevel]
    private let decoder: [DecoderLevel]
    private let head: PointwiseProduct

    /// - Throws: `WeightFileError` when the file holds another network, `ComputeError`.
    public init(_ weights: SafeTensors, precision: Precision) throws {
        struct Facts: Decodable { let architecture: Architecture }
        guard let text = weights.metadata["kontur"],
            let facts = try? JSONDecoder().decode(Facts.self, from: Data(text.utf8))
        else { throw WeightFileError.header(reason: "its metadata has no architecture under \"kontur\"") }
        let arch = facts.architecture
        try arch.check()
        architecture = arch
        let builder = Builder(weights: weights, architecture: arch, precision: precision)
        let inputs = [arch.channels] + arch.widths.dropLast()
        encoder = try arch.widths.indices.map { level in
            let name = "encoder.\(level)"
            return EncoderLevel(
                down: try builder.convolution(
                    "\(name).down", inputs[level], arch.widths[level],
                    kernel: level == 0 ? arch.stemKernel : arch.downKernel, stride: 2, activates: true),
                blocks: try builder.blocks(name, arch.encoderBlocks[level], width: arch.widths[level]))
        }
        let levels = arch.widths.count
        decoder = try arch.decoderBlocks.indices.map { step in
            let (from, to) = (arch.widths[levels - 1 - step], arch.widths[levels - 2 - step])
            let name = "decoder.\(step)"
            return DecoderLevel(
                project: try builder.project("\(name).project", from, to),
                blocks: try builder.blocks(name, arch.decoderBlocks[step], width: to))
        }
        let width = arch.widths[levels - 1 - arch.decoderBlocks.count]
        head = PointwiseProduct(
            weight: try weights.tensor("head.weight", shape: [1, width] + builder.ones),
            bias: try weights.tensor("head.bias", shape: [1]))
    }

    /// - Parameters:
    ///   - input: `[batch, (depth,) height, width, channels]`, extents multiples of `totalStride`.
    ///   - onStage: called with every stage's name in the reference and its output.
    /// - Returns: logits, `[batch, (depth,) height, width, 1]`.
    /// - Throws: `ComputeError`.
    public func callAsFunction(
        _ input: Tensor, onStage: ((String, Tensor) -> Void)? = nil
    ) throws(ComputeError) -> Tensor {
        precondition(input.shape.count == architecture.axes + 2 && input.channels == architecture.channels)
        precondition(input.size.allSatisfy { $0 % architecture.totalStride == 0 }, "extents are padded")
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
        skips = []
        x = head(x)
        onStage?("head", x)
        let logits = try x.upsampled(by: input.size[0] / x.size[0])
        onStage?("logits", logits)
        return logits
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
    let architecture: ResidualUNet.Architecture
    let precision: Precision

    var ones: [Int] { [Int](repeating: 1, count: architecture.axes) }
    private var normalises: Bool { architecture.norm == "instance" }

    func convolution(
        _ name: String, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int, adds: Bool = false, activates: Bool
    ) throws -> ConvolutionNorm {
        let slope = activates ? architecture.negativeSlope : 1
        let weight = try weights.tensor(
            "\(name).conv.weight", shape: [outputs, inputs] + [Int](repeating: kernel, count: architecture.axes))
        let convolution = try Convolution(
            weight: weight, bias: normalises ? nil : try weights.tensor("\(name).conv.bias", shape: [outputs]),
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
        let weight = try weights.tensor("\(name).conv.weight", shape: [outputs, inputs] + ones)
        let bias = normalises ? nil : try weights.tensor("\(name).conv.bias", shape: [outputs])
        return (PointwiseProduct(weight: weight, bias: bias), try norm(name, outputs, 1))
    }

    private func norm(_ name: String, _ width: Int, _ slope: Float) throws -> InstanceNorm? {
        guard normalises else { return nil }
        return InstanceNorm(
            scale: try weights.tensor("\(name).norm.weight", shape: [width]),
            shift: try weights.tensor("\(name).norm.bias", shape: [width]), negativeSlope: slope)
    }
}
