// SPDX-License-Identifier: Apache-2.0
//
// The compact residual U-Net of training/networks/residual_unet.py over two or three axes, with the same tensor
// names. It follows Ronneberger 2015 (U-Net), He 2016 (residual blocks) and Isensee 2021 (instance
// norm and leaky ReLU in 3D). A weight file does not contain batch norms, because they are folded
// into its convolutions.

import Foundation

/// The network `UNet` of training/networks/residual_unet.py, read from a file whose metadata describes it.
public final class ResidualUNet {
    /// The sizes of the network, with the names of `Architecture` in training/networks/residual_unet.py.
    public struct Architecture: Sendable, Hashable, Decodable {
        /// The number of spatial axes: 2 or 3.
        public var axes: Int
        /// The number of channels of the input.
        public var channels: Int
        /// The number of channels of each encoder level, from fine to coarse.
        public var widths: [Int]
        /// The number of residual blocks of each encoder level.
        public var encoderBlocks: [Int]
        /// The number of residual blocks of each decoder level, from coarse to fine.
        public var decoderBlocks: [Int]
        /// The kernel of the first level's strided convolution.
        public var stemKernel: Int
        /// The kernel of the other levels' strided convolutions.
        public var downKernel: Int
        /// The norm behind each convolution: `none` (folded) or `instance`.
        public var norm: String
        /// The slope of the leaky ReLU below 0.
        public var negativeSlope: Float

        enum CodingKeys: String, CodingKey {
            case axes, channels, widths, norm
            case encoderBlocks = "encoder_blocks"
            case decoderBlocks = "decoder_blocks"
            case stemKernel = "stem_kernel"
            case downKernel = "down_kernel"
            case negativeSlope = "negative_slope"
        }

        /// The number that every extent of the input must be a multiple of.
        public var totalStride: Int { 1 << widths.count }

        /// Derives the sizes of an encoder without norms from the shapes of its tensors.
        ///
        /// A missing tensor that does not affect the sizes causes an error later, when it is read.
        ///
        /// - Parameters:
        ///   - weights: the checkpoint.
        ///   - prefix: the beginning of all tensor names.
        /// - Throws: `WeightFileError`, which names a tensor that is missing or has another shape.
        init(of weights: SafeTensors, prefix: String) throws(WeightFileError) {
            let steps = (0..<weights.count("\(prefix)decoder.")).map { "\(prefix)decoder.\($0)" }
            let levels = (0..<weights.count("\(prefix)encoder.")).map { "\(prefix)encoder.\($0)" }
            var kernels = [[Int]]()
            for level in levels { kernels.append(try weights.shape("\(level).down.conv.weight", axes: 4)) }
            guard kernels.count > 1 else { throw .missing("\(prefix)encoder.1.down.conv.weight") }
            (axes, channels, stemKernel, downKernel) = (2, kernels[0][1], kernels[0][2], kernels[1][2])
            widths = kernels.map { $0[0] }
            encoderBlocks = levels.map { weights.count("\($0).blocks.") }
            decoderBlocks = steps.map { weights.count("\($0).blocks.") }
            (norm, negativeSlope) = ("none", 0)
        }

        /// Throws `WeightFileError.header` unless the sizes are those of a network of
        /// training/networks/residual_unet.py.
        func check() throws(WeightFileError) {
            let all = widths + [channels, stemKernel, downKernel]
            guard axes == 2 || axes == 3, (1...8).contains(widths.count), all.allSatisfy({ (1...4096).contains($0) }),
                encoderBlocks.count == widths.count, (1..<max(widths.count, 2)).contains(decoderBlocks.count),
                (encoderBlocks + decoderBlocks).allSatisfy({ (0...64).contains($0) }),
                norm == "none" || norm == "instance", negativeSlope.isFinite
            else { throw .header(reason: "its architecture is not one of training/networks/residual_unet.py") }
        }
    }

    /// The sizes that the file's metadata states.
    public let architecture: Architecture
    private let trunk: ResidualTrunk
    private let head: PointwiseProduct

