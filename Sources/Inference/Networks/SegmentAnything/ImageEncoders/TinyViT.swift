// SPDX-License-Identifier: Apache-2.0
//
// LiteMedSAM's image encoder: TinyViT (Wu 2022) in the variant of `tiny_vit_sam.py` of
// bowang-lab/MedSAM, branch LiteMedSAM, with its tensor names. In this variant, the patch embedding does not
// downsample. A patch merging to 320, 448 or 576 channels does not downsample either. Batch norms are folded into the
// convolutions. All sizes except the input's follow from the shapes of the tensors.

/// TinyViT with a neck: computes `[size / 4, size / 4, 256]` from `[size, size, 3]`.
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

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - inputSize: height and width of the input, a multiple of 4; it does not follow from the
    ///     tensors.
    ///   - precision: the number format of products and attention.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, inputSize: Int, precision: Precision) throws {
        precondition(inputSize > 0 && inputSize % 4 == 0, "the input's size is a multiple of 4")
        self.inputSize = inputSize
        self.precision = precision
        stem = try ["0", "2"].map {
            try PointwiseConvolution(weights, "\(Self.name).patch_embed.seq.\($0)", precision)
        }
        let count = weights.count("\(Self.name).layers.")
        guard (1...16).contains(count), stem[0].outputs == stem[1].inputs, stem[0].inputs == 3 else {
            throw WeightFileError.tensor(
                "\(Self.name).patch_embed.seq.0.c.weight", reason: "the tensors are not those of a TinyViT")
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
        var x = TinyViTActivation(
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

/// The activation that flows through the layers, and memory for the next one.
struct TinyViTActivation {
    var current: UnsafeMutablePointer<Float>
    var next: UnsafeMutablePointer<Float>
    let workspace: Workspace
    let precision: Precision

    /// Makes the next activation the current one.
    mutating func swap() { (current, next) = (next, current) }

    /// The first `count` values in the precision of the products.
    ///
    /// In bf16 they are rounded into a buffer that the next call reuses; in fp32 they stay where
    /// they are.
    func rounded(_ values: UnsafePointer<Float>, _ count: Int) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(values) }
        let target = workspace.numbers("rounded", count, .bf16)
        roundToBF16(values, count: count, to: target)
        return UnsafeRawPointer(target)
    }
}

/// A stage of the encoder: blocks of one kind, then a patch merging unless the stage is the last
/// one.
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

    /// The number of channels of the stage's output.
    var outputs: Int { merging?.outputs ?? width }
    /// Height and width of the stage's output.
    var outputGrid: Int { merging?.outputGrid ?? grid }
    /// The number of values of the stage's input or output, whichever is larger.
    var largestActivation: Int { max(grid * grid * width, outputGrid * outputGrid * outputs) }

    /// Replaces `x`, `[grid, grid, width]`, by the stage's output.
    func apply(to x: inout TinyViTActivation, _ stopwatch: Stopwatch, onStage: (String, Tensor) -> Void) throws {
        for (index, block) in blocks.enumerated() {
            try block.apply(to: &x, stopwatch)
            onStage("blocks.\(index)", Tensor(copying: x.current, shape: [1, grid, grid, width]))
        }
        guard let merging else { return }
        try stopwatch.measure(.convolution) { try merging.apply(to: &x) }
        onStage("downsample", Tensor(copying: x.current, shape: [1, outputGrid, outputGrid, outputs]))
    }
}

/// A block that replaces an activation `[grid, grid, width]` by its output.
protocol TinyViTBlock: AnyObject {
    func apply(to x: inout TinyViTActivation, _ stopwatch: Stopwatch) throws
}

/// An inverted bottleneck (Sandler 2018): 1 x 1, depthwise 3 x 3 and 1 x 1 convolutions around a
/// residual, with GELU after each.
final class MBConv: TinyViTBlock {
    private let pixels: Int
    private let grid: Int
    private let expand: PointwiseConvolution
    private let mix: DepthwiseConvolution
    private let reduce: PointwiseConvolution

