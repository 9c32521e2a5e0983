// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

/// The suites that compute; they run one test after the other, because OpenMP keeps a team for each calling thread.
@Suite(.serialized) struct InferenceSuites {}

extension InferenceSuites {
    /// Compares each layer with PyTorch's.
    ///
    /// Sums of up to 16 x 27 products in another order differ in the last bits. With values of order 10, 1e-5 of the
    /// largest one is about ten units in the last place.
    @Suite struct LayerTests {
        struct Facts: Decodable {
            let kind: String
            var kernel: Int?
            var stride: Int?
            var padding: Int?
            var eps: Float?
            var factor: Int?
            var negative_slope: Float?
        }

        let golden: Golden
        let facts: [String: Facts]

        init() throws {
            try Compute.startWithAnyThreads()
            golden = try Golden("layers")
            facts = try golden.facts([String: Facts].self)
        }

        func tensor(_ name: String) throws -> Tensor { try golden.file.tensor(name) }

        @Test func `every layer of the golden file has the output that PyTorch gives`() throws {
            #expect(facts.count >= 20)
            for (name, layer) in facts.sorted(by: { $0.key < $1.key }) {
                let output = try run(name, layer, precision: .fp32)
                #expect(difference(output, try tensor("\(name).output")) < 1e-5, "\(name)")
            }
        }

        @Test(.needsBF16) func `convolutions in bf16 stay within the rounding of their operands`() throws {
            for (name, layer) in facts.sorted(by: { $0.key < $1.key }) where layer.kind.hasPrefix("conv") {
                let output = try run(name, layer, precision: .bf16)
                // Operands carry 8 bits: 2^-9 each, and rounding errors of a sum mostly cancel.
                #expect(difference(output, try tensor("\(name).output")) < 0.02, "\(name)")
            }
        }

        private func run(_ name: String, _ layer: Facts, precision: Precision) throws -> Tensor {
            var x = try tensor("\(name).input")
            switch layer.kind {
            case "conv2d", "conv3d":
                let convolution = try Convolution(
                    weight: tensor("\(name).weight"), bias: tensor("\(name).bias"),
                    stride: #require(layer.stride), padding: #require(layer.padding), precision: precision)
                return try convolution(x.channelsLast()).channelsFirst()
            case "instance_norm":
                let norm = InstanceNorm(
                    scale: try tensor("\(name).weight"), shift: try tensor("\(name).bias"),
                    epsilon: try #require(layer.eps))
                x = x.channelsLast()
                try norm.apply(to: &x)
                return x.channelsFirst()
            case "upsample":
                return try x.channelsLast().upsampled(by: #require(layer.factor)).channelsFirst()
            case "leaky_relu":
                // Activations are fused into other layers; this one is the identity.
                let channels = x.shape[1]
                let identity = (0..<channels * channels).map { Float($0 / channels == $0 % channels ? 1 : 0) }
                let convolution = try Convolution(
                    weight: Tensor(shape: [channels, channels, 1, 1], values: identity), bias: nil,
                    negativeSlope: #require(layer.negative_slope))
                let output = try convolution(Tensor(shape: [x.shape[0], 1, 1, channels], values: x.values))
                return Tensor(shape: x.shape, values: output.values)
            case "sigmoid":
                x.applySigmoid()
                return x
            default:
                Issue.record("the golden file has a layer of a new kind, \(layer.kind)")
                return x
            }
        }

        private func leakyReLU(_ x: Tensor, _ negativeSlope: Float) -> Tensor {
            Tensor(shape: x.shape, values: x.values.map { $0 < 0 ? negativeSlope * $0 : $0 })
        }

        @Test func `a summand and an activation are fused into a convolution`() throws {
            let (weight, bias) = (try tensor("conv2d_wide.weight"), try tensor("conv2d_wide.bias"))
            let input = try tensor("conv2d_wide.input").channelsLast()
            let plain = try Convolution(weight: weight, bias: bias, padding: 1)(input)
            var summand = Tensor(shape: plain.shape, values: plain.values.map { 3 - $0 * 0.5 })
            var expected = Tensor(shape: plain.shape, values: zip(plain.values, summand.values).map(+))
            expected = leakyReLU(expected, 0)
            let fused = try Convolution(weight: weight, bias: bias, padding: 1, adds: true, negativeSlope: 0)
            try fused(input, addingTo: &summand)
            #expect(difference(summand, expected) < 1e-6)
        }

        @Test func `a norm adds its summand before the activation`() throws {
            let (scale, shift) = (try tensor("instance_norm3d.weight"), try tensor("instance_norm3d.bias"))
            let input = try tensor("instance_norm3d.input").channelsLast()
            var expected = input
            try InstanceNorm(scale: scale, shift: shift).apply(to: &expected)
            expected = Tensor(shape: input.shape, values: zip(expected.values, input.values).map(+))
            expected = leakyReLU(expected, 0.01)
            var found = input
            try InstanceNorm(scale: scale, shift: shift, negativeSlope: 0.01).apply(to: &found, adding: input)
            #expect(difference(found, expected) < 1e-6)
        }

        @Test func `a pointwise product equals a convolution with kernel 1`() throws {
            for name in ["conv2d_k1_s1", "conv3d_k1_s1"] {
                let product = PointwiseProduct(weight: try tensor("\(name).weight"), bias: try tensor("\(name).bias"))
                let output = product(try tensor("\(name).input").channelsLast()).channelsFirst()
                #expect(difference(output, try tensor("\(name).output")) < 1e-5)
            }
        }

        @Test func `convolutions of every size in use run on compiled kernels`() throws {
            let shapes: [(inputs: Int, outputs: Int, kernel: Int, axes: Int)] = [
                (3, 16, 4, 2), (16, 32, 3, 2), (64, 64, 3, 2), (192, 192, 3, 2), (1, 24, 4, 3), (24, 48, 2, 3),
                (24, 24, 3, 3), (128, 128, 3, 3),
            ]
            for shape in shapes {
                let count = shape.inputs * shape.outputs
                let kernel = [Int](repeating: shape.kernel, count: shape.axes)
                let weight = Tensor(
                    shape: [shape.outputs, shape.inputs] + kernel,
                    values: [Float](repeating: 0.01, count: kernel.reduce(count, *)))
                let convolution = try Convolution(weight: weight, bias: nil, padding: (shape.kernel - 1) / 2)
                let size = [Int](repeating: 8, count: shape.axes)
                _ = try convolution(
                    Tensor(
                        shape: [1] + size + [shape.inputs],
                        values: [Float](repeating: 1, count: size.reduce(shape.inputs, *))))
                // The reference implementation is a thousand times slower.
                let compiled = ["jit", "brgconv"].contains { convolution.implementation.contains($0) }
                #expect(compiled, "\(shape): \(convolution.implementation)")
            }
        }

        @Test func `a convolution follows its input from one size to another and back`() throws {
            let weight = try tensor("conv2d_k3_s1.weight")
            let convolution = try Convolution(weight: weight, bias: nil, padding: 1)
            let small = try tensor("conv2d_k3_s1.input").channelsLast()
            let first = try convolution(small)
            let large = try convolution(Tensor(shape: [2, 20, 5, 3], values: [Float](repeating: 1, count: 600)))
            #expect(large.shape == [2, 20, 5, 5])
            #expect(try convolution(small) == first)
        }
    }
}
