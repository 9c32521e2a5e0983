// SPDX-License-Identifier: Apache-2.0
//
// `MaskDecoder` of sam2/modeling/sam/mask_decoder.py and the prompts of `_forward_sam_heads` in
// sam2/modeling/sam2_base.py, with their tensor names. The transformer is SAM's.

import CKernels
import Foundation

extension PromptEncoder {
    /// SAM 2's tokens of a prompt, `[tokens, channels]`.
    ///
    /// The corners of a box come first, as two points. The points are followed by a token that stands for "not a
    /// point". Without points and box, there are two of these tokens.
    func paddedTokens(_ prompt: Prompt) -> [Float] {
        var tokens = [Float]()
        if let box = prompt.box { tokens += place(box.x0, box.y0, kinds[2]) + place(box.x1, box.y1, kinds[3]) }
        for point in prompt.points { tokens += place(point.x, point.y, kinds[point.label.rawValue]) }
        return (tokens.isEmpty ? notAPoint : tokens) + notAPoint
    }
}

/// What SAM 2's mask decoder says about one prompt.
struct MaskDecoding {
    /// The predicted IoU of mask 0, for unambiguous prompts, and of masks 1 to 3.
    var predictedIoU: [Float]
    /// A logit; the object is in the image if it is above 0.
    var objectScore: Float
    /// The output tokens of the masks, `[4, channels]`.
    var maskTokens: [Float]
    /// The low-resolution logits of the wanted masks, `[masks, size, size]`.
    var logits: Tensor

    /// The mask of 1 to 3 with the highest predicted IoU; the first of equals.
    static func best(_ predictedIoU: [Float]) -> Int {
        var best = 1
        for mask in predictedIoU.indices.dropFirst(2) where predictedIoU[mask] > predictedIoU[best] { best = mask }
        return best
    }
}

/// SAM 2's mask decoder, which also uses finer levels of the image's features and predicts whether there is an object.
final class Sam2MaskDecoder {
    static let name = "sam_mask_decoder"

    private let prompts: PromptEncoder
    private let channels: Int
    private let size: Int
    private let precision: Precision
    /// The object score token, the IoU token and the mask tokens, `[2 + masks, channels]`.
    private let outputTokens: [Float]
    private let transformer: TwoWayTransformer
    private let upscaling: OutputUpscaling
    private let hypernetworks: [MLP]
    private let iouHead: MLP
    private let scoreHead: MLP
    private let workspace = Workspace()

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
        let (channels, masks) = (prompts.channels, 4)
        self.channels = channels
        outputTokens = try ["obj_score_token", "iou_token", "mask_tokens"].flatMap { token in
            let rows = token == "mask_tokens" ? masks : 1
            return try weights.tensor("\(Self.name).\(token).weight", shape: [rows, channels]).values
        }
        transformer = try TwoWayTransformer(weights, "\(Self.name).transformer", channels: channels)
        upscaling = try OutputUpscaling(
            weights, "\(Self.name).output_upscaling", channels: channels, grid: size, precision: precision)
        let outputs = upscaling.channels
        hypernetworks = try (0..<masks).map {
            try MLP(weights, "\(Self.name).output_hypernetworks_mlps.\($0)", inputs: channels, outputs: outputs)
        }
        iouHead = try MLP(weights, "\(Self.name).iou_prediction_head", inputs: channels, outputs: masks)
        scoreHead = try MLP(weights, "\(Self.name).pred_obj_score_head", inputs: channels, outputs: 1)
    }

    /// Height and width of the low-resolution logits.
    var logitSize: Int { 4 * size }

    /// Decodes one prompt.
    ///
    /// - Parameters:
    ///   - image: the image embedding, with or without memories, `[size, size, channels]`.
    ///   - features: the finer levels of the image.
    ///   - tokens: the tokens of the prompt, `[tokens, channels]`.
    ///   - mask: low-resolution logits of an earlier answer, `[1, 4 * size, 4 * size, 1]`, or `nil`.
    ///   - wants: receives the predicted IoU of the four masks and names the masks whose logits are computed.
    /// - Returns: the answer.
    /// - Throws: `ComputeError`.
    func decode(
        _ image: [Float], _ features: FrameFeatures, tokens: [Float], mask: Tensor?, wants: ([Float]) -> [Int]
    ) throws -> MaskDecoding {
        let embeddings = outputTokens + tokens
        let group = TokenGroup(prompts: 1, tokens: embeddings.count / channels)
        let positions = workspace.floats("token positions", embeddings.count)
        let queries = workspace.floats("queries", embeddings.count)
        positions.update(from: embeddings, count: embeddings.count)
        queries.update(from: embeddings, count: embeddings.count)
        let places = try self.places(image, mask)
        try transformer.apply(
            group, queries, positions: positions, shared: nil, images: places,
            densePositions: prompts.densePositions, workspace)
        let iou = try head(iouHead, queries + channels).map { 1 / (1 + exp(-$0)) }
        let score = try head(scoreHead, queries)[0]
        let tokens = (0..<4 * channels).map { queries[2 * channels + $0] }
        try ComputeError.check(finite: iou + [score])
        let logits = try logits(places, features, queries + 2 * channels, wants(iou))
        try ComputeError.check(finite: logits.values)
        return MaskDecoding(predictedIoU: iou, objectScore: score, maskTokens: tokens, logits: logits)
    }

    /// The image embedding plus the embedding of the mask prompt or of its absence.
    private func places(_ image: [Float], _ mask: Tensor?) throws -> UnsafeMutablePointer<Float> {
        let places = workspace.floats("places", image.count)
        if let mask {
            try prompts.embed(mask: mask, into: places, workspace)
            ck_add(1, Int64(image.count), places, image, 0, places)
        } else {
            ck_add(Int64(size * size), Int64(channels), image, prompts.noMask, 0, places)
        }
        return places
    }

    private func head(_ head: MLP, _ token: UnsafePointer<Float>) throws -> [Float] {
        var output = [Float](repeating: 0, count: head.outputs)
        try output.withUnsafeMutableBufferPointer { output in
            guard let base = output.baseAddress else { return }
            try head.apply(
                rows: 1, token, stride: channels, to: base, outputStride: head.outputs, workspace)
        }
        return output
    }

    private func logits(
        _ places: UnsafePointer<Float>, _ features: FrameFeatures, _ maskTokens: UnsafePointer<Float>, _ masks: [Int]
    ) throws -> Tensor {
        let vectors = workspace.floats("mask vectors", masks.count * upscaling.channels)
        for (index, mask) in masks.enumerated() {
            try hypernetworks[mask].apply(
                rows: 1, maskTokens + mask * channels, stride: channels, to: vectors + index * upscaling.channels,
                outputStride: upscaling.channels, workspace)
        }
        var rows = UnsafeRawPointer(places)
        if precision == .bf16 {
            let rounded = workspace.numbers("rounded places", size * size * channels, .bf16)
            roundToBF16(places, count: size * size * channels, to: rounded)
            rows = UnsafeRawPointer(rounded)
        }
        return try features.s1.values.withUnsafeBufferPointer { s1 in
            try features.s0.values.withUnsafeBufferPointer { s0 in
                // The caller has checked the shapes, so the levels have first values.
                guard let s1 = s1.baseAddress, let s0 = s0.baseAddress else {
                    preconditionFailure("the levels have values")
                }
                let levels = HighResolutionLevels(doubled: s1, enlarged: s0)
                return try upscaling.logits(rows, vectors, masks: masks.count, levels: levels, workspace)
            }
        }
    }
}
