// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/mask_decoder.py, with its tensor names. What the image contributes to the first layer is the
// same for all prompts without a mask: it is computed once for an embedding.

internal import CKernels

/// From an image embedding and prompts to low-resolution logits and predicted IoU.
final class MaskDecoder {
    /// Of every attention; the reference never varies it, and no tensor tells.
    static let heads = 8
    /// Prompts that run together: enough rows for the tokens' products.
    static let groupSize = 16

    private static let name = "mask_decoder"

    private let prompts: PromptEncoder
    private let channels: Int
    private let size: Int
    private let precision: Precision
    /// IoU token, then mask tokens, `[1 + masks, channels]`.
    private let outputTokens: [Float]
    private let layers: [TwoWayAttentionBlock]
    private let final: ImageAttention
    private let finalNorm: LayerNorm
    private let upscaling: OutputUpscaling
    private let hypernetworks: [Perceptron]
    private let iouHead: Perceptron
    private let workspace = Workspace()
    /// Whose share of the first layer the workspace holds; kept, so that no other one takes its place in memory.
    private var sharedEmbedding: ImageEmbedding?

    /// - Throws: `WeightFileError` that names the tensor, `ComputeError`.
    init(_ weights: SafeTensors, prompts: PromptEncoder, size: Int, precision: Precision) throws {
        self.prompts = prompts
        self.size = size
        self.precision = precision
        let channels = prompts.channels
        self.channels = channels
        let iouToken = try weights.tensor("\(Self.name).iou_token.weight", shape: [1, channels])
        let masks = try weights.shape("\(Self.name).mask_tokens.weight", axes: 2)[0]
        guard masks > 1 else {
            throw WeightFileError.tensor(
                "\(Self.name).mask_tokens.weight", reason: "there is no token for several masks")
        }
        outputTokens =
            try iouToken.values + weights.tensor("\(Self.name).mask_tokens.weight", shape: [masks, channels]).values
        let transformer = "\(Self.name).transformer"
        let depth = weights.count("\(transformer).layers.")
        guard (1...64).contains(depth) else {
            throw WeightFileError.missing("\(transformer).layers.0.self_attn.q_proj.weight")
        }
        layers = try (0..<depth).map {
            try TwoWayAttentionBlock(
                weights, "\(transformer).layers.\($0)", channels: channels, positions: prompts.densePositions,
                isFirst: $0 == 0, precision: precision)
        }
        final = try ImageAttention(
            weights, "\(transformer).final_attn_token_to_image", channels: channels, positions: prompts.densePositions,
            precision: precision)
        finalNorm = try weights.layerNorm("\(transformer).norm_final_attn", channels, epsilon: 1e-5)
        upscaling = try OutputUpscaling(
            weights, "\(Self.name).output_upscaling", channels: channels, grid: size, precision: precision)
        let outputs = upscaling.channels
        hypernetworks = try (0..<masks).map {
            try Perceptron(
                weights, "\(Self.name).output_hypernetworks_mlps.\($0)", inputs: channels, outputs: outputs)
        }
        iouHead = try Perceptron(
            weights, "\(Self.name).iou_prediction_head", inputs: channels, outputs: masks)
    }

    /// Height and width of the logits.
    var logitSize: Int { 4 * size }

    /// - Parameter prompts: in any order and of any kinds; masks have the logits' size.
    /// - Returns: an answer for every prompt.
    func decode(_ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool) throws -> [PromptAnswer] {
        var answers = [PromptAnswer?](repeating: nil, count: prompts.count)
        // Prompts of a group have as many tokens, and all or none of them a mask.
        let kinds = Dictionary(grouping: prompts.indices) {
            [self.prompts.tokenCount(prompts[$0]), prompts[$0].mask == nil ? 0 : 1]
        }
        for members in kinds.sorted(by: { $0.value[0] < $1.value[0] }).map(\.value) {
            for start in stride(from: 0, to: members.count, by: Self.groupSize) {
                let group = Array(members[start..<min(start + Self.groupSize, members.count)])
                let decoded = try decodeGroup(embedding, group.map { prompts[$0] }, multimask: multimask)
                for (index, answer) in zip(group, decoded) { answers[index] = answer }
            }
        }
        return answers.compactMap { $0 }
    }

