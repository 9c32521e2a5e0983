// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/mask_decoder.py, with its tensor names. A prompt's tokens and the image's places meet in
// passes over the places (`ck_pass` in CKernels.h): in each the places attend to the tokens as one layer left them, and
// the tokens, as the next layer made them, to the places.

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
    /// Whose places, with the vector that stands for no mask, the workspace holds; kept, so that no other one takes its
    /// place in memory.
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
                weights, "\(transformer).layers.\($0)", channels: channels, isFirst: $0 == 0)
        }
        final = try ImageAttention(weights, "\(transformer).final_attn_token_to_image", channels: channels)
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

    /// The width of an attention: that of its queries, keys and values.
    static func inner(_ weights: SafeTensors, _ name: String) throws(WeightFileError) -> Int {
        let inner = try weights.shape("\(name).q_proj.weight", axes: 2)[0]
        guard inner % heads == 0 else {
            throw .tensor("\(name).q_proj.weight", reason: "\(inner) rows are not \(heads) heads")
        }
        return inner
    }

    /// Height and width of the logits.
    var logitSize: Int { 4 * size }

    /// - Parameters:
    ///   - prompts: in any order and of any kinds; masks have the logits' size.
    ///   - wants: whether the logits of masks with these predicted IoU are wanted.
    /// - Returns: an answer for every prompt, `nil` for those that are not wanted.
    func decode(
        _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool, wants: ([Float]) -> Bool
    ) throws -> [PromptAnswer?] {
        var answers = [PromptAnswer?](repeating: nil, count: prompts.count)
        // Prompts of a group have as many tokens, and all or none of them a mask.
        let kinds = Dictionary(grouping: prompts.indices) {
            [self.prompts.tokenCount(prompts[$0]), prompts[$0].mask == nil ? 0 : 1]
        }
        for members in kinds.sorted(by: { $0.value[0] < $1.value[0] }).map(\.value) {
            for start in stride(from: 0, to: members.count, by: Self.groupSize) {
                let group = Array(members[start..<min(start + Self.groupSize, members.count)])
                let decoded = try decodeGroup(embedding, group.map { prompts[$0] }, multimask: multimask, wants: wants)
                for (index, answer) in zip(group, decoded) { answers[index] = answer }
            }
        }
        return answers
    }

    private func decodeGroup(
        _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool, wants: ([Float]) -> Bool
    ) throws -> [PromptAnswer?] {
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
        let images = workspace.floats("places", prompts.count * places * channels)
        let masked = prompts[0].mask != nil
        if masked { try addMasks(prompts, embedding, to: images) } else { shareImage(embedding) }
        let vectors = TokenVectors(workspace, count: group.rows * Self.heads, channels: channels)
        try layers[0].attendToSelf(group, queries, positions: positions, workspace)
        try layers[0].tokenToImage.fold(
            group.rows, placed(group, queries, positions), to: vectors.queries, workspace)
        try pass(group, nil, vectors, isShared: !masked, images)
        for (index, layer) in layers.enumerated() {
            try layer.tokenToImage.finish(group.rows, vectors.sums, addingTo: queries, workspace)
            try layer.applyMLP(group, queries, workspace)
            try layer.imageToToken.fold(
                group.rows, placedTokens: placed(group, queries, positions), tokens: queries, keys: vectors.keys,
                offsets: vectors.offsets, values: vectors.values, workspace)
            // What the tokens of the next layer ask is known before the places have changed.
            let next = index + 1 < layers.count ? layers[index + 1] : nil
            try next?.attendToSelf(group, queries, positions: positions, workspace)
            try (next?.tokenToImage ?? final).fold(
                group.rows, placed(group, queries, positions), to: vectors.queries, workspace)
            try pass(group, layer, vectors, isShared: index == 0 && !masked, images)
        }
        try final.finish(group.rows, vectors.sums, addingTo: queries, workspace)
        finalNorm.apply(rows: group.rows, queries, to: queries)
        return try answers(group, queries, images, masks: multimask ? 1..<outputs - 1 : 0..<1, wants: wants)
    }

    private var places: Int { size * size }

    /// One pass over the places of every prompt.
    ///
    /// - Parameters:
    ///   - layer: whose places attend to the tokens; `nil` leaves them.
    ///   - isShared: the places are still those of the embedding, for all prompts.
    private func pass(
        _ group: TokenGroup, _ layer: TwoWayAttentionBlock?, _ vectors: TokenVectors, isShared: Bool,
        _ images: UnsafeMutablePointer<Float>
    ) throws {
        let shared = workspace.floats("shared places", places * channels)
        var call = ck_pass()
        call.places = Int64(places)
        call.tokens = Int64(group.tokens)
        call.channels = Int64(channels)
        try prompts.densePositions.withUnsafeBufferPointer { positions in
            call.positions = positions.baseAddress
            for prompt in 0..<group.prompts {
                let image = images + prompt * places * channels
                let first = prompt * group.tokens * Self.heads
                call.rows = UnsafePointer(isShared ? shared : image)
                call.query = UnsafePointer(vectors.queries + first * channels)
                call.sums = vectors.sums + first * channels
                call.output = image
                guard let layer else {
                    try ComputeError.check(ck_pass_tokens(&call), "the tokens' attention to the image")
                    continue
                }
                call.key = UnsafePointer(vectors.keys + first * channels)
                call.offset = UnsafePointer(vectors.offsets + first)
                call.value = UnsafePointer(vectors.values + first * channels)
                let status = layer.imageNorm.withParameters { weight, bias, epsilon in
                    layer.imageToToken.bias.withUnsafeBufferPointer { added in
                        (call.norm_weight, call.norm_bias, call.epsilon) = (weight, bias, epsilon)
                        call.bias = added.baseAddress
                        return ck_pass_tokens(&call)
                    }
                }
                try ComputeError.check(status, "the attention between tokens and image")
            }
        }
    }

    private func placed(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ positions: UnsafePointer<Float>
    ) -> UnsafePointer<Float> {
        let placed = workspace.floats("placed tokens", group.rows * channels)
        ck_add(1, Int64(group.rows * channels), queries, positions, 0, placed)
        return UnsafePointer(placed)
    }

    /// A prompt's places in the precision of the upscaling.
    private func rounded(_ image: UnsafePointer<Float>) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(image) }
        let rows = workspace.numbers("rounded places", places * channels, .bf16)
        roundToBF16(image, count: places * channels, to: rows)
        return UnsafeRawPointer(rows)
    }

    private func addMasks(
        _ prompts: [Prompt], _ embedding: ImageEmbedding, to images: UnsafeMutablePointer<Float>
    ) throws {
        let count = places * channels
        for (index, prompt) in prompts.enumerated() {
            guard let mask = prompt.mask else { continue }
            let image = images + index * count
            try self.prompts.embed(mask: mask, into: image, workspace)
            embedding.values.values.withUnsafeBufferPointer { values in
                ck_add(1, Int64(count), image, values.baseAddress, 0, image)
            }
        }
    }

    /// Puts the embedding's places, with the vector that stands for no mask, where all prompts find them.
    private func shareImage(_ embedding: ImageEmbedding) {
        let shared = workspace.floats("shared places", places * channels)
        if let sharedEmbedding, sharedEmbedding.values.hasStorage(of: embedding.values) { return }
        embedding.values.values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return }
            shared.update(from: base, count: places * channels)
        }
        ck_add(Int64(places), Int64(channels), shared, prompts.noMask, 0, shared)
        sharedEmbedding = embedding
    }

    private func answers(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ images: UnsafePointer<Float>, masks: Range<Int>,
        wants: ([Float]) -> Bool
    ) throws -> [PromptAnswer?] {
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
            let predicted = masks.map { iou[prompt * iouHead.outputs + $0] }
            guard wants(predicted) else { return nil }
            let image = images + prompt * places * channels
            let logits = try upscaling.logits(
                rounded(image), vectors + prompt * masks.count * outputs, masks: masks.count, workspace)
            return PromptAnswer(logits: logits, predictedIoU: predicted)
        }
    }
}

/// A group's vectors for a pass: `[prompts, tokens, heads, channels]`, the offsets without channels.
private struct TokenVectors {
    let queries: UnsafeMutablePointer<Float>
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Float>
    let offsets: UnsafeMutablePointer<Float>

    init(_ workspace: Workspace, count: Int, channels: Int) {
        queries = workspace.floats("token vectors", count * (4 * channels + 1))
        keys = queries + count * channels
        values = keys + count * channels
        sums = values + count * channels
        offsets = sums + count * channels
    }
}

extension Tensor {
    /// Whether both are one buffer in memory, and so equal.
    fileprivate func hasStorage(of other: Tensor) -> Bool {
        values.withUnsafeBufferPointer { mine in
            other.values.withUnsafeBufferPointer { mine.baseAddress == $0.baseAddress && mine.count == $0.count }
        }
    }
}
