// SPDX-License-Identifier: Apache-2.0
//
// The compact residual U-Net of training/networks/residual_unet.py, over two or three axes, with the same tensor
// names. After Ronneberger 2015 (U-Net), He 2016 (residual blocks) and Isensee 2021 (instance norm and leaky ReLU in
// 3D). Left out: batch norms, which are folded into the convolutions of a file.

internal import Foundation

/// `training/networks/residual_unet.py`'s `UNet`, from a file whose metadata describes it.
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
            else { throw .header(reason: "its architecture is not one of training/networks/residual_unet.py") }
        }
    }

    public let architecture: Architecture
    private let trunk: ResidualTrunk
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
        trunk = try ResidualTrunk(weights, architecture: arch, precision: precision)
        let ones = [Int](repeating: 1, count: arch.axes)
        head = PointwiseProduct(
            weight: try weights.tensor("head.weight", shape: [1, trunk.outputs] + ones),
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
        var x = try trunk(input, onStage: onStage)
        x = head(x)
        onStage?("head", x)
        let logits = try x.upsampled(by: input.size[0] / x.size[0])
        onStage?("logits", logits)
        return logits
    }
}