    private func decodeGroup(
        _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool
    ) throws -> [PromptAnswer] {
        let outputs = outputTokens.count / channels
        let group = TokenGroup(prompts: prompts.count, tokens: outputs + self.prompts.tokenCount(prompts[0]))
        let count = group.rows * channels
        let positions = workspace.floats("token positions", count)
        let queries = workspace.floats("queries", count)
        for (index, prompt) in prompts.enumerated() {
            let tokens = outputTokens + self.prompts.tokens(prompt)
            (positions + index * tokens.count).update(from: tokens, count: tokens.count)
        }
        queries.update(from: positions, count: count)
        let places = size * size
        let images = workspace.floats("image rows", prompts.count * places * channels)
        for (index, layer) in layers.enumerated() {
            try run(layer, index, group, prompts, embedding, queries, positions, images)
        }
        try attend(final, group, queries, positions) { try projected(final, images, prompt: $0) }
        finalNorm.apply(rows: group.rows, queries, to: queries)
        return try answers(group, queries, images, masks: multimask ? 1..<outputs - 1 : 0..<1)
    }

    /// One layer of all prompts: the tokens together, the images one after the other.
    private func run(
        _ layer: TwoWayAttentionBlock, _ index: Int, _ group: TokenGroup, _ prompts: [Prompt],
        _ embedding: ImageEmbedding, _ queries: UnsafeMutablePointer<Float>, _ positions: UnsafePointer<Float>,
        _ images: UnsafeMutablePointer<Float>
    ) throws {
        let shared = index == 0 && prompts[0].mask == nil ? try sharedImage(embedding) : nil
        if index == 0, shared == nil { try addMasks(prompts, embedding, to: images) }
        try layer.attendToSelf(group, queries, positions: positions, workspace)
        try attend(layer.tokenToImage, group, queries, positions) {
            try shared.map { UnsafePointer($0.keysAndValues) } ?? projected(layer.tokenToImage, images, prompt: $0)
        }
        try layer.applyMLP(group, queries, workspace)
        let inner = layer.imageToToken.inner
        let keysAndValues = workspace.floats("token keys and values", group.rows * 2 * inner)
        try layer.imageToToken.keysAndValues(
            group.rows, placedTokens: placed(group, queries, positions), tokens: queries, to: keysAndValues)
        for prompt in 0..<group.prompts {
            let image = images + prompt * size * size * channels
            let source = shared.map { UnsafePointer($0.rows) } ?? UnsafePointer(image)
            let asked = try shared.map { UnsafePointer($0.queries) } ?? imageQueries(layer.imageToToken, image)
            try layer.imageToToken.apply(
                asked, keysAndValues + prompt * group.tokens * 2 * inner,
                tokens: group.tokens, image: source, to: image, workspace)
            layer.imageNorm.apply(rows: size * size, image, to: image)
        }
    }

    /// queries += attention of every prompt's tokens to its image, whose keys and values `image` gives.
    private func attend(
        _ attention: ImageAttention, _ group: TokenGroup, _ queries: UnsafeMutablePointer<Float>,
        _ positions: UnsafePointer<Float>, image: (Int) throws -> UnsafePointer<Float>
    ) throws {
        let inner = attention.inner
        let projected = workspace.floats("token q, k, v", 2 * group.rows * inner)
        let attended = projected + group.rows * inner
        try attention.queries(group.rows, placed(group, queries, positions), to: projected)
        let one = TokenGroup(prompts: 1, tokens: group.tokens)
        for prompt in 0..<group.prompts {
            let offset = prompt * group.tokens * inner
            try attention.attend(one, projected + offset, image(prompt), to: attended + offset)
        }
        try attention.finish(group.rows, attended, addingTo: queries)
    }

    private func placed(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ positions: UnsafePointer<Float>
    ) -> UnsafePointer<Float> {
        let placed = workspace.floats("placed tokens", group.rows * channels)
        ck_add(1, Int64(group.rows * channels), queries, positions, 0, placed)
        return UnsafePointer(placed)
    }