    /// Reads the network.
    ///
    /// - Parameters:
    ///   - weights: the file; its metadata has the architecture under the key `kontur`.
    ///   - precision: the number format of the convolutions.
    /// - Throws: `WeightFileError` if the file holds another network, or `ComputeError`.
    public init(_ weights: SafeTensors, precision: Precision) throws {
        struct Facts: Decodable { let architecture: Architecture }
        guard let text = weights.metadata["kontur"],
            let facts = try? JSONDecoder().decode(Facts.self, from: Data(text.utf8))
        else { throw WeightFileError.header(reason: "its metadata has no architecture under \"kontur\"") }
        let arch = facts.architecture
        try arch.check()
        architecture = arch
        trunk = try ResidualTrunk(weights, architecture: arch, precision: precision)
        let ones = [Int](repeating: 1, count: arch.axes)
        head = PointwiseProduct(
            weight: try weights.tensor("head.weight", shape: [1, trunk.outputs] + ones),
            bias: try weights.tensor("head.bias", shape: [1]))
    }

    /// Computes the logits of a batch.
    ///
    /// - Parameters:
    ///   - input: `[batch, (depth,) height, width, channels]`; the extents are multiples of
    ///     `totalStride`.
    ///   - onStage: receives the name of every stage in the reference and the output of that stage.
    /// - Returns: logits, `[batch, (depth,) height, width, 1]`.
    /// - Throws: `ComputeError`.
    public func callAsFunction(
        _ input: Tensor, onStage: ((String, Tensor) -> Void)? = nil
    ) throws(ComputeError) -> Tensor {
        precondition(input.shape.count == architecture.axes + 2 && input.channels == architecture.channels)
        precondition(input.size.allSatisfy { $0 % architecture.totalStride == 0 }, "extents are padded")
        var x = try trunk(input, onStage: onStage)
        x = head(x)
        onStage?("head", x)
        let logits = try x.upsampled(by: input.size[0] / x.size[0])
        onStage?("logits", logits)
        return logits
    }
}

// The presence head of training/networks/presence_head.py, with the same tensor names. It is a logistic
// regression on three statistics of the output of a residual U-Net's head. Its logit says whether
// the image contains the structure at all.

/// The model `Presence` of training/networks/presence_head.py.
public struct PresenceHead: Sendable {
    /// Keeps the logarithm of the mean probability finite.
    static let floor = 1e-4

    private let weight: [Double]
    private let bias: Double

    /// Reads the presence head.
    ///
    /// - Parameter weights: the file of the network.
    /// - Throws: `WeightFileError` if the file does not have a presence head.
    public init(_ weights: SafeTensors) throws {
        weight = try weights.tensor("presence.weight", shape: [3]).values.map(Double.init)
        bias = Double(try weights.tensor("presence.bias", shape: [1]).values[0])
    }

    /// Computes the presence logit of every image of a batch.
    ///
    /// - Parameter head: the output of the network's stage `head`, `[batch, height, width, 1]`.
    /// - Returns: one logit per image.
    public func callAsFunction(_ head: Tensor) -> [Double] {
        precondition(head.channels == 1, "a head has one channel")
        let size = head.count / head.batch
        return (0..<head.batch).map { image in
            zip(weight, Self.statistics(head.values[image * size..<(image + 1) * size])).reduce(bias) {
                $0 + $1.0 * $1.1
            }
        }
    }

    /// The three statistics of an image: log(mean p + floor), the largest logit, and sum p^2 / sum
    /// p.
    private static func statistics(_ logits: ArraySlice<Float>) -> [Double] {
        var (total, squares, largest) = (0.0, 0.0, -Double.infinity)
        for logit in logits {
            let probability = 1 / (1 + exp(-Double(logit)))
            total += probability
            squares += probability * probability
            largest = max(largest, Double(logit))
        }
        total = max(total, .leastNormalMagnitude)
        return [log(total / Double(logits.count) + floor), largest, squares / total]
    }
}
