// SPDX-License-Identifier: Apache-2.0
//
// The image encoder of Segment Anything (Kirillov 2023): a ViT (Dosovitskiy 2021) with decomposed
// relative positions. Most blocks attend within windows, a few attend globally (Li 2022). This file
// follows segment_anything/modeling/image_encoder.py and uses its tensor names. All sizes follow
// from the shapes of the tensors.

/// The ViT image encoder: ViT-B, ViT-L, ViT-H, or a scaled-down one.
final class ImageEncoderViT: ImageEncoder {
    let inputSize: Int
    let embeddingSize: Int
    var channels: Int { neck.channels }

    private let width: Int
    private let patch: Int
    private let precision: Precision
    private let projection: Linear
    private let positions: Tensor
    private let blocks: [ViTBlock]
    private let neck: Neck
    private let workspace = Workspace()

    static let name = "image_encoder"

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - precision: the number format of products and attention.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, precision: Precision) throws {
        let projectionName = "\(Self.name).patch_embed.proj"
        let patches = try weights.shape("\(projectionName).weight", axes: 4)
        (width, patch) = (patches[0], patches[2])
        embeddingSize = try weights.shape("\(Self.name).pos_embed", axes: 4)[1]
        inputSize = embeddingSize * patch
        self.precision = precision
        projection = try Self.patchProjection(weights, projectionName, width: width, patch: patch, precision)
        positions = try weights.tensor(
            "\(Self.name).pos_embed", shape: [1, embeddingSize, embeddingSize, width])
        let depth = weights.count("\(Self.name).blocks.")
        guard (1...256).contains(depth) else { throw WeightFileError.missing("\(Self.name).blocks.0.norm1.weight") }
        let (width, grid) = (width, embeddingSize)
        blocks = try (0..<depth).map {
            try ViTBlock(weights, "\(Self.name).blocks.\($0)", width: width, grid: grid, precision: precision)
        }
        neck = try Neck(weights, "\(Self.name).neck", inputs: width, grid: grid, precision: precision)
    }

    /// The patch embedding as a product with rows `[patch, patch, 3]`.
    ///
    /// The reference's kernel is `[width, 3, patch, patch]`.
    private static func patchProjection(
        _ weights: SafeTensors, _ name: String, width: Int, patch: Int, _ precision: Precision
    ) throws -> Linear {
        let kernel = try weights.tensor("\(name).weight", shape: [width, 3, patch, patch]).channelsLast()
        return try Linear(
            weight: kernel.values, bias: weights.tensor("\(name).bias", shape: [width]).values, outputs: width,
            inputs: 3 * patch * patch, precision: precision)
    }

    func embed(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, _ stopwatch: Stopwatch,
        onStage: ((String, Tensor) -> Void)?
    ) throws {
        let tokens = embeddingSize * embeddingSize
        let shape = [1, embeddingSize, embeddingSize, width]
        let x = workspace.floats("residual stream", tokens * width)
        try stopwatch.measure(.patchEmbedding) {
            let rows = workspace.numbers("hidden", inputSize * inputSize * 3, precision)
            gatherPatches(
                input, size: inputSize, channels: 3, kernel: patch, stride: patch, padding: 0, to: rows, precision)
            try positions.values.withUnsafeBufferPointer {
                try projection.apply(rows: tokens, rows, to: x, residual: $0.baseAddress)
            }
        }
        onStage?("positions", Tensor(copying: x, shape: shape))
        for (index, block) in blocks.enumerated() {
            try block.apply(to: x, workspace, stopwatch)
            onStage?("blocks.\(index)", Tensor(copying: x, shape: shape))
        }
        try stopwatch.measure(.neck) { try neck.apply(x, to: output, workspace) }
    }
}

/// A transformer block: norm and attention around a residual, then norm and MLP around a residual.
private final class ViTBlock {
    private let width: Int
    private let tokens: Int
    private let precision: Precision
    private let norm1: LayerNorm
    private let qkv: Linear
    private let attention: SelfAttention
    private let projection: Linear
    private let norm2: LayerNorm
    private let lin1: Linear
    private let lin2: Linear

    init(_ weights: SafeTensors, _ name: String, width: Int, grid: Int, precision: Precision) throws {
        self.width = width
        self.precision = precision
        tokens = grid * grid
        norm1 = try weights.layerNorm("\(name).norm1", width, epsilon: 1e-6)
        norm2 = try weights.layerNorm("\(name).norm2", width, epsilon: 1e-6)
        let positions = try weights.shape("\(name).attn.rel_pos_h", axes: 2)
        let headSize = positions[1]
        // The table has 2 S - 1 rows for windows of S x S tokens. S is the size of the grid if the
        // block attends globally.
        let window = (positions[0] + 1) / 2
        guard headSize > 0, width % headSize == 0, window <= grid else {
            throw WeightFileError.tensor(
                "\(name).attn.rel_pos_h", reason: "it does not fit \(width) channels and a grid of \(grid)")
        }
        qkv = try weights.linear("\(name).attn.qkv", width, 3 * width, precision: precision)
        attention = SelfAttention(
            grid: grid, window: window == grid ? 0 : window, heads: width / headSize, headSize: headSize,
            precision: precision,
            positions: .decomposed(
                height: try weights.tensor("\(name).attn.rel_pos_h", shape: [2 * window - 1, headSize]),
                width: try weights.tensor("\(name).attn.rel_pos_w", shape: [2 * window - 1, headSize])),
            padding: try weights.tensor("\(name).attn.qkv.bias", shape: [3 * width]).values)
        projection = try weights.linear("\(name).attn.proj", width, width, precision: precision)
        let hidden = try weights.shape("\(name).mlp.lin1.weight", axes: 2)[0]
        lin1 = try weights.linear("\(name).mlp.lin1", width, hidden, precision: precision)
        lin2 = try weights.linear("\(name).mlp.lin2", hidden, width, precision: precision)
    }

    /// Replaces `x`, `[tokens, width]`, by the block's output.
    func apply(to x: UnsafeMutablePointer<Float>, _ workspace: Workspace, _ stopwatch: Stopwatch) throws {
        let normed = workspace.numbers("normed", tokens * width, precision)
        let hidden = workspace.numbers("hidden", tokens * max(3 * width, lin1.outputs), precision)
        stopwatch.measure(.norm) { norm1.apply(rows: tokens, x, to: normed, form: precision) }
        try stopwatch.measure(.projection) { try qkv.apply(rows: tokens, normed, to: hidden, form: precision) }
        try stopwatch.measure(attention.isGlobal ? .globalAttention : .windowAttention) {
            try attention.apply(qkv: hidden, to: normed)
        }
        try stopwatch.measure(.projection) { try projection.apply(rows: tokens, normed, to: x, residual: x) }
        stopwatch.measure(.norm) { norm2.apply(rows: tokens, x, to: normed, form: precision) }
        try stopwatch.measure(.mlp) {
            try lin1.apply(rows: tokens, normed, to: hidden, form: precision, activation: .gelu)
            try lin2.apply(rows: tokens, hidden, to: x, residual: x)
        }
    }
}
