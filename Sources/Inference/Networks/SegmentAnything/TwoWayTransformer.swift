// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/transformer.py, with its tensor names: tokens attend to each other and to the image, the image
// to the tokens. All of it is fp32, the tokens of many prompts at once.

internal import CKernels

/// The numbers of a group of prompts that run together.
struct TokenGroup {
    let prompts: Int
    /// Of every prompt.
    let tokens: Int

    var rows: Int { prompts * tokens }
}

/// One layer: self-attention of the tokens, tokens to image, MLP, image to tokens.
final class TwoWayAttentionBlock {
    let tokenToImage: ImageAttention
    let imageToToken: TokenAttention
    private let selfAttention: SmallAttention
    private let norms: [LayerNorm]
    private let lin1: Linear
    private let lin2: Linear
    private let channels: Int
    /// The first layer's tokens are their own positions.
    private let isFirst: Bool

    init(_ weights: SafeTensors, _ name: String, channels: Int, isFirst: Bool) throws {
        self.channels = channels
        self.isFirst = isFirst
        selfAttention = try SmallAttention(weights, "\(name).self_attn", channels: channels)
        tokenToImage = try ImageAttention(weights, "\(name).cross_attn_token_to_image", channels: channels)
        imageToToken = try TokenAttention(weights, "\(name).cross_attn_image_to_token", channels: channels)
        norms = try (1...4).map { try weights.layerNorm("\(name).norm\($0)", channels, epsilon: 1e-5) }
        let hidden = try weights.shape("\(name).mlp.lin1.weight", axes: 2)[0]
        lin1 = try weights.linear("\(name).mlp.lin1", channels, hidden, precision: .fp32)
        lin2 = try weights.linear("\(name).mlp.lin2", hidden, channels, precision: .fp32)
    }

    /// The norm of the image's places.
    var imageNorm: LayerNorm { norms[3] }

    /// queries = norm1(self-attention).
    func attendToSelf(
        _ group: TokenGroup, _ queries: UnsafeMutablePointer<Float>, positions: UnsafePointer<Float>,
        _ workspace: Workspace
    ) throws {
        if isFirst {
            try selfAttention.apply(group, queries, queries, to: queries, residual: nil, workspace)
        } else {
            let placed = workspace.floats("placed tokens", group.rows * channels)
            ck_add(1, Int64(group.rows * channels), queries, positions, 0, placed)
            try selfAttention.apply(group, placed, queries, to: queries, residual: queries, workspace)
        }
        norms[0].apply(rows: group.rows, queries, to: queries)
    }

    /// queries = norm3(x + MLP(x)), x = norm2(queries), whose attention to the image has been added.
    func applyMLP(_ group: TokenGroup, _ queries: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws {
        norms[1].apply(rows: group.rows, queries, to: queries)
        let hidden = workspace.floats("token hidden", group.rows * lin1.outputs)
        try lin1.apply(rows: group.rows, queries, to: hidden, activation: .relu)
        try lin2.apply(rows: group.rows, hidden, to: queries, residual: queries)
        norms[2].apply(rows: group.rows, queries, to: queries)
    }
}

/// Attention of the tokens of each prompt to each other.
final class SmallAttention {
    private let heads = MaskDecoder.heads
    private let q: Linear
    private let k: Linear
    private let v: Linear
    private let out: Linear

    init(_ weights: SafeTensors, _ name: String, channels: Int) throws {
        let inner = try MaskDecoder.inner(weights, name)
        q = try weights.linear("\(name).q_proj", channels, inner, precision: .fp32)
        k = try weights.linear("\(name).k_proj", channels, inner, precision: .fp32)
        v = try weights.linear("\(name).v_proj", channels, inner, precision: .fp32)
        out = try weights.linear("\(name).out_proj", inner, channels, precision: .fp32)
    }

    /// output = attention(placed, placed, values) (+ residual); output may be the values or the residual.
    func apply(
        _ group: TokenGroup, _ placed: UnsafePointer<Float>, _ values: UnsafePointer<Float>,
        to output: UnsafeMutablePointer<Float>, residual: UnsafePointer<Float>?, _ workspace: Workspace
    ) throws {
        let inner = q.outputs
        let count = group.rows * inner
        let parts = workspace.floats("token q, k, v", 4 * count)
        try q.apply(rows: group.rows, placed, to: parts)
        try k.apply(rows: group.rows, placed, to: parts + count)
        try v.apply(rows: group.rows, values, to: parts + 2 * count)
        var call = ck_cross_attention()
        call.batch = Int64(group.prompts)
        (call.queries, call.keys) = (Int64(group.tokens), Int64(group.tokens))
        call.heads = Int64(heads)
        call.head_size = Int64(inner / heads)
        call.scale = 1 / Float(inner / heads).squareRoot()
        call.query = UnsafePointer(parts)
        call.key = UnsafePointer(parts + count)
        call.value = UnsafePointer(parts + 2 * count)
        (call.query_stride, call.key_stride, call.value_stride) = (Int64(inner), Int64(inner), Int64(inner))
        let each = Int64(group.tokens * inner)
        (call.query_batch_stride, call.key_batch_stride, call.value_batch_stride) = (each, each, each)
        call.output = parts + 3 * count
        try ComputeError.check(ck_cross_attend(&call), "the tokens' attention")
        try out.apply(rows: group.rows, parts + 3 * count, to: output, residual: residual)
    }
}
