// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// A projection that is applied to the tokens' side of an attention instead of to every place of the image.
private struct HeadMatrix {
    let heads = MaskDecoder.heads
    let headSize: Int
    let channels: Int
    /// `[heads, headSize, channels]` to fold, `[heads, channels, headSize]` to unfold.
    let values: [Float]

    /// From `[inner, channels]`.
    init(rows: [Float], channels: Int) {
        self.channels = channels
        headSize = rows.count / channels / heads
        values = rows
    }

    /// From `[channels, inner]`.
    init(columns: [Float], channels: Int) {
        let inner = columns.count / channels
        self.init(
            rows: (0..<columns.count).map { columns[$0 % channels * inner + $0 / channels] }, channels: channels)
    }

    /// With every head's rows and columns exchanged.
    var unfolding: [Float] {
        (0..<values.count).map { index in
            let (head, rest) = (index / (headSize * channels), index % (headSize * channels))
            return values[(head * headSize + rest % headSize) * channels + rest / headSize]
        }
    }

    /// x `[rows, inner]` to output `[rows, heads, channels]`.
    func fold(_ rows: Int, _ x: UnsafePointer<Float>, scale: Float, to output: UnsafeMutablePointer<Float>) {
        ck_fold_heads(Int64(rows), Int64(heads), Int64(headSize), Int64(channels), scale, x, values, output)
    }
}

/// Tokens that attend to the image: few queries, thousands of keys. Keys and values are never made: the tokens take the
/// keys' matrix, and what they gather takes the values'.
final class ImageAttention {
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
        // The keys' bias adds the same to all scores of a query, which the softmax does not see.
        _ = try weights.tensor("\(name).k_proj.bias", shape: [inner])
        let rows = try weights.tensor("\(name).v_proj.weight", shape: [inner, channels]).values
        value = HeadMatrix(rows: rows, channels: channels).unfolding
        valueBias = try weights.tensor("\(name).v_proj.bias", shape: [inner]).values
    }

    /// The tokens' vectors for `ck_pass`, `[rows, heads, channels]`.
    func fold(
        _ rows: Int, _ placedTokens: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>,
        _ workspace: Workspace
    ) throws {
        let queries = workspace.floats("token q", rows * inner)
        try q.apply(rows: rows, placedTokens, to: queries)
        key.fold(rows, queries, scale: 1 / Float(key.headSize).squareRoot(), to: output)
    }

    /// tokens += the attention, from what they gathered, `[rows, heads, channels]`.
    func finish(
        _ rows: Int, _ sums: UnsafePointer<Float>, addingTo tokens: UnsafeMutablePointer<Float>, _ workspace: Workspace
    ) throws {
        let attended = workspace.floats("token q", rows * inner)
        ck_unfold_heads(
            Int64(rows), Int64(key.heads), Int64(key.headSize), Int64(key.channels), sums, value, valueBias, attended)
        try out.apply(rows: rows, attended, to: tokens, residual: tokens)
    }
}

/// The image's places that attend to the tokens: thousands of queries, few keys.
final class TokenAttention {
    private let inner: Int
    private let k: Linear
    private let v: Linear
    private let query: HeadMatrix
    private let queryBias: [Float]
    private let out: HeadMatrix
    /// Added to every place.
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

    /// The tokens' vectors for `ck_pass`: keys and values `[rows, heads, channels]`, offsets `[rows, heads]`.
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
