// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// What ViT and TinyViT end with: 1 x 1 and 3 x 3 convolutions without bias, each with a norm over the channels.
final class Neck {
    let channels: Int
    private let grid: Int
    private let inputs: Int
    private let precision: Precision
    private let narrow: Linear
    private let norm1: LayerNorm
    private let mix: Linear
    private let norm2: LayerNorm

    init(_ weights: SafeTensors, _ name: String, inputs: Int, grid: Int, precision: Precision) throws {
        let channels = try weights.shape("\(name).0.weight", axes: 4)[0]
        self.channels = channels
        self.grid = grid
        self.inputs = inputs
        self.precision = precision
        narrow = try weights.linear("\(name).0", inputs, channels, ones: 2, bias: false, precision: precision)
        norm1 = try weights.layerNorm("\(name).1", channels, epsilon: 1e-6)
        // Rows of `[3, 3, channels]`.
        let kernel = try weights.tensor("\(name).2.weight", shape: [channels, channels, 3, 3]).channelsLast()
        mix = try Linear(
            weight: kernel.values, bias: nil, outputs: channels, inputs: 9 * channels, precision: precision)
        norm2 = try weights.layerNorm("\(name).3", channels, epsilon: 1e-6)
    }

    /// From x `[grid, grid, inputs]` to `[grid, grid, channels]`.
    func apply(_ x: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws {
        let rows = grid * grid
        var input = UnsafeRawPointer(x)
        if precision == .bf16 {
            let rounded = workspace.numbers("normed", rows * inputs, .bf16)
            roundToBF16(x, count: rows * inputs, to: rounded)
            input = UnsafeRawPointer(rounded)
        }
        try narrow.apply(rows: rows, input, to: output)
        norm1.apply(rows: rows, output, to: UnsafeMutableRawPointer(output))
        let neighbours = workspace.numbers("hidden", rows * 9 * channels, precision)
        gatherPatches(
            output, size: grid, channels: channels, kernel: 3, stride: 1, padding: 1, to: neighbours, precision)
        try mix.apply(rows: rows, neighbours, to: output)
        norm2.apply(rows: rows, output, to: UnsafeMutableRawPointer(output))
    }
}

/// Rounds to bf16.
func roundToBF16(_ input: UnsafePointer<Float>, count: Int, to output: UnsafeMutableRawPointer) {
    ck_to_bf16(Int64(count), input, output.assumingMemoryBound(to: UInt16.self))
}

/// What a convolution sees of a square image `[size, size, channels]`, as rows `[kernel, kernel, channels]` in `form`.
func gatherPatches(
    _ input: UnsafePointer<Float>, size: Int, channels: Int, kernel: Int, stride: Int, padding: Int,
    to rows: UnsafeMutableRawPointer, _ form: Precision
) {
    ck_patches(
        1, Int64(size), Int64(size), Int64(channels), Int64(kernel), Int64(stride), Int64(padding), input, rows,
        form.form)
}
