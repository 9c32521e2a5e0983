// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/mask_decoder.py, with its tensor names.
//
// A place is one position of the image embedding's grid.

import CKernels

/// The mask decoder: computes low-resolution logits and predicted IoU from an image embedding and
/// prompts.
final class MaskDecoder {
    /// The number of heads of every attention; the reference does not vary it, and the tensors do
    /// not show it.
    static let heads = 8
    /// The number of prompts that run together, so that the products of their tokens have enough
    /// rows.
    static let groupSize = 16

    private static let name = "mask_decoder"

    private let prompts: PromptEncoder
    private let channels: Int
    private let size: Int
    private let precision: Precision
    /// The IoU token and the mask tokens, `[1 + masks, channels]`.
    private let outputTokens: [Float]
    private let transformer: TwoWayTransformer
    private let upscaling: OutputUpscaling
    private let hypernetworks: [MLP]
    private let iouHead: MLP
    private let workspace = Workspace()
    /// The embedding that the workspace holds, with the no-mask vector added.
    ///
    /// The decoder recognises an embedding by its storage address. It retains this one so that
    /// another embedding cannot reuse the address.
    private var sharedEmbedding: ImageEmbedding?

    /// Reads the mask decoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - prompts: the prompt encoder of the same network.
    ///   - size: height and width of the image embedding.
    ///   - precision: the number format of the upscaling; the transformer runs in fp32.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
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
                "\(Self.name).mask_tokens.weight", reason: "the network does not have tokens for several masks")
        }
        outputTokens =
            try iouToken.values + weights.tensor("\(Self.name).mask_tokens.weight", shape: [masks, channels]).values
        transformer = try TwoWayTransformer(weights, "\(Self.name).transformer", channels: channels)
        upscaling = try OutputUpscaling(
            weights, "\(Self.name).output_upscaling", channels: channels, grid: size, precision: precision)
        let outputs = upscaling.channels
        hypernetworks = try (0..<masks).map {
            try MLP(
                weights, "\(Self.name).output_hypernetworks_mlps.\($0)", inputs: channels, outputs: outputs)
        }
        iouHead = try MLP(
            weights, "\(Self.name).iou_prediction_head", inputs: channels, outputs: masks)
    }

    /// The number of channels of an attention's queries, keys and values.
    static func inner(_ weights: SafeTensors, _ name: String) throws(WeightFileError) -> Int {
        let inner = try weights.shape("\(name).q_proj.weight", axes: 2)[0]
        guard inner % heads == 0 else {
            throw .tensor("\(name).q_proj.weight", reason: "\(inner) rows are not \(heads) heads")
        }
        return inner
    }

    /// Height and width of the low-resolution logits.
    var logitSize: Int { 4 * size }

    /// Decodes prompts, grouped by kind.
    ///
    /// - Parameters:
    ///   - embedding: the image.
    ///   - prompts: prompts in any order and of any kinds; mask prompts have the logits' size.
    ///   - multimask: whether each prompt gets three masks instead of one.
    ///   - wants: receives the predicted IoU of a prompt's masks and says whether the caller wants
    ///     their logits.
    /// - Returns: an answer for every prompt, or `nil` if `wants` refused it.
    /// - Throws: `ComputeError`.
    func decode(
        _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool, wants: ([Float]) -> Bool
    ) throws -> [PromptAnswer?] {
        var answers = [PromptAnswer?](repeating: nil, count: prompts.count)
        var isFinite = true
        func asked(_ iou: [Float]) -> Bool {
            isFinite = isFinite && iou.allSatisfy(\.isFinite)
            return wants(iou)
        }
        // All prompts of a group have the same number of tokens, and they agree in whether they have a mask.
        let kinds = Dictionary(grouping: prompts.indices) {
            [self.prompts.tokenCount(prompts[$0]), prompts[$0].mask == nil ? 0 : 1]
        }
        for members in kinds.sorted(by: { $0.value[0] < $1.value[0] }).map(\.value) {
            for start in stride(from: 0, to: members.count, by: Self.groupSize) {
                let group = Array(members[start..<min(start + Self.groupSize, members.count)])
                let decoded = try decodeGroup(embedding, group.map { prompts[$0] }, multimask: multimask, wants: asked)
                guard isFinite else { throw ComputeError.notFinite }
                for answer in decoded { try ComputeError.check(finite: answer?.logits.values ?? []) }
                for (index, answer) in zip(group, decoded) { answers[index] = answer }
            }
        }
        return answers
    }

    /// Decodes prompts of one kind, at most `groupSize` of them.
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
        try transformer.apply(
            group, queries, positions: positions,
            shared: masked ? nil : UnsafePointer(workspace.floats("shared places", places * channels)),
            images: images, densePositions: self.prompts.densePositions, workspace)
        return try answers(group, queries, images, masks: multimask ? 1..<outputs - 1 : 0..<1, wants: wants)
    }

    /// The number of places: positions of the image embedding.
    private var places: Int { size * size }

    /// The places of a prompt in the precision of the upscaling.
    private func rounded(_ image: UnsafePointer<Float>) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(image) }
        let rows = workspace.numbers("rounded places", places * channels, .bf16)
        roundToBF16(image, count: places * channels, to: rows)
        return UnsafeRawPointer(rows)
    }

    /// Writes the image embedding plus the embedding of each prompt's mask to `images`.
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

    /// Writes the embedding plus the no-mask vector to the buffer that all prompts without a mask
    /// share.
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

    /// Computes predicted IoU for every prompt, and logits for those that `wants` accepts.
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

extension Tensor {
    /// Whether both tensors share one buffer, and therefore are equal.
    fileprivate func hasStorage(of other: Tensor) -> Bool {
        values.withUnsafeBufferPointer { mine in
            other.values.withUnsafeBufferPointer { mine.baseAddress == $0.baseAddress && mine.count == $0.count }
        }
    }
}
