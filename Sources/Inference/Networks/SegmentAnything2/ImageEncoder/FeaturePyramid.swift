// SPDX-License-Identifier: Apache-2.0
//
// `FpnNeck` of sam2/modeling/backbones/image_encoder.py and `forward_image` of sam2/modeling/sam2_base.py, with their
// tensor names.

/// The pyramid that turns the outputs of a trunk at strides 4, 8, 16 and 32 into the features of a frame.
final class FeaturePyramid {
    /// The number of channels of the image embedding.
    let channels: Int
    /// The 1 x 1 convolutions, from fine to coarse.
    private let products: [Linear]
    private let precision: Precision
    private let workspace = Workspace()

    private static let name = "image_encoder.neck.convs"

    /// Reads the pyramid.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - widths: the number of channels of the trunk's four outputs, from fine to coarse.
    ///   - precision: the number format of the products.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, widths: [Int], precision: Precision) throws {
        self.precision = precision
        let channels = try weights.shape("\(Self.name).0.conv.weight", axes: 4)[0]
        self.channels = channels
        products = try widths.indices.map { level in
            // The reference numbers the pyramid's convolutions from the coarsest level.
            let conv = "\(Self.name).\(3 - level).conv"
            guard level < 2 else {
                return try weights.linear(conv, widths[level], channels, ones: 2, precision: precision)
            }
            // The mask decoder has another 1 x 1 convolution behind it.
            return try weights.fused(
                conv, "\(Sam2MaskDecoder.name).conv_s\(level)", inputs: widths[level], between: channels,
                outputs: channels >> (3 - level), ones: 2, precision: precision)
        }
    }

    /// The convolution of one level.
    ///
    /// - Parameters:
    ///   - index: the level, 0 to 3 from fine to coarse.
    ///   - x: the trunk's output `[side, side, widths[index]]`.
    ///   - side: its height and width.
    /// - Returns: `[1, side, side, channels]`; levels 0 and 1 have an eighth and a quarter of the channels.
    /// - Throws: `ComputeError`.
    func level(_ index: Int, _ x: UnsafePointer<Float>, side: Int) throws -> Tensor {
        let product = products[index]
        let rows = side * side
        var input = UnsafeRawPointer(x)
        if precision == .bf16 {
            let rounded = workspace.numbers("rounded", rows * product.inputs, .bf16)
            roundToBF16(x, count: rows * product.inputs, to: rounded)
            input = UnsafeRawPointer(rounded)
        }
        return try Tensor(shape: [1, side, side, product.outputs]) { try product.apply(rows: rows, input, to: $0) }
    }

    /// The features of the four levels, from fine to coarse.
    func features(_ levels: [Tensor]) -> FrameFeatures {
        var vision = levels[2]
        addCoarsest(levels[3], to: &vision)
        return FrameFeatures(vision: vision, s1: levels[1], s0: levels[0])
    }

    /// Adds every place of the coarsest level to the four places below it.
    private func addCoarsest(_ coarsest: Tensor, to level: inout Tensor) {
        let (side, channels) = (level.shape[1], level.channels)
        level.values.withUnsafeMutableBufferPointer { fine in
            coarsest.values.withUnsafeBufferPointer { coarse in
                guard let fine = fine.baseAddress, let coarse = coarse.baseAddress else { return }
                for place in 0..<side * side {
                    let from = (place / side / 2 * (side / 2) + place % side / 2) * channels
                    let to = fine + place * channels
                    for c in 0..<channels { to[c] += coarse[from + c] }
                }
            }
        }
    }
}
