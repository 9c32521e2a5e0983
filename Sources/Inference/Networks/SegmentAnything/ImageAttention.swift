// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// Tokens that attend to the image: few queries, thousands of keys.
final class ImageAttention {
    /// Of keys and of values.
    let inner: Int
    private let heads = MaskDecoder.heads
    private let q: Linear
    private let out: Linear
    /// Keys and values side by side.
    private let kv: Linear
    /// What the positions add to them, `[places, 2 inner]`: k(x + p) = k(x) + k's matrix times p.
    private let placed: [Float]
    private let places: Int

    init(
        _ weights: SafeTensors, _ name: String, channels: Int, positions: [Float], precision: Precision
    ) throws {
        inner = try weights.shape("\(name).q_proj.weight", axes: 2)[0]
        guard inner % heads == 0 else {
            throw WeightFileError.tensor("\(name).q_proj.weight", reason: "\(inner) rows are not \(heads) heads")
        }
        q = try weights.linear("\(name).q_proj", channels, inner, precision: .fp32)
        out = try weights.linear("\(name).out_proj", inner, channels, precision: .fp32)
        let key = try weights.tensor("\(name).k_proj.weight", shape: [inner, channels]).values
        let value = try weights.tensor("\(name).v_proj.weight", shape: [inner, channels]).values
        let bias =
            try weights.tensor("\(name).k_proj.bias", shape: [inner]).values
            + weights.tensor("\(name).v_proj.bias", shape: [inner]).values
        kv = try Linear(
            weight: key + value, bias: bias, outputs: 2 * inner, inputs: channels, precision: precision)
        places = positions.count / channels
        placed = try Linear(
            weight: key + [Float](repeating: 0, count: value.count), bias: nil, outputs: 2 * inner, inputs: channels,
            precision: .fp32
        ).all(positions)
    }

    /// Keys and values of the image's rows, `[places, 2 inner]`.
    func project(_ rows: UnsafeRawPointer, to output: UnsafeMutablePointer<Float>) throws(ComputeError) {
        var status: ComputeError?
        placed.withUnsafeBufferPointer { placed in
            do throws(ComputeError) {
                try kv.apply(rows: places, rows, to: output, residual: placed.baseAddress)
            } catch { status = error }
        }
        if let status { throw status }
    }

    /// The queries of placed tokens, `[rows, inner]`.
    func queries(_ rows: Int, _ placedTokens: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>) throws {
        try q.apply(rows: rows, placedTokens, to: output)
    }

    /// - Parameters:
    ///   - queries: `[prompts, tokens, inner]`.
    ///   - keysAndValues: `[places, 2 inner]`, of all these prompts.
    func attend(
        _ group: TokenGroup, _ queries: UnsafePointer<Float>, _ keysAndValues: UnsafePointer<Float>,
        to output: UnsafeMutablePointer<Float>
    ) throws(ComputeError) {
        var call = ck_cross_attention()
        call.batch = Int64(group.prompts)
        (call.queries, call.keys) = (Int64(group.tokens), Int64(places))
        call.heads = Int64(heads)
        call.head_size = Int64(inner / heads)
        call.scale = 1 / Float(inner / heads).squareRoot()
        call.query = queries
        (call.query_batch_stride, call.query_stride) = (Int64(group.tokens * inner), Int64(inner))
        call.key = keysAndValues
        call.value = keysAndValues + inner
        (call.key_stride, call.value_stride) = (Int64(2 * inner), Int64(2 * inner))
        call.output = output
        try ComputeError.check(ck_cross_attend(&call), "the tokens' attention to the image")
    }

    /// tokens += the product after the attention.
    func finish(_ rows: Int, _ attended: UnsafePointer<Float>, addingTo tokens: UnsafeMutablePointer<Float>) throws {
        try out.apply(rows: rows, attended, to: tokens, residual: tokens)
    }
}

/// The image's rows that attend to the tokens: thousands of queries, few keys.
final class TokenAttention {
    let inner: Int
    private let heads = MaskDecoder.heads
    private let q: Linear
    private let k: Linear
    private let v: Linear
    private let out: Linear
    private let precision: Precision
    /// What the positions add to the queries, `[places, inner]`.
    private let placed: [Float]
    private let places: Int

