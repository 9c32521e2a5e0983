// SPDX-License-Identifier: Apache-2.0
//
// `MultiScaleBlock` and `MultiScaleAttention` of sam2/modeling/backbones/hieradet.py, with their tensor names.

import CKernels

/// A block of Hiera: norm and attention around a residual, then norm and MLP around a residual.
///
/// The first block of a stage takes maxima of 2 x 2 queries and of 2 x 2 places of a projected residual. It halves the
/// grid and doubles the channels.
final class HieraBlock {
    /// Height and width of the grid before the block.
    let grid: Int
    let sizes: HieraArchitecture.Block
    private let precision: Precision
    private let norm1: LayerNorm
    private let qkv: Linear
    /// The q, k and v of a token outside the grid, `[3 * outputs]`: it is zero after the norm.
    private let padding: [Float]
    private let projection: Linear
    private let shortcut: Linear?
    private let norm2: LayerNorm
    private let mlp: [Linear]

    /// The rows whose hidden channels are in memory together: as many as the second-level caches hold.
    private var chunk: Int { max(512, (1 << 20) / (mlp[0].outputs * precision.width)) }

    init(
        _ weights: SafeTensors, _ name: String, _ sizes: HieraArchitecture.Block, grid: Int, precision: Precision
    ) throws {
        self.grid = grid
        self.sizes = sizes
        self.precision = precision
        let (inputs, outputs) = (sizes.inputs, sizes.outputs)
        norm1 = try weights.layerNorm("\(name).norm1", inputs, epsilon: 1e-6)
        qkv = try weights.linear("\(name).attn.qkv", inputs, 3 * outputs, precision: precision)
        padding = try weights.tensor("\(name).attn.qkv.bias", shape: [3 * outputs]).values
        projection = try weights.linear("\(name).attn.proj", outputs, outputs, precision: precision)
        shortcut = sizes.pools ? try weights.linear("\(name).proj", inputs, outputs, precision: precision) : nil
        norm2 = try weights.layerNorm("\(name).norm2", outputs, epsilon: 1e-6)
        let hidden = try weights.shape("\(name).mlp.layers.0.weight", axes: 2)[0]
        mlp = [
            try weights.linear("\(name).mlp.layers.0", outputs, hidden, precision: precision),
            try weights.linear("\(name).mlp.layers.1", hidden, outputs, precision: precision),
        ]
    }

    /// Height and width of the grid behind the block.
    var outputGrid: Int { sizes.pools ? grid / 2 : grid }

    /// Computes the block's output.
    ///
    /// - Parameters:
    ///   - x: `[grid, grid, inputs]`.
    ///   - output: `[outputGrid, outputGrid, outputs]`; the same memory as `x` unless the block pools.
    ///   - workspace: memory for intermediate results.
    ///   - stopwatch: measures the layers.
    /// - Throws: `ComputeError`.
    func apply(
        _ x: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>, _ workspace: Workspace,
        _ stopwatch: Stopwatch
    ) throws {
        let (tokens, left, width) = (grid * grid, outputGrid * outputGrid, sizes.outputs)
        let normed = workspace.numbers("normed", tokens * max(sizes.inputs, width), precision)
        let hidden = workspace.numbers("qkv", tokens * 3 * width, precision)
        stopwatch.measure(.norm) { norm1.apply(rows: tokens, x, to: normed, form: precision) }
        try stopwatch.measure(.projection) {
            try qkv.apply(rows: tokens, normed, to: hidden, form: precision)
            guard let shortcut else { return }
            let wide = workspace.floats("shortcut", tokens * width)
            try shortcut.apply(rows: tokens, normed, to: wide)
            ck_max_pool(Int64(grid), Int64(grid), Int64(width), wide, Int64(width), output, ck_fp32)
        }
        try stopwatch.measure(sizes.window == 0 ? .globalAttention : .windowAttention) {
            try attend(hidden, to: normed, workspace)
        }
        try stopwatch.measure(.projection) { try projection.apply(rows: left, normed, to: output, residual: output) }
        for start in stride(from: 0, to: left, by: chunk) {
            let rows = min(chunk, left - start)
            let part = output + start * width
            stopwatch.measure(.norm) { norm2.apply(rows: rows, part, to: normed, form: precision) }
            try stopwatch.measure(.mlp) {
                let between = workspace.numbers("mlp", chunk * mlp[0].outputs, precision)
                try mlp[0].apply(rows: rows, normed, to: between, form: precision, activation: .gelu)
                try mlp[1].apply(rows: rows, between, to: part, residual: part)
            }
        }
    }

    private func attend(
        _ hidden: UnsafeRawPointer, to output: UnsafeMutableRawPointer, _ workspace: Workspace
    ) throws(ComputeError) {
        let width = sizes.outputs
        var call = ck_self_attention()
        call.batch = 1
        (call.height, call.width) = (Int64(grid), Int64(grid))
        call.window = Int64(sizes.window)
        call.heads = Int64(sizes.heads)
        call.head_size = Int64(width / sizes.heads)
        call.form = precision.form
        call.qkv = hidden
        call.scale = 1 / Float(width / sizes.heads).squareRoot()
        call.output = output
        if sizes.pools {
            let pooled = workspace.numbers("pooled queries", outputGrid * outputGrid * width, precision)
            ck_max_pool(
                Int64(grid), Int64(grid), Int64(width), hidden, Int64(3 * width), pooled, precision.form)
            call.query = UnsafeRawPointer(pooled)
            (call.query_height, call.query_width) = (Int64(outputGrid), Int64(outputGrid))
            call.query_window = Int64(sizes.window / 2)
        }
        let status = padding.withUnsafeBufferPointer {
            call.padding = $0.baseAddress
            return ck_attend(&call)
        }
        try ComputeError.check(status, "the attention of \(grid) x \(grid) tokens")
    }
}
