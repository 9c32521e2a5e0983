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
    /// Operations of the memory attention with seven memories and of the memory encoder, per tracked slice or frame; 0
    /// for networks without a memory.
    public var memory: Double

    /// Operations of LiteMedSAM's image encoder with an input of 256 x 256.
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
    /// - Parameters:
    ///   - weights: the tensors of a network of the SAM family.
    ///   - family: the family of the network, whose tensors may not show the size of the input.
    /// - Throws: `WeightFileError` if the tensors are not those of such a network.
    public init(_ weights: SafeTensors, family: ModelFamily) throws(WeightFileError) {
        let prefix = "image_encoder."
        let settings = try NetworkSettings(weights.metadata, family: family)
        let inputSize = settings.inputSize ?? family.publishedInputSize ?? 0
        if let trunk = Self.trunk(of: weights, settings) {
            (encoder, decoder, memory) = Self.work(of: trunk, inputSize: inputSize)
            return
        }
        guard weights.shape(of: ConvolutionalEncoder.firstTensor) == nil else {
            (encoder, memory) = (Self.convolutionalEncoder, 0)
            decoder = Self.publishedDecoder * Self.convolutionalTokens / Self.publishedTokens
            return
        }
        guard let positions = weights.shape(of: prefix + "pos_embed") else {
            let scale = Double(inputSize) / Double(SegmentAnything.liteInputSize)
            let share = scale * scale
            (encoder, decoder, memory) = (Self.tinyEncoder * share, Self.publishedDecoder * share, 0)
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
        (encoder, memory) = (operations, 0)
        decoder = Self.publishedDecoder * tokens / Self.publishedTokens
    }

    private static func attention(size: Int, window: Int, width: Int) -> Double {
        let windows = (size + window - 1) / window
        let tokens = Double(window * window)
        return attentionCost * 4 * Double(windows * windows) * tokens * tokens * Double(width)
    }

    // MARK: SAM 2

    /// Operations of SAM 2's memory encoder with an image embedding of 64 x 64.
    private static let publishedMemoryEncoder = 11.6e9
    /// The channels of a memory, and the tokens of the object pointers of 16 frames.
    private static let (memoryChannels, pointerTokens) = (64.0, 64.0)

    /// The trunk of SAM 2; `nil` for another network.
    private static func trunk(of weights: SafeTensors, _ settings: NetworkSettings) -> HieraArchitecture? {
        let name = "image_encoder.trunk."
        guard let width = weights.shape(of: name + "patch_embed.proj.weight")?.first else { return nil }
        let blocks = weights.count(name + "blocks.")
        return settings.hiera ?? HieraArchitecture.published(width: width, blocks: blocks)?.architecture
    }

    /// Counts the operations of SAM 2, without those of the feature pyramid: a fiftieth of the trunk's.
    private static func work(
        of trunk: HieraArchitecture, inputSize: Int
    ) -> (encoder: Double, decoder: Double, memory: Double) {
        var side = Double(inputSize / 4)
        var operations = 2 * side * side * 147 * Double(trunk.width)
        for block in trunk.table {
            let (inputs, outputs) = (Double(block.inputs), Double(block.outputs))
            let tokens = side * side
            let window = block.window == 0 ? side : min(Double(block.window), side)
            if block.pools { side /= 2 }
            let left = side * side
            operations += 2 * tokens * inputs * 3 * outputs + 18 * left * outputs * outputs
            if block.pools { operations += 2 * tokens * inputs * outputs }
            operations += attentionCost * 4 * left * window * window * outputs
        }
        let tokens = Double(inputSize / 16 * (inputSize / 16))
        let channels = 256.0
        let keys = Double(MemorySelection.temporalIndices) * tokens + pointerTokens
        let projections = 2 * channels * (6 * tokens * channels + 2 * keys * memoryChannels)
        let attention = attentionCost * 4 * tokens * (tokens + keys) * channels
        let hidden = 2 * 2 * tokens * channels * 2048
        let share = tokens / publishedTokens
        return (
            operations, publishedDecoder * share,
            4 * (projections + attention + hidden) + publishedMemoryEncoder * share
        )
    }
}
