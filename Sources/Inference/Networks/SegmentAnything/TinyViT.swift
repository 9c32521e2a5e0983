// SPDX-License-Identifier: Apache-2.0
//
// LiteMedSAM's image encoder: TinyViT (Wu 2022) as `tiny_vit_sam.py` of bowang-lab/MedSAM, branch LiteMedSAM, changed it,
// with its tensor names. Nothing is downsampled by the patch embedding, nor before a layer of 320, 448 or 576 channels.
// Batch norms are folded into the convolutions. All sizes follow from the tensors' shapes, but for the input's.

/// TinyViT with a neck, from `[size, size, 3]` to `[size / 4, size / 4, 256]`.
final class TinyViT: ImageEncoder {
    let inputSize: Int
    let embeddingSize: Int
    var channels: Int { neck.channels }

    private let stem: [PointwiseConvolution]
    private let layers: [TinyViTLayer]
    private let neck: Neck
    private let precision: Precision
    private let workspace = Workspace()

    static let name = "image_encoder"

    /// - Parameter inputSize: which no tensor tells; a multiple of 4.
    /// - Throws: `WeightFileError` that names the tensor, `ComputeError`.
    init(_ weights: SafeTensors, inputSize: Int, precision: Precision) throws {
        precondition(inputSize > 0 && inputSize % 4 == 0, "the input's size is a multiple of 4")
        self.inputSize = inputSize
        self.precision = precision
        stem = try ["0", "2"].map {
            try PointwiseConvolution(weights, "\(Self.name).patch_embed.seq.\($0)", precision)
        }
        let count = weights.count("\(Self.name).layers.")
        guard (1...16).contains(count), stem[0].outputs == stem[1].inputs, stem[0].inputs == 3 else {
            throw WeightFileError.tensor("\(Self.name).patch_embed.seq.0.c.weight", reason: "this is no TinyViT")
        }
        var layers = [TinyViTLayer]()
        for index in 0..<count {
            layers.append(
                try TinyViTLayer(
                    weights, "\(Self.name).layers.\(index)", width: layers.last?.outputs ?? stem[1].outputs,
                    grid: layers.last?.outputGrid ?? inputSize, isLast: index == count - 1, precision: precision))
        }
        self.layers = layers
        embeddingSize = layers[count - 1].outputGrid
        neck = try Neck(
            weights, "\(Self.name).neck", inputs: layers[count - 1].outputs, grid: embeddingSize, precision: precision)
    }

    func embed(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, _ stopwatch: Stopwatch,
        onStage: ((String, Tensor) -> Void)?
    ) throws {
        let pixels = inputSize * inputSize
        let largest = max(pixels * stem[1].outputs, layers.map(\.largestActivation).max() ?? 0)
        var x = Activation(
            current: workspace.floats("activation", largest), next: workspace.floats("other activation", largest),
            workspace: workspace, precision: precision)
        try stopwatch.measure(.patchEmbedding) {
            let between = workspace.numbers("hidden", pixels * stem[0].outputs, precision)
            try stem[0].apply(
                rows: pixels, x.rounded(input, pixels * 3), to: between, form: precision, activation: .gelu)
            try stem[1].apply(rows: pixels, between, to: x.current)
        }
        onStage?("patch_embed", Tensor(copying: x.current, shape: [1, inputSize, inputSize, stem[1].outputs]))
        for (index, layer) in layers.enumerated() {
            try layer.apply(to: &x, stopwatch) { name, tensor in onStage?("layers.\(index).\(name)", tensor) }
        }
        try stopwatch.measure(.neck) { try neck.apply(x.current, to: output, workspace) }
    }
}

/// What flows through the layers: the current activation, and room for the next.
struct Activation {
    var current: UnsafeMutablePointer<Float>
    var next: UnsafeMutablePointer<Float>
    let workspace: Workspace
    let precision: Precision

    mutating func swap() { (current, next) = (next, current) }

    /// `count` numbers in the precision of the products: as they are, or rounded into a buffer that the next call reuses.
    func rounded(_ values: UnsafePointer<Float>, _ count: Int) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(values) }
        let target = workspace.numbers("rounded", count, .bf16)
        roundToBF16(values, count: count, to: target)
        return UnsafeRawPointer(target)
    }
}

/// Blocks of one kind, then the merging of patches, except after the last.
final class TinyViTLayer {
    private let width: Int
    private let grid: Int
    private let blocks: [any TinyViTBlock]
    private let merging: PatchMerging?

    init(_ weights: SafeTensors, _ name: String, width: Int, grid: Int, isLast: Bool, precision: Precision) throws {
        self.width = width
        self.grid = grid
        let count = weights.count("\(name).blocks.")
        guard (1...64).contains(count) else { throw WeightFileError.missing("\(name).blocks.0.attn.qkv.weight") }
        blocks = try (0..<count).map { index in
            let block = "\(name).blocks.\(index)"
            return weights.shape(of: "\(block).conv1.c.weight") != nil
                ? try MBConv(weights, block, width: width, grid: grid, precision)
                : try AttentionBlock(weights, block, width: width, grid: grid, precision)
        }
        merging = isLast ? nil : try PatchMerging(weights, "\(name).downsample", inputs: width, grid: grid, precision)
    }

    var outputs: Int { merging?.outputs ?? width }
    var outputGrid: Int { merging?.outputGrid ?? grid }
    /// The numbers of the largest activation that comes in or goes out.
    var largestActivation: Int { max(grid * grid * width, outputGrid * outputGrid * outputs) }

    func apply(to x: inout Activation, _ stopwatch: Stopwatch, onStage: (String, Tensor) -> Void) throws {
        for (index, block) in blocks.enumerated() {
            try block.apply(to: &x, stopwatch)
            onStage("blocks.\(index)", Tensor(copying: x.current, shape: [1, grid, grid, width]))
        }
        guard let merging else { return }
        try stopwatch.measure(.convolution) { try merging.apply(to: &x) }
        onStage("downsample", Tensor(copying: x.current, shape: [1, outputGrid, outputGrid, outputs]))
    }
}

/// Changes an activation `[grid, grid, width]`.
protocol TinyViTBlock: AnyObject {
    func apply(to x: inout Activation, _ stopwatch: Stopwatch) throws
}
