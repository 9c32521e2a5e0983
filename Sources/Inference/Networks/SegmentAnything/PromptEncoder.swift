// SPDX-License-Identifier: Apache-2.0
//
// segment_anything/modeling/prompt_encoder.py, with its tensor names. Points and boxes become
// tokens: random Fourier features of their position (Tancik 2020) plus a learned vector for their
// kind. A mask becomes a tensor that is added to the image embedding.

import Foundation

/// The prompt encoder, which turns prompts into the inputs of the mask decoder; it computes in
/// fp32.
final class PromptEncoder {
    /// The number of channels of a token and of the image embedding.
    let channels: Int
    /// The positional encoding of the image embedding, `[embeddingSize, embeddingSize, channels]`.
    let densePositions: [Float]
    /// The embedding that stands for a missing mask prompt, `[channels]`; it is added to the image
    /// embedding.
    let noMask: [Float]

    private let inputSize: Int
    private let embeddingSize: Int
    private let frequencies: PositionEncoding
    /// The learned vectors of a background point, a foreground point, and the first and second
    /// corner of a box.
    let kinds: [[Float]]
    /// The learned vector that pads the points, `[channels]`.
    let notAPoint: [Float]
    private let masks: MaskDownscaling

    static let name = "prompt_encoder"

    /// Reads the prompt encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - inputSize: height and width of the network's input.
    ///   - embeddingSize: height and width of the image embedding.
    ///   - channels: the number of channels of the image embedding.
    ///   - prefix: the prefix of the tensors' names.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(
        _ weights: SafeTensors, inputSize: Int, embeddingSize: Int, channels: Int,
        name prefix: String = PromptEncoder.name
    ) throws {
        self.inputSize = inputSize
        self.embeddingSize = embeddingSize
        self.channels = channels
        let matrix = try weights.tensor(
            "\(prefix).pe_layer.positional_encoding_gaussian_matrix", shape: [2, channels / 2])
        frequencies = PositionEncoding(matrix: matrix.values)
        func vector(_ name: String) throws -> [Float] {
            try weights.tensor("\(prefix).\(name).weight", shape: [1, channels]).values
        }
        kinds = try (0..<4).map { try vector("point_embeddings.\($0)") }
        notAPoint = try vector("not_a_point_embed")
        noMask = try vector("no_mask_embed")
        masks = try MaskDownscaling(
            weights, "\(prefix).mask_downscaling", size: 4 * embeddingSize, channels: channels)
        var dense = [Float]()
        dense.reserveCapacity(embeddingSize * embeddingSize * channels)
        for y in 0..<embeddingSize {
            for x in 0..<embeddingSize {
                dense += frequencies.encode(
                    x: (Float(x) + 0.5) / Float(embeddingSize), y: (Float(y) + 0.5) / Float(embeddingSize))
            }
        }
        densePositions = dense
    }

    /// The number of tokens that a prompt becomes.
    func tokenCount(_ prompt: Prompt) -> Int {
        prompt.points.count + (prompt.box != nil ? 2 : prompt.points.isEmpty ? 0 : 1)
    }

    /// The tokens of a prompt's points and box, `[tokens, channels]`.
    ///
    /// As in the reference, points without a box are followed by a token that stands for "not a
    /// point".
    func tokens(_ prompt: Prompt) -> [Float] {
        var tokens = [Float]()
        for point in prompt.points { tokens += place(point.x, point.y, kinds[point.label.rawValue]) }
        if let box = prompt.box {
            tokens += place(box.x0, box.y0, kinds[2]) + place(box.x1, box.y1, kinds[3])
        } else if !prompt.points.isEmpty {
            tokens += notAPoint
        }
        return tokens
    }

    /// Computes the embedding of a mask prompt, `[embeddingSize, embeddingSize, channels]`.
    func embed(mask: Tensor, into output: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws {
        try masks.apply(mask.values, to: output, workspace)
    }

    /// The token of a point at (x, y), in pixels of the input, whose kind has the learned vector
    /// `kind`.
    func place(_ x: Float, _ y: Float, _ kind: [Float]) -> [Float] {
        let code = frequencies.encode(x: (x + 0.5) / Float(inputSize), y: (y + 0.5) / Float(inputSize))
        return zip(code, kind).map { $0 + $1 }
    }
}

/// Random Fourier features: sines and cosines of frequencies that were drawn before the training.
private struct PositionEncoding {
    /// The frequencies along x and y, `[2, channels / 2]`.
    let matrix: [Float]

    /// The features `[channels]` of a position given in fractions of the image's width and height.
    func encode(x: Float, y: Float) -> [Float] {
        let half = matrix.count / 2
        let (x, y) = (2 * x - 1, 2 * y - 1)
        let angles = (0..<half).map { 2 * Float.pi * (x * matrix[$0] + y * matrix[half + $0]) }
        return angles.map { sin($0) } + angles.map { cos($0) }
    }
}

/// The embedding of a mask prompt: two convolutions of kernel and stride 2 with norms and GELU,
/// then a 1 x 1 convolution.
///
/// The output has a quarter of the mask's height and width.
private final class MaskDownscaling {
    private let size: Int
    private let convolutions: [Linear]
    private let norms: [LayerNorm]
    private let last: Linear

    init(_ weights: SafeTensors, _ name: String, size: Int, channels: Int) throws {
        self.size = size
        let narrow = try weights.shape("\(name).0.weight", axes: 4)[0]
        let wide = try weights.shape("\(name).3.weight", axes: 4)[0]
        convolutions = try [("0", 1, narrow), ("3", narrow, wide)].map { index, inputs, outputs in
            let kernel = try weights.tensor("\(name).\(index).weight", shape: [outputs, inputs, 2, 2]).channelsLast()
            return try Linear(
                weight: kernel.values, bias: weights.tensor("\(name).\(index).bias", shape: [outputs]).values,
                outputs: outputs, inputs: 4 * inputs, precision: .fp32)
        }
        norms = [
            try weights.layerNorm("\(name).1", narrow, epsilon: 1e-6),
            try weights.layerNorm("\(name).4", wide, epsilon: 1e-6),
        ]
        last = try weights.linear("\(name).6", wide, channels, ones: 2, precision: .fp32)
    }

    func apply(_ mask: [Float], to output: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws {
        var (side, channels) = (size, 1)
        let x = workspace.floats("mask", size * size * convolutions[1].outputs)
        let patches = workspace.floats("mask patches", size * size * convolutions[1].outputs)
        mask.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            x.update(from: base, count: source.count)
        }
        for (convolution, norm) in zip(convolutions, norms) {
            gatherPatches(x, size: side, channels: channels, kernel: 2, stride: 2, padding: 0, to: patches, .fp32)
            (side, channels) = (side / 2, convolution.outputs)
            try convolution.apply(rows: side * side, patches, to: x)
            norm.apply(rows: side * side, x, to: x, activation: .gelu)
        }
        try last.apply(rows: side * side, x, to: output)
    }
}
