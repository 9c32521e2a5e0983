// SPDX-License-Identifier: Apache-2.0
//
// `MemoryAttention` of sam2/modeling/memory_attention.py and `RoPEAttention` of sam2/modeling/sam/transformer.py, with
// their tensor names.

import CKernels

/// The memories that a frame attends to, as rows.
struct MemoryRows {
    /// The memories, `[rows, channels]`: those of the grid first, then the object pointers.
    var values: [Float] = []
    /// The memories plus their positions in space and time, `[rows, channels]`.
    var keys: [Float] = []
    /// The number of rows that belong to grids, a multiple of the grid's places.
    var gridRows = 0
}

/// The transformer that adds memories of other frames to a frame's image embedding.
///
/// Each layer attends to the frame itself, then to the memories. Both attentions have one head, whose queries and keys
/// carry rotary positions. Object pointers are not rotated.
final class MemoryAttention {
    private let layers: [MemoryAttentionLayer]
    private let norm: LayerNorm
    /// A tenth of the grid's positional encoding, `[grid * grid, channels]`.
    private let positions: [Float]
    private let channels: Int
    private let memoryChannels: Int
    private let precision: Precision
    private let workspace = Workspace()

    static let name = "memory_attention"

    /// Reads the transformer.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - grid: height and width of the image embedding.
    ///   - channels: the number of channels of the image embedding.
    ///   - memoryChannels: the number of channels of a memory.
    ///   - precision: the number format of products and attention.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, grid: Int, channels: Int, memoryChannels: Int, precision: Precision) throws {
        self.channels = channels
        self.memoryChannels = memoryChannels
        self.precision = precision
        let depth = weights.count("\(Self.name).layers.")
        guard (1...64).contains(depth) else {
            throw WeightFileError.missing("\(Self.name).layers.0.self_attn.q_proj.weight")
        }
        let turns = RotaryTable(side: grid, channels: channels)
        layers = try (0..<depth).map {
            try MemoryAttentionLayer(
                weights, "\(Self.name).layers.\($0)", grid: grid, turns: turns, channels: channels,
                memoryChannels: memoryChannels, precision: precision)
        }
        norm = try weights.layerNorm("\(Self.name).norm", channels, epsilon: 1e-5)
        positions = SinePositions.grid(grid, channels: channels).map { 0.1 * $0 }
    }

    /// Computes the image embedding with memories, `[grid * grid, channels]`.
    ///
    /// - Parameters:
    ///   - vision: the frame's own embedding.
    ///   - memory: the memories; at least one row.
    /// - Returns: the embedding.
    /// - Throws: `ComputeError`.
    func apply(_ vision: Tensor, _ memory: MemoryRows) throws -> [Float] {
        let count = vision.count
        let x = workspace.floats("residual stream", count)
        ck_add(1, Int64(count), vision.values, positions, 0, x)
        let rows = MemoryAttentionLayer.Rows(
            values: numbers(memory.values, "memory values"), keys: numbers(memory.keys, "memory keys"),
            count: memory.values.count / memoryChannels, onGrid: memory.gridRows)
        for layer in layers { try layer.apply(to: x, rows, workspace) }
        return [Float](unsafeUninitializedCapacity: count) { output, filled in
            if let base = output.baseAddress { norm.apply(rows: count / channels, x, to: base) }
            filled = count
        }
    }

    /// The numbers in the layers' precision, copied into the workspace.
    private func numbers(_ values: [Float], _ name: String) -> UnsafeRawPointer {
        let copy = workspace.numbers(name, values.count, precision)
        values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return }
            if precision == .bf16 {
                roundToBF16(base, count: values.count, to: copy)
            } else {
                copy.copyMemory(from: base, byteCount: values.count * MemoryLayout<Float>.size)
            }
        }
        return UnsafeRawPointer(copy)
    }
}

/// One layer: self-attention, attention to the memories, MLP, each behind a norm and around a residual.
private final class MemoryAttentionLayer {
    /// `MemoryRows` in the layers' precision.
    struct Rows {
        let values: UnsafeRawPointer
        let keys: UnsafeRawPointer
        /// The number of rows, and of those that belong to grids.
        let count: Int
        let onGrid: Int
    }

    private let grid: Int
    private let channels: Int
    private let precision: Precision
    private let selfAttention: RotaryAttention
    private let crossAttention: RotaryAttention
    private let norms: [LayerNorm]
    private let linear1: Linear
    private let linear2: Linear

    init(
        _ weights: SafeTensors, _ name: String, grid: Int, turns: RotaryTable, channels: Int, memoryChannels: Int,
        precision: Precision
    ) throws {
        self.grid = grid
        self.channels = channels
        self.precision = precision
        selfAttention = try RotaryAttention(
            weights, "\(name).self_attn", turns: turns, channels: channels, keyChannels: channels,
            precision: precision)
        crossAttention = try RotaryAttention(
            weights, "\(name).cross_attn_image", turns: turns, channels: channels, keyChannels: memoryChannels,
            precision: precision)
        norms = try (1...3).map { try weights.layerNorm("\(name).norm\($0)", channels, epsilon: 1e-5) }
        let hidden = try weights.shape("\(name).linear1.weight", axes: 2)[0]
        linear1 = try weights.linear("\(name).linear1", channels, hidden, precision: precision)
        linear2 = try weights.linear("\(name).linear2", hidden, channels, precision: precision)
    }

