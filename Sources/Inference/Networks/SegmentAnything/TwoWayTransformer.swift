// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/transformer.py, with its tensor names. Tokens attend to each other and
// to the image, and the image attends to the tokens. Everything is fp32. The tokens of many prompts
// run together.

import CKernels

/// The size of a group of prompts that run together.
struct TokenGroup {
    let prompts: Int
    /// The number of tokens of each prompt.
    let tokens: Int

    /// The number of tokens of all prompts.
    var rows: Int { prompts * tokens }
}

/// The two-way transformer: layers in which the tokens and the places of the image attend to each other.
///
/// It runs as passes over the places (`ck_pass` in CKernels.h). In each pass, the places first attend to the tokens
/// that one layer produced. Then the tokens that the next layer has prepared attend to the updated places.
final class TwoWayTransformer {
    private let channels: Int
    private let layers: [TwoWayAttentionBlock]
    private let finalAttention: TokenToImageAttention
    private let finalNorm: LayerNorm

    init(_ weights: SafeTensors, _ name: String, channels: Int) throws {
        self.channels = channels
        let depth = weights.count("\(name).layers.")
        guard (1...64).contains(depth) else {
            throw WeightFileError.missing("\(name).layers.0.self_attn.q_proj.weight")
        }
        layers = try (0..<depth).map {
            try TwoWayAttentionBlock(weights, "\(name).layers.\($0)", channels: channels, isFirst: $0 == 0)
        }
        finalAttention = try TokenToImageAttention(weights, "\(name).final_attn_token_to_image", channels: channels)
        finalNorm = try weights.layerNorm("\(name).norm_final_attn", channels, epsilon: 1e-5)
    }

    /// Replaces the tokens and the places of each prompt by the transformer's output.
    ///
    /// - Parameters:
    ///   - group: the prompts.
    ///   - queries: the tokens, `[rows, channels]`; at first they equal `positions`.
    ///   - positions: the tokens' embeddings, `[rows, channels]`.
    ///   - shared: the places of the image that all prompts share, `[places, channels]`; `nil` if each prompt has its
    ///     own in `images`.
    ///   - images: the places of each prompt, `[prompts, places, channels]`; only written if there are shared ones.
    ///   - densePositions: the positional encoding of the places, `[places, channels]`.
    ///   - workspace: memory for the tokens' vectors.
    /// - Throws: `ComputeError`.
    func apply(
        _ group: TokenGroup, _ queries: UnsafeMutablePointer<Float>, positions: UnsafePointer<Float>,
        shared: UnsafePointer<Float>?, images: UnsafeMutablePointer<Float>, densePositions: [Float],
        _ workspace: Workspace
    ) throws {
        let vectors = TokenVectors(workspace, count: group.rows * MaskDecoder.heads, channels: channels)
        try layers[0].attendToSelf(group, queries, positions: positions, workspace)
        try layers[0].tokenToImage.fold(
            group.rows, placed(group, queries, positions, workspace), to: vectors.queries, workspace)
        try pass(group, nil, vectors, shared, images, densePositions)
        for (index, layer) in layers.enumerated() {
            try layer.tokenToImage.finish(group.rows, vectors.sums, addingTo: queries, workspace)
            try layer.applyMLP(group, queries, workspace)
            try layer.imageToToken.fold(
                group.rows, placedTokens: placed(group, queries, positions, workspace), tokens: queries,
                keys: vectors.keys, offsets: vectors.offsets, values: vectors.values, workspace)
            // The queries of the next layer do not depend on the places that this pass updates, so
            // they can be computed first.
            let next = index + 1 < layers.count ? layers[index + 1] : nil
            try next?.attendToSelf(group, queries, positions: positions, workspace)
            try (next?.tokenToImage ?? finalAttention).fold(
                group.rows, placed(group, queries, positions, workspace), to: vectors.queries, workspace)
            try pass(group, layer, vectors, index == 0 ? shared : nil, images, densePositions)
        }
        try finalAttention.finish(group.rows, vectors.sums, addingTo: queries, workspace)
        finalNorm.apply(rows: group.rows, queries, to: queries)
    }

