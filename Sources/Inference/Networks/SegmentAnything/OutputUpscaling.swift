// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Two finer levels of an image's features.
struct HighResolutionLevels {
    /// `[2 * grid, 2 * grid, channels / 4]`.
    let doubled: UnsafePointer<Float>
    /// `[4 * grid, 4 * grid, channels / 8]`.
    let enlarged: UnsafePointer<Float>
}

/// The mask decoder's output upscaling: two transposed convolutions of kernel and stride 2, then
/// the product with the masks' vectors.
///
/// Each convolution is two products whose rows are pixels: one makes the two upper new pixels at the place of the old one,
/// the other the two lower ones. Both write into the rows of the enlarged image.
final class OutputUpscaling {
    /// The number of channels of the enlarged embedding.
    let channels: Int
    private let grid: Int
    private let precision: Precision
    private let first: Enlargement
    private let norm: LayerNorm
    private let second: Enlargement

    init(_ weights: SafeTensors, _ name: String, channels: Int, grid: Int, precision: Precision) throws {
        self.grid = grid
        self.precision = precision
        let middle = try weights.shape("\(name).0.weight", axes: 4)[1]
        let outputs = try weights.shape("\(name).3.weight", axes: 4)[1]
        self.channels = outputs
        first = try Enlargement(weights, "\(name).0", channels, middle, precision)
        norm = try weights.layerNorm("\(name).1", middle, epsilon: 1e-6)
        second = try Enlargement(weights, "\(name).3", middle, outputs, precision)
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
        let doubled = workspace.floats("doubled", 4 * grid * grid * first.outputs)
        try first.apply(size: grid, rows, to: doubled, residual: levels?.doubled)
        let normed = workspace.numbers("normed doubled", 4 * grid * grid * first.outputs, precision)
        norm.apply(rows: 4 * grid * grid, doubled, to: normed, form: precision, activation: .gelu)
        let enlarged = workspace.floats("enlarged", 16 * grid * grid * second.outputs)
        try second.apply(size: 2 * grid, normed, to: enlarged, activation: .gelu, residual: levels?.enlarged)
        return Tensor(shape: [masks, 4 * grid, 4 * grid]) {
            ck_dot_rows(Int64(16 * grid * grid), Int64(channels), Int64(masks), enlarged, vectors, $0)
        }
    }
}

/// A transposed convolution of kernel and stride 2.
private struct Enlargement {
    /// The number of channels of a new pixel.
    let outputs: Int
    /// The matrices of the upper and of the lower new pixels, with rows (kx, output).
    private let halves: [Linear]

    /// Reads the convolution; PyTorch's weight is `[inputs, outputs, 2, 2]`.
    init(_ weights: SafeTensors, _ name: String, _ inputs: Int, _ outputs: Int, _ precision: Precision) throws {
        self.outputs = outputs
        let kernel = try weights.tensor("\(name).weight", shape: [inputs, outputs, 2, 2]).values
        let bias = try weights.tensor("\(name).bias", shape: [outputs]).values
        halves = try (0..<2).map { ky in
            let matrix = (0..<2 * outputs * inputs).map { index in
                let (kx, output, input) = (index / inputs / outputs, index / inputs % outputs, index % inputs)
                return kernel[(input * outputs + output) * 4 + 2 * ky + kx]
            }
            return try Linear(
                weight: matrix, bias: bias + bias, outputs: 2 * outputs, inputs: inputs, precision: precision)
        }
    }

    /// Computes activation(enlarged image + residual).
    ///
    /// - Parameters:
    ///   - size: height and width of the image.
    ///   - image: `[size, size, inputs]` in the layer's precision.
    ///   - output: `[2 * size, 2 * size, outputs]`.
    ///   - activation: the activation.
    ///   - residual: has the shape of the output, or `nil`.
    /// - Throws: `ComputeError`.
    func apply(
        size: Int, _ image: UnsafeRawPointer, to output: UnsafeMutablePointer<Float>,
        activation: Linear.Activation = .identity, residual: UnsafePointer<Float>?
    ) throws(ComputeError) {
        let line = 2 * size * outputs
        for (ky, half) in halves.enumerated() {
            try half.apply(
                rows: size * size, image, to: output + ky * line, activation: activation, activatesLast: true,
                residual: residual.map { $0 + ky * line }, groups: Linear.RowGroups(rows: size, stride: 2 * line))
        }
    }
}
