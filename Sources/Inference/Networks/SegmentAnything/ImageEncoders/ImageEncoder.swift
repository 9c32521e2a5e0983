// SPDX-License-Identifier: Apache-2.0

import CKernels

/// A network that computes the image embedding from the network's input.
protocol ImageEncoder: AnyObject {
    /// Height and width of the input.
    var inputSize: Int { get }
    /// Height and width of the embedding.
    var embeddingSize: Int { get }
    /// The number of channels of the embedding.
    var channels: Int { get }

    /// Computes the embedding of one image.
    ///
    /// - Parameters:
    ///   - input: `[inputSize, inputSize, 3]`.
    ///   - output: `[embeddingSize, embeddingSize, channels]`.
    ///   - stopwatch: measures the layers if the caller wants their times.
    ///   - onStage: receives the name of every stage in the reference and the output of that stage,
    ///     channels last.
    /// - Throws: `ComputeError`.
    func embed(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, _ stopwatch: Stopwatch,
        onStage: ((String, Tensor) -> Void)?
    ) throws
}

/// The neck of ViT and TinyViT: a 1 x 1 and a 3 x 3 convolution without bias, each followed by a
/// norm over the channels.
///
/// `image_encoder.neck` in segment_anything/modeling/image_encoder.py.
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
        // The rows of `gatherPatches` are ordered `[3, 3, channels]`.
        let kernel = try weights.tensor("\(name).2.weight", shape: [channels, channels, 3, 3]).channelsLast()
        mix = try Linear(
            weight: kernel.values, bias: nil, outputs: channels, inputs: 9 * channels, precision: precision)
        norm2 = try weights.layerNorm("\(name).3", channels, epsilon: 1e-6)
    }

    /// Computes `[grid, grid, channels]` from `[grid, grid, inputs]`.
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