    /// Runs one pass over the places of every prompt.
    ///
    /// - Parameters:
    ///   - group: the prompts.
    ///   - layer: the layer whose places attend to the tokens; `nil` leaves the places as they are.
    ///   - vectors: the tokens' vectors, and memory for the result.
    ///   - shared: the places that all prompts share, or `nil` if each prompt has its own.
    ///   - images: the places of each prompt, `[prompts, places, channels]`.
    ///   - densePositions: the positional encoding of the places, `[places, channels]`.
    /// - Throws: `ComputeError`.
    private func pass(
        _ group: TokenGroup, _ layer: TwoWayAttentionBlock?, _ vectors: TokenVectors, _ shared: UnsafePointer<Float>?,
        _ images: UnsafeMutablePointer<Float>, _ densePositions: [Float]
    ) throws {
        let places = densePositions.count / channels
        var call = ck_pass()
        call.places = Int64(places)
        call.tokens = Int64(group.tokens)
        call.channels = Int64(channels)
        try densePositions.withUnsafeBufferPointer { positions in
            call.positions = positions.baseAddress
            for prompt in 0..<group.prompts {
                let image = images + prompt * places * channels
                let first = prompt * group.tokens * MaskDecoder.heads
                call.rows = shared ?? UnsafePointer(image)
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

    /// The tokens with their positions added, `[rows, channels]`.
    private func placed(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ positions: UnsafePointer<Float>, _ workspace: Workspace
    ) -> UnsafePointer<Float> {
        let placed = workspace.floats("placed tokens", group.rows * channels)
        ck_add(1, Int64(group.rows * channels), queries, positions, 0, placed)
        return UnsafePointer(placed)
    }
}

/// The vectors of a group's tokens for a pass: `[prompts, tokens, heads, channels]`, and offsets
/// `[prompts, tokens, heads]`.
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

/// One layer of the two-way transformer: self-attention of the tokens, attention from tokens to
/// image, MLP, and attention from image to tokens.
final class TwoWayAttentionBlock {
    let tokenToImage: TokenToImageAttention
    let imageToToken: ImageToTokenAttention
    private let selfAttention: TokenSelfAttention
    private let norms: [LayerNorm]
    private let lin1: Linear
    private let lin2: Linear
    private let channels: Int
    /// Whether this is the first layer, whose queries already are the token positions.
    private let isFirst: Bool

    init(_ weights: SafeTensors, _ name: String, channels: Int, isFirst: Bool) throws {
        self.channels = channels
        self.isFirst = isFirst
        selfAttention = try TokenSelfAttention(weights, "\(name).self_attn", channels: channels)
        tokenToImage = try TokenToImageAttention(weights, "\(name).cross_attn_token_to_image", channels: channels)
        imageToToken = try ImageToTokenAttention(weights, "\(name).cross_attn_image_to_token", channels: channels)
        norms = try (1...4).map { try weights.layerNorm("\(name).norm\($0)", channels, epsilon: 1e-5) }
        // SAM 2 calls the layers of the MLP by number.
        let isNumbered = weights.shape(of: "\(name).mlp.layers.0.weight") != nil
        let (first, second) = isNumbered ? ("mlp.layers.0", "mlp.layers.1") : ("mlp.lin1", "mlp.lin2")
        let hidden = try weights.shape("\(name).\(first).weight", axes: 2)[0]
        lin1 = try weights.linear("\(name).\(first)", channels, hidden, precision: .fp32)
        lin2 = try weights.linear("\(name).\(second)", hidden, channels, precision: .fp32)
    }

    /// The norm of the places after they attended to the tokens.
    var imageNorm: LayerNorm { norms[3] }

    /// Replaces `queries` by norm1 of the self-attention of the tokens.
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

    /// Replaces `queries` by norm3(x + MLP(x)) with x = norm2(queries).
    ///
    /// The attention to the image has already been added to `queries`.
    func applyMLP(_ group: TokenGroup, _ queries: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws {
        norms[1].apply(rows: group.rows, queries, to: queries)
        let hidden = workspace.floats("token hidden", group.rows * lin1.outputs)
        try lin1.apply(rows: group.rows, queries, to: hidden, activation: .relu)
        try lin2.apply(rows: group.rows, hidden, to: queries, residual: queries)
        norms[2].apply(rows: group.rows, queries, to: queries)
    }
}

/// The self-attention of the tokens of each prompt (`self_attn` in the reference).
final class TokenSelfAttention {
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

    /// Computes output = attention(placed, placed, values) + residual.
    ///
    /// The output may be the values or the residual.
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

/// A projection that is applied to the tokens instead of to every place of the image.
private struct HeadMatrix {
    let heads = MaskDecoder.heads
    let headSize: Int
    let channels: Int
    /// `[heads, headSize, channels]` to fold, or `[heads, channels, headSize]` to unfold.
    let values: [Float]

    /// Creates the matrix from rows `[inner, channels]`.
    init(rows: [Float], channels: Int) {
        self.channels = channels
        headSize = rows.count / channels / heads
        values = rows
    }

    /// Creates the matrix from columns `[channels, inner]`.
    init(columns: [Float], channels: Int) {
        let inner = columns.count / channels
        self.init(
            rows: (0..<columns.count).map { columns[$0 % channels * inner + $0 / channels] }, channels: channels)
    }

    /// The values with the rows and columns of every head exchanged, `[heads, channels, headSize]`.
    var unfolding: [Float] {
        (0..<values.count).map { index in
            let (head, rest) = (index / (headSize * channels), index % (headSize * channels))
            return values[(head * headSize + rest % headSize) * channels + rest / headSize]
        }
    }

    /// Multiplies x, `[rows, inner]`, by each head's matrix: output is `[rows, heads, channels]`.
    func fold(_ rows: Int, _ x: UnsafePointer<Float>, scale: Float, to output: UnsafeMutablePointer<Float>) {
        ck_fold_heads(Int64(rows), Int64(heads), Int64(headSize), Int64(channels), scale, x, values, output)
    }
}

/// The attention from tokens to the image: few queries, thousands of keys.
///
/// Keys and values are never computed. The key matrix is applied to the tokens, and the value
/// matrix is applied to the weighted sums of places.
final class TokenToImageAttention {
    private let inner: Int
    private let q: Linear
    private let out: Linear
    private let key: HeadMatrix
    private let value: [Float]
    private let valueBias: [Float]

    init(_ weights: SafeTensors, _ name: String, channels: Int) throws {
        inner = try MaskDecoder.inner(weights, name)
        q = try weights.linear("\(name).q_proj", channels, inner, precision: .fp32)
        out = try weights.linear("\(name).out_proj", inner, channels, precision: .fp32)
        key = HeadMatrix(
            rows: try weights.tensor("\(name).k_proj.weight", shape: [inner, channels]).values, channels: channels)
        // The key bias adds the same number to all scores of a query, so the softmax does not
        // depend on it.
        _ = try weights.tensor("\(name).k_proj.bias", shape: [inner])
        let rows = try weights.tensor("\(name).v_proj.weight", shape: [inner, channels]).values
        value = HeadMatrix(rows: rows, channels: channels).unfolding
        valueBias = try weights.tensor("\(name).v_proj.bias", shape: [inner]).values
    }

    /// Computes the query vectors of the tokens for `ck_pass`, `[rows, heads, channels]`.
    func fold(
        _ rows: Int, _ placedTokens: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>,
        _ workspace: Workspace
    ) throws {
        let queries = workspace.floats("token q", rows * inner)
        try q.apply(rows: rows, placedTokens, to: queries)
        key.fold(rows, queries, scale: 1 / Float(key.headSize).squareRoot(), to: output)
    }

    /// Adds the attention to `tokens`, from the sums of places `[rows, heads, channels]` that a
    /// pass computed.
    func finish(
        _ rows: Int, _ sums: UnsafePointer<Float>, addingTo tokens: UnsafeMutablePointer<Float>, _ workspace: Workspace
    ) throws {
        let attended = workspace.floats("token q", rows * inner)
        ck_unfold_heads(
            Int64(rows), Int64(key.heads), Int64(key.headSize), Int64(key.channels), sums, value, valueBias, attended)
        try out.apply(rows: rows, attended, to: tokens, residual: tokens)
    }
}

/// The attention from the places of the image to the tokens: thousands of queries, few keys.
final class ImageToTokenAttention {
    private let inner: Int
    private let k: Linear
    private let v: Linear
    private let query: HeadMatrix
    private let queryBias: [Float]
    private let out: HeadMatrix
    /// The bias that is added to every place, `[channels]`.
    let bias: [Float]

    init(_ weights: SafeTensors, _ name: String, channels: Int) throws {
        inner = try MaskDecoder.inner(weights, name)
        k = try weights.linear("\(name).k_proj", channels, inner, precision: .fp32)
        v = try weights.linear("\(name).v_proj", channels, inner, precision: .fp32)
        query = HeadMatrix(
            rows: try weights.tensor("\(name).q_proj.weight", shape: [inner, channels]).values, channels: channels)
        queryBias = try weights.tensor("\(name).q_proj.bias", shape: [inner]).values
        out = HeadMatrix(
            columns: try weights.tensor("\(name).out_proj.weight", shape: [channels, inner]).values, channels: channels)
        bias = try weights.tensor("\(name).out_proj.bias", shape: [channels]).values
    }

    /// Computes the vectors of the tokens for `ck_pass`: keys and values `[rows, heads, channels]`,
    /// offsets `[rows, heads]`.
    func fold(
        _ rows: Int, placedTokens: UnsafePointer<Float>, tokens: UnsafePointer<Float>,
        keys: UnsafeMutablePointer<Float>, offsets: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>,
        _ workspace: Workspace
    ) throws {
        let projected = workspace.floats("token q", rows * inner)
        let scale = 1 / Float(query.headSize).squareRoot()
        try k.apply(rows: rows, placedTokens, to: projected)
        query.fold(rows, projected, scale: scale, to: keys)
        for item in 0..<rows * query.heads {
            var sum: Float = 0
            let head = item % query.heads
            for d in 0..<query.headSize {
                sum += queryBias[head * query.headSize + d] * projected[item * query.headSize + d]
            }
            offsets[item] = scale * sum
        }
        try v.apply(rows: rows, tokens, to: projected)
        out.fold(rows, projected, scale: 1, to: values)
    }
}