    init(_ weights: SafeTensors, _ name: String, width: Int, grid: Int, _ precision: Precision) throws {
        self.grid = grid
        pixels = grid * grid
        expand = try PointwiseConvolution(weights, "\(name).conv1", inputs: width, precision)
        mix = try DepthwiseConvolution(weights, "\(name).conv2", channels: expand.outputs)
        reduce = try PointwiseConvolution(
            weights, "\(name).conv3", inputs: expand.outputs, outputs: width, precision)
    }

    func apply(to x: inout TinyViTActivation, _ stopwatch: Stopwatch) throws {
        try stopwatch.measure(.convolution) {
            let count = pixels * expand.outputs
            let hidden = x.workspace.floats("hidden", count)
            let mixed = x.workspace.floats("mixed", count)
            try expand.apply(
                rows: pixels, x.rounded(x.current, pixels * expand.inputs), to: hidden, activation: .gelu)
            mix.apply(hidden, grid: grid, to: mixed, activation: .gelu)
            try reduce.apply(
                rows: pixels, x.rounded(mixed, count), to: x.current, activation: .gelu, activatesLast: true,
                residual: x.current)
        }
    }
}

/// A patch merging: 1 x 1, depthwise 3 x 3 and 1 x 1 convolutions that add channels and halve
/// height and width.
final class PatchMerging {
    let outputGrid: Int
    private let grid: Int
    private let widen: PointwiseConvolution
    private let mix: DepthwiseConvolution
    private let last: PointwiseConvolution

    /// Output widths for which the reference keeps height and width.
    private static let kept: Set<Int> = [320, 448, 576]

    init(_ weights: SafeTensors, _ name: String, inputs: Int, grid: Int, _ precision: Precision) throws {
        self.grid = grid
        widen = try PointwiseConvolution(weights, "\(name).conv1", inputs: inputs, precision)
        mix = try DepthwiseConvolution(
            weights, "\(name).conv2", channels: widen.outputs, stride: Self.kept.contains(widen.outputs) ? 1 : 2)
        last = try PointwiseConvolution(
            weights, "\(name).conv3", inputs: widen.outputs, outputs: widen.outputs, precision)
        outputGrid = (grid - 1) / mix.stride + 1
    }

    var outputs: Int { last.outputs }

    func apply(to x: inout TinyViTActivation) throws {
        let pixels = grid * grid
        let merged = outputGrid * outputGrid
        let hidden = x.workspace.floats("hidden", pixels * outputs)
        let mixed = x.workspace.floats("mixed", merged * outputs)
        try widen.apply(rows: pixels, x.rounded(x.current, pixels * widen.inputs), to: hidden, activation: .gelu)
        mix.apply(hidden, grid: grid, to: mixed, activation: .gelu)
        try last.apply(rows: merged, x.rounded(mixed, merged * outputs), to: x.next)
        x.swap()
    }
}

/// A TinyViT block: attention within windows, a depthwise convolution and an MLP.
final class AttentionBlock: TinyViTBlock {
    private let width: Int
    private let tokens: Int
    private let grid: Int
    private let precision: Precision
    private let norm: LayerNorm
    private let qkv: Linear
    private let attention: SelfAttention
    private let projection: Linear
    private let local: DepthwiseConvolution
    private let mlpNorm: LayerNorm
    private let fc1: Linear
    private let fc2: Linear