    init(
        _ weights: SafeTensors, _ name: String, channels: Int, positions: [Float], precision: Precision
    ) throws {
        self.precision = precision
        inner = try weights.shape("\(name).q_proj.weight", axes: 2)[0]
        guard inner % heads == 0 else {
            throw WeightFileError.tensor("\(name).q_proj.weight", reason: "\(inner) rows are not \(heads) heads")
        }
        let query = try weights.tensor("\(name).q_proj.weight", shape: [inner, channels]).values
        q = try Linear(
            weight: query, bias: weights.tensor("\(name).q_proj.bias", shape: [inner]).values, outputs: inner,
            inputs: channels, precision: precision)
        k = try weights.linear("\(name).k_proj", channels, inner, precision: .fp32)
        v = try weights.linear("\(name).v_proj", channels, inner, precision: .fp32)
        out = try weights.linear("\(name).out_proj", inner, channels, precision: precision)
        places = positions.count / channels
        placed = try Linear(weight: query, bias: nil, outputs: inner, inputs: channels, precision: .fp32).all(positions)
    }

    /// The queries of the image's rows, `[places, inner]`.
    func project(_ rows: UnsafeRawPointer, to output: UnsafeMutablePointer<Float>) throws(ComputeError) {
        var status: ComputeError?
        placed.withUnsafeBufferPointer { placed in
            do throws(ComputeError) {
                try q.apply(rows: places, rows, to: output, residual: placed.baseAddress)
            } catch { status = error }
        }
        if let status { throw status }
    }

    /// Keys and values of tokens, `[rows, 2 inner]`.
    func keysAndValues(
        _ rows: Int, placedTokens: UnsafePointer<Float>, tokens: UnsafePointer<Float>,
        to output: UnsafeMutablePointer<Float>
    ) throws {
        try k.apply(rows: rows, placedTokens, to: output, outputStride: 2 * inner)
        try v.apply(rows: rows, tokens, to: output + inner, outputStride: 2 * inner)
    }

    /// output = image + attention of one prompt's image rows.
    ///
    /// - Parameters:
    ///   - queries: `[places, inner]`.
    ///   - keysAndValues: of this prompt's tokens, `[tokens, 2 inner]`.
    func apply(
        _ queries: UnsafePointer<Float>, _ keysAndValues: UnsafePointer<Float>, tokens: Int,
        image: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>, _ workspace: Workspace
    ) throws {
        let attended = workspace.floats("attended places", places * inner)
        var call = ck_cross_attention()
        call.batch = 1
        (call.queries, call.keys) = (Int64(places), Int64(tokens))
        call.heads = Int64(heads)
        call.head_size = Int64(inner / heads)
        call.scale = 1 / Float(inner / heads).squareRoot()
        call.query = queries
        call.query_stride = Int64(inner)
        call.key = keysAndValues
        call.value = keysAndValues + inner
        (call.key_stride, call.value_stride) = (Int64(2 * inner), Int64(2 * inner))
        call.output = attended
        try ComputeError.check(ck_cross_attend(&call), "the image's attention to tokens")
        var rows = UnsafeRawPointer(attended)
        if precision == .bf16 {
            let rounded = workspace.numbers("rounded places", places * inner, .bf16)
            roundToBF16(attended, count: places * inner, to: rounded)
            rows = UnsafeRawPointer(rounded)
        }
        try out.apply(rows: places, rows, to: output, residual: image)
    }
}

extension Linear {
    /// The product with dense fp32 rows, as an array.
    func all(_ rows: [Float]) throws(ComputeError) -> [Float] {
        var failure: ComputeError?
        let count = rows.count / inputs
        let result = [Float](unsafeUninitializedCapacity: count * outputs) { buffer, filled in
            filled = buffer.count
            guard let base = buffer.baseAddress else { return }
            do throws(ComputeError) { try apply(rows: count, rows, to: base) } catch { failure = error }
        }
        if let failure { throw failure }
        return result
    }
}
