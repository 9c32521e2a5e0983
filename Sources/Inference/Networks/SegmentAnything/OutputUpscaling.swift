// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Two finer levels of an image's features, with their rows in the order of the upscaling.
///
/// The four pixels of a place lie side by side.
struct HighResolutionLevels {
    /// `[grid * grid, 4, channels / 4]`.
    let doubled: UnsafePointer<Float>
    /// `[grid * grid, 4, 4, channels / 8]`.
    let enlarged: UnsafePointer<Float>
}

/// The mask decoder's output upscaling: two transposed convolutions of kernel and stride 2, then
/// the product with the masks' vectors.
///
/// Each convolution is a product whose rows are pixels: the four new pixels lie side by side at the
/// place of the old one. Only the logits are brought into the order of the image.
final class OutputUpscaling {
    /// The number of channels of the enlarged embedding.
    let channels: Int
    private let grid: Int
    private let precision: Precision
    private let first: Linear
    private let norm: LayerNorm
    private let second: Linear

    init(_ weights: SafeTensors, _ name: String, channels: Int, grid: Int, precision: Precision) throws {
        self.grid = grid
        self.precision = precision
        let middle = try weights.shape("\(name).0.weight", axes: 4)[1]
        let outputs = try weights.shape("\(name).3.weight", axes: 4)[1]
        self.channels = outputs
        first = try Self.enlarging(weights, "\(name).0", channels, middle, precision)
        norm = try weights.layerNorm("\(name).1", middle, epsilon: 1e-6)
        second = try Self.enlarging(weights, "\(name).3", middle, outputs, precision)
    }

    /// Reads a transposed convolution, PyTorch's `[inputs, outputs, 2, 2]`, as a matrix with rows
    /// (ky, kx, output).
    private static func enlarging(
        _ weights: SafeTensors, _ name: String, _ inputs: Int, _ outputs: Int, _ precision: Precision
    ) throws -> Linear {
        let kernel = try weights.tensor("\(name).weight", shape: [inputs, outputs, 2, 2]).values
        let bias = try weights.tensor("\(name).bias", shape: [outputs]).values
        var matrix = [Float]()
        matrix.reserveCapacity(kernel.count)
        for place in 0..<4 {
            for output in 0..<outputs {
                for input in 0..<inputs { matrix.append(kernel[(input * outputs + output) * 4 + place]) }
            }
        }
        return try Linear(
            weight: matrix, bias: bias + bias + bias + bias, outputs: 4 * outputs, inputs: inputs, precision: precision)
    }

    /// Computes the low-resolution logits of a prompt.
    ///
    /// - Parameters:
    ///   - rows: the places, `[grid * grid, channels]` in the network's precision.
    ///   - vectors: the outputs of the hypernetworks, `[masks, self.channels]`.
    ///   - masks: the number of masks.
    ///   - levels: what SAM 2 adds to the two enlarged embeddings, in the order of their rows; `nil` adds nothing.
    ///   - workspace: memory for intermediate results.
    /// - Returns: logits, `[masks, 4 * grid, 4 * grid]`.
    /// - Throws: `ComputeError`.
    func logits(
        _ rows: UnsafeRawPointer, _ vectors: UnsafePointer<Float>, masks: Int, levels: HighResolutionLevels? = nil,
        _ workspace: Workspace
    ) throws -> Tensor {
        let places = grid * grid
        let doubled = workspace.floats("doubled", places * first.outputs)
        try first.apply(rows: places, rows, to: doubled, residual: levels?.doubled)
        norm.apply(rows: 4 * places, doubled, to: doubled)
        ck_gelu_in_place(Int64(places * first.outputs), doubled)
        var input = UnsafeRawPointer(doubled)
        if precision == .bf16 {
            let rounded = workspace.numbers("rounded doubled", places * first.outputs, .bf16)
            roundToBF16(doubled, count: places * first.outputs, to: rounded)
            input = UnsafeRawPointer(rounded)
        }
        let enlarged = workspace.floats("enlarged", 4 * places * second.outputs)
        try second.apply(
            rows: 4 * places, input, to: enlarged, activation: .gelu, activatesLast: true, residual: levels?.enlarged)
        let nested = workspace.floats("nested logits", masks * 16 * places)
        let half = workspace.floats("half-nested logits", masks * 16 * places)
        ck_dot_rows(Int64(16 * places), Int64(channels), Int64(masks), enlarged, vectors, nested)
        ck_pixel_shuffle(Int64(masks), Int64(grid), Int64(grid), 2, 4, nested, half)
        return Tensor(shape: [masks, 4 * grid, 4 * grid]) {
            ck_pixel_shuffle(Int64(masks), Int64(2 * grid), Int64(2 * grid), 2, 1, half, $0)
        }
    }
}
