// SPDX-License-Identifier: Apache-2.0
//
// An estimate of a network's computing time without running it. The operations follow from the
// shapes of the tensors. Divide them by `Compute.measuredSpeed` to get seconds. The estimate
// ignores caches, other programs and memory traffic.

/// The floating-point operations of a network of the SAM family; a product and its sum count as
/// two.
public struct WorkEstimate: Sendable, Hashable {
    /// Operations of the image encoder per image.
    public var encoder: Double
    /// Operations of the prompt encoder and the mask decoder per prompt.
    public var decoder: Double

    /// Operations of LiteMedSAM's image encoder.
    private static let tinyEncoder = 75e9
    /// Operations of medsam-compact's image encoder.
    private static let convolutionalEncoder = 4.3e9
    /// The number of positions of medsam-compact's image embedding.
    private static let convolutionalTokens = 1024.0
    /// Operations of the mask decoder with an image embedding of 64 x 64, which all published
    /// networks share.
    private static let publishedDecoder = 3.62e9
    /// The number of positions of an image embedding of 64 x 64.
    private static let publishedTokens = 4096.0
    /// The cost of an attention operation relative to one of a product.
    ///
    /// Attention is slower because of the softmax and the short sums.
    private static let attentionCost = 1.8

    /// Counts the operations of a network.
    ///
    /// - Parameter weights: the tensors of a network of the SAM family.
    /// - Throws: `WeightFileError` if the tensors are not those of such a network.
    public init(_ weights: SafeTensors) throws(WeightFileError) {
        let prefix = "image_encoder."
        guard weights.shape(of: ConvolutionalEncoder.firstTensor) == nil else {
            encoder = Self.convolutionalEncoder
            decoder = Self.publishedDecoder * Self.convolutionalTokens / Self.publishedTokens
            return
        }
        guard let positions = weights.shape(of: prefix + "pos_embed") else {
            (encoder, decoder) = (Self.tinyEncoder, Self.publishedDecoder)
            return
        }
        guard positions.count == 4 else {
            throw .shape(prefix + "pos_embed", expected: [1, 64, 64, 768], found: positions)
        }
        let (size, width) = (positions[1], positions[3])
        let tokens = Double(size * size)
        var operations = 0.0
        for name in weights.names where name.hasPrefix(prefix) {
            guard let shape = weights.shape(of: name) else { continue }
            if name.hasSuffix(".attn.rel_pos_h") {
                operations += Self.attention(size: size, window: (shape[0] + 1) / 2, width: width)
            } else if name.hasSuffix(".weight"), shape.count > 1 {
                operations += 2 * tokens * Double(shape.reduce(1, *))
            }
        }
        encoder = operations
        decoder = Self.publishedDecoder * tokens / Self.publishedTokens
    }

    private static func attention(size: Int, window: Int, width: Int) -> Double {
        let windows = (size + window - 1) / window
        let tokens = Double(window * window)
        return attentionCost * 4 * Double(windows * windows) * tokens * tokens * Double(width)
    }
}