    /// Replaces `x`, `[grid * grid, channels]`, by the layer's output.
    func apply(to x: UnsafeMutablePointer<Float>, _ memory: Rows, _ workspace: Workspace) throws {
        let places = grid * grid
        let normed = workspace.numbers("normed", places * channels, precision)
        norms[0].apply(rows: places, x, to: normed, form: precision)
        try selfAttention.apply(
            queries: normed, keys: normed, values: normed, keyRows: places, rotatedRows: places, addingTo: x,
            workspace)
        norms[1].apply(rows: places, x, to: normed, form: precision)
        try crossAttention.apply(
            queries: normed, keys: memory.keys, values: memory.values, keyRows: memory.count,
            rotatedRows: memory.onGrid, addingTo: x, workspace)
        norms[2].apply(rows: places, x, to: normed, form: precision)
        let hidden = workspace.numbers("hidden", places * linear1.outputs, precision)
        try linear1.apply(rows: places, normed, to: hidden, form: precision, activation: .relu)
        try linear2.apply(rows: places, hidden, to: x, residual: x)
    }
}

/// An attention with one head, whose queries and keys are rotated by their places.
private final class RotaryAttention {
    private let turns: RotaryTable
    private let precision: Precision
    private let q: Linear
    private let k: Linear
    /// The projection of the values; `nil` if `out` does its work.
    private let v: Linear?
    private let out: Linear

    init(
        _ weights: SafeTensors, _ name: String, turns: RotaryTable, channels: Int, keyChannels: Int,
        precision: Precision
    ) throws {
        self.turns = turns
        self.precision = precision
        q = try weights.linear("\(name).q_proj", channels, channels, precision: precision)
        k = try weights.linear("\(name).k_proj", keyChannels, channels, precision: precision)
        guard keyChannels < channels else {
            v = try weights.linear("\(name).v_proj", keyChannels, channels, precision: precision)
            out = try weights.linear("\(name).out_proj", channels, channels, precision: precision)
            return
        }
        // Narrow memories are summed themselves. Shares add up to 1, so the value projection of their sum is the sum of
        // the projected values.
        v = nil
        out = try weights.fused(
            "\(name).v_proj", "\(name).out_proj", inputs: keyChannels, between: channels, outputs: channels,
            precision: precision)
    }

    /// The number of queries: the places of the grid.
    private var places: Int { turns.cosines.count / (q.outputs / 2) }

    /// Adds the attention to `x`, `[places, channels]`.
    ///
    /// - Parameters:
    ///   - queries: `[places, channels]`.
    ///   - keys: `[keyRows, keyChannels]`, with positions.
    ///   - values: `[keyRows, keyChannels]`.
    ///   - keyRows: the number of keys.
    ///   - rotatedRows: the number of keys that lie on grids, which come first.
    ///   - x: the residual stream.
    ///   - workspace: memory for intermediate results.
    /// - Throws: `ComputeError`.
    func apply(
        queries: UnsafeRawPointer, keys: UnsafeRawPointer, values: UnsafeRawPointer, keyRows: Int, rotatedRows: Int,
        addingTo x: UnsafeMutablePointer<Float>, _ workspace: Workspace
    ) throws(ComputeError) {
        let width = q.outputs
        let query = try rotated(q, queries, rows: places, turning: places, "q", workspace)
        let key = try rotated(k, keys, rows: keyRows, turning: rotatedRows, "k", workspace)
        var value = values
        if let v {
            let projected = workspace.numbers("v", keyRows * width, precision)
            try v.apply(rows: keyRows, values, to: projected, form: precision)
            value = UnsafeRawPointer(projected)
        }
        let attended = workspace.numbers("attended", places * out.inputs, precision)
        var call = ck_self_attention()
        (call.batch, call.heads, call.head_size, call.value_size) = (1, 1, Int64(width), Int64(out.inputs))
        (call.height, call.width) = (1, Int64(keyRows))
        (call.query_height, call.query_width) = (1, Int64(places))
        (call.query, call.key, call.value) = (query, key, value)
        call.form = precision.form
        call.scale = 1 / Float(width).squareRoot()
        call.output = attended
        try ComputeError.check(ck_attend(&call), "the attention of \(places) places to \(keyRows) memories")
        try out.apply(rows: places, attended, to: x, residual: x)
    }

    /// The projection of rows, of which the first `turning` are rotated.
    private func rotated(
        _ projection: Linear, _ input: UnsafeRawPointer, rows: Int, turning: Int, _ name: String,
        _ workspace: Workspace
    ) throws(ComputeError) -> UnsafeRawPointer {
        let width = projection.outputs
        let full = workspace.floats("full \(name)", rows * width)
        try projection.apply(rows: rows, input, to: full)
        let target = precision == .fp32 ? UnsafeMutableRawPointer(full) : workspace.numbers(name, rows * width, .bf16)
        ck_rotate(
            Int64(turning), Int64(width), Int64(places), full, turns.cosines, turns.sines, target, precision.form)
        if precision == .bf16, rows > turning {
            roundToBF16(
                full + turning * width, count: (rows - turning) * width,
                to: target + turning * width * precision.width)
        }
        return UnsafeRawPointer(target)
    }
}