    init(_ weights: SafeTensors, _ name: String, width: Int, grid: Int, _ precision: Precision) throws {
        self.width = width
        self.grid = grid
        self.precision = precision
        tokens = grid * grid
        let attn = "\(name).attn"
        let biases = try weights.shape("\(attn).attention_biases", axes: 2)
        let heads = biases[0]
        let window = Int(Double(biases[1]).squareRoot().rounded())
        guard width % heads == 0, window * window == biases[1] else {
            throw WeightFileError.tensor("\(attn).attention_biases", reason: "it does not fit \(width) channels")
        }
        norm = try weights.layerNorm("\(attn).norm", width, epsilon: 1e-5)
        let rows = QKVRows(heads: heads, headSize: width / heads)
        let weight = rows.byPart(try weights.tensor("\(attn).qkv.weight", shape: [3 * width, width]).values)
        let bias = rows.byPart(try weights.tensor("\(attn).qkv.bias", shape: [3 * width]).values)
        qkv = try Linear(weight: weight, bias: bias, outputs: 3 * width, inputs: width, precision: precision)
        let table = try weights.tensor("\(attn).attention_biases").values
        attention = SelfAttention(
            grid: grid, window: window == grid ? 0 : window, heads: heads, headSize: width / heads,
            precision: precision,
            positions: .table(Self.table(table, heads: heads, window: window)),
            padding: Self.padding(weight, bias, norm.zeroRow))
        projection = try weights.linear("\(attn).proj", width, width, precision: precision)
        local = try DepthwiseConvolution(weights, "\(name).local_conv", channels: width)
        mlpNorm = try weights.layerNorm("\(name).mlp.norm", width, epsilon: 1e-5)
        let hidden = try weights.shape("\(name).mlp.fc1.weight", axes: 2)[0]
        fc1 = try weights.linear("\(name).mlp.fc1", width, hidden, precision: precision)
        fc2 = try weights.linear("\(name).mlp.fc2", hidden, width, precision: precision)
    }

    /// Expands a table indexed by (|dy|, |dx|) to `[heads, tokens, tokens]`.
    private static func table(_ biases: [Float], heads: Int, window: Int) -> [Float] {
        let tokens = window * window
        var table = [Float]()
        table.reserveCapacity(heads * tokens * tokens)
        for head in 0..<heads {
            for a in 0..<tokens {
                for b in 0..<tokens {
                    let (dy, dx) = (abs(a / window - b / window), abs(a % window - b % window))
                    table.append(biases[head * tokens + dy * window + dx])
                }
            }
        }
        return table
    }

    /// The q, k and v of a padded token.
    ///
    /// The token is zero before the norm, so it equals the norm's bias after it.
    private static func padding(_ weight: [Float], _ bias: [Float], _ normed: [Float]) -> [Float] {
        bias.indices.map { row in
            var sum = bias[row]
            for column in normed.indices { sum += weight[row * normed.count + column] * normed[column] }
            return sum
        }
    }

    func apply(to x: inout TinyViTActivation, _ stopwatch: Stopwatch) throws {
        let normed = x.workspace.numbers("normed", tokens * width, precision)
        let hidden = x.workspace.numbers("hidden", tokens * max(3 * width, fc1.outputs), precision)
        stopwatch.measure(.norm) { norm.apply(rows: tokens, x.current, to: normed, form: precision) }
        try stopwatch.measure(.projection) { try qkv.apply(rows: tokens, normed, to: hidden, form: precision) }
        try stopwatch.measure(.windowAttention) { try attention.apply(qkv: hidden, to: normed) }
        try stopwatch.measure(.projection) {
            try projection.apply(rows: tokens, normed, to: x.current, residual: x.current)
        }
        stopwatch.measure(.convolution) { local.apply(x.current, grid: grid, to: x.next, activation: .identity) }
        x.swap()
        stopwatch.measure(.norm) { mlpNorm.apply(rows: tokens, x.current, to: normed, form: precision) }
        try stopwatch.measure(.mlp) {
            try fc1.apply(rows: tokens, normed, to: hidden, form: precision, activation: .gelu)
            try fc2.apply(rows: tokens, hidden, to: x.current, residual: x.current)
        }
    }
}

/// Reorders the rows of a qkv matrix.
///
/// The reference orders them by head, then q, k, v. The kernels want the q of all heads, then k,
/// then v.
private struct QKVRows {
    let heads: Int
    let headSize: Int

    /// Orders rows `[heads, 3, headSize]` as `[3, heads, headSize]`.
    func byPart(_ values: [Float]) -> [Float] {
        let row = values.count / (3 * heads * headSize)
        var sorted = [Float]()
        sorted.reserveCapacity(values.count)
        for part in 0..<3 {
            for head in 0..<heads {
                let start = (head * 3 + part) * headSize * row
                sorted += values[start..<start + headSize * row]
            }
        }
        return sorted
    }
}