    /// A prompt's image rows in the precision of the products.
    private func rounded(_ image: UnsafePointer<Float>) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(image) }
        let rows = workspace.numbers("rounded rows", size * size * channels, .bf16)
        roundToBF16(image, count: size * size * channels, to: rows)
        return UnsafeRawPointer(rows)
    }

    private func projected(
        _ attention: ImageAttention, _ images: UnsafePointer<Float>, prompt: Int
    ) throws -> UnsafePointer<Float> {
        let output = workspace.floats("keys and values", size * size * 2 * attention.inner)
        try attention.project(rounded(images + prompt * size * size * channels), to: output)
        return UnsafePointer(output)
    }

    private func imageQueries(
        _ attention: TokenAttention, _ image: UnsafePointer<Float>
    ) throws -> UnsafePointer<Float> {
        let output = workspace.floats("image queries", size * size * attention.inner)
        try attention.project(rounded(image), to: output)
        return UnsafePointer(output)
    }

    private func addMasks(
        _ prompts: [Prompt], _ embedding: ImageEmbedding, to images: UnsafeMutablePointer<Float>
    ) throws {
        let count = size * size * channels
        for (index, prompt) in prompts.enumerated() {
            guard let mask = prompt.mask else { continue }
            let image = images + index * count
            try self.prompts.embed(mask: mask, into: image, workspace)
            embedding.values.values.withUnsafeBufferPointer { values in
                ck_add(1, Int64(count), image, values.baseAddress, 0, image)
            }
        }
    }

    private func sharedImage(_ embedding: ImageEmbedding) throws -> SharedImage {
        let places = size * size
        let image = SharedImage(
            rows: workspace.floats("shared rows", places * channels),
            keysAndValues: workspace.floats("shared keys and values", places * 2 * layers[0].tokenToImage.inner),
            queries: workspace.floats("shared queries", places * layers[0].imageToToken.inner))
        if let sharedEmbedding, sharedEmbedding.values.hasStorage(of: embedding.values) { return image }
        sharedEmbedding = nil
        embedding.values.values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return }
            image.rows.update(from: base, count: places * channels)
        }
        ck_add(Int64(places), Int64(channels), image.rows, prompts.noMask, 0, image.rows)
        let rows = rounded(image.rows)
        try layers[0].tokenToImage.project(rows, to: image.keysAndValues)
        try layers[0].imageToToken.project(rows, to: image.queries)
        sharedEmbedding = embedding
        return image
    }

    private func answers(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ images: UnsafePointer<Float>, masks: Range<Int>
    ) throws -> [PromptAnswer] {
        let outputs = upscaling.channels
        let vectors = workspace.floats("mask vectors", group.prompts * masks.count * outputs)
        for (index, mask) in masks.enumerated() {
            try hypernetworks[mask].apply(
                rows: group.prompts, queries + (1 + mask) * channels, stride: group.tokens * channels,
                to: vectors + index * outputs, outputStride: masks.count * outputs, workspace)
        }
        let iou = workspace.floats("iou", group.prompts * iouHead.outputs)
        try iouHead.apply(
            rows: group.prompts, queries, stride: group.tokens * channels, to: iou, outputStride: iouHead.outputs,
            workspace)
        return try (0..<group.prompts).map { prompt in
            let image = images + prompt * size * size * channels
            let logits = try upscaling.logits(
                rounded(image), vectors + prompt * masks.count * outputs, masks: masks.count, workspace)
            return PromptAnswer(logits: logits, predictedIoU: masks.map { iou[prompt * iouHead.outputs + $0] })
        }
    }
}

/// What the image contributes to the first layer for every prompt without a mask.
private struct SharedImage {
    /// The embedding and the vector that stands for no mask, `[places, channels]`.
    let rows: UnsafeMutablePointer<Float>
    /// `[places, 2 inner]`.
    let keysAndValues: UnsafeMutablePointer<Float>
    /// `[places, inner]`.
    let queries: UnsafeMutablePointer<Float>
}

extension Tensor {
    /// Whether both are one buffer in memory, and so equal.
    fileprivate func hasStorage(of other: Tensor) -> Bool {
        values.withUnsafeBufferPointer { mine in
            other.values.withUnsafeBufferPointer { mine.baseAddress == $0.baseAddress && mine.count == $0.count }
        }
    }
}
