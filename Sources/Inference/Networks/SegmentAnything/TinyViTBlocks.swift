// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// An inverted bottleneck (Sandler 2018): 1 x 1, depthwise 3 x 3, 1 x 1, around a residual, with GELU after each.
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

    func apply(to x: inout Activation, _ stopwatch: Stopwatch) throws {
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

/// 1 x 1, depthwise 3 x 3, 1 x 1: more channels, and half the height and width.
final class PatchMerging {
    let outputGrid: Int
    private let grid: Int
    private let widen: PointwiseConvolution
    private let mix: DepthwiseConvolution
    private let last: PointwiseConvolution

    /// Widths before which the reference keeps the height and width.
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

    func apply(to x: inout Activation) throws {
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

/// Attention in windows, a depthwise convolution, an MLP.
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

    /// `[heads, tokens, tokens]` from a table indexed by (|dy|, |dx|).
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

    /// What a padded token has: zeros before the norm, its bias after.
    private static func padding(_ weight: [Float], _ bias: [Float], _ normed: [Float]) -> [Float] {
        bias.indices.map { row in
            var sum = bias[row]
            for column in normed.indices { sum += weight[row * normed.count + column] * normed[column] }
            return sum
        }
    }

    func apply(to x: inout Activation, _ stopwatch: Stopwatch) throws {
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

/// The reference's qkv rows lie per head as q, k, v; the kernels want all heads' q, then k, then v.
private struct QKVRows {
    let heads: Int
    let headSize: Int

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

/// A 1 x 1 convolution with its batch norm folded in.
final class PointwiseConvolution {
    private let product: Linear

    var inputs: Int { product.inputs }
    var outputs: Int { product.outputs }

    /// - Parameters: `inputs`, `outputs`: what is expected; `nil` takes what is there.
    init(
        _ weights: SafeTensors, _ name: String, inputs: Int? = nil, outputs: Int? = nil, _ precision: Precision
    ) throws {
        let found = try weights.shape("\(name).c.weight", axes: 4)
        let shape = [outputs ?? found[0], inputs ?? found[1], 1, 1]
        var weight = try weights.tensor("\(name).c.weight", shape: shape).values
        let norm = try BatchNorm(weights, "\(name).bn", shape[0])
        for index in weight.indices { weight[index] *= norm.scale[index / shape[1]] }
        product = try Linear(
            weight: weight, bias: norm.shift, outputs: shape[0], inputs: shape[1], precision: precision)
    }

    func apply(
        rows: Int, _ input: UnsafeRawPointer, to output: UnsafeMutableRawPointer, form: Precision = .fp32,
        activation: Linear.Activation = .identity, activatesLast: Bool = false, residual: UnsafePointer<Float>? = nil
    ) throws(ComputeError) {
        try product.apply(
            rows: rows, input, to: output, form: form, activation: activation, activatesLast: activatesLast,
            residual: residual)
    }
}

/// A depthwise 3 x 3 convolution, padding 1, with its batch norm folded in.
final class DepthwiseConvolution {
    let stride: Int
    private let channels: Int
    /// `[3, 3, channels]`.
    private let weight: [Float]
    private let bias: [Float]

    init(_ weights: SafeTensors, _ name: String, channels: Int, stride: Int = 1) throws {
        self.channels = channels
        self.stride = stride
        let kernel = try weights.tensor("\(name).c.weight", shape: [channels, 1, 3, 3]).values
        let norm = try BatchNorm(weights, "\(name).bn", channels)
        weight = (0..<9 * channels).map { kernel[$0 % channels * 9 + $0 / channels] * norm.scale[$0 % channels] }
        bias = norm.shift
    }

    func apply(
        _ input: UnsafePointer<Float>, grid: Int, to output: UnsafeMutablePointer<Float>,
        activation: Linear.Activation
    ) {
        ck_depthwise(
            1, Int64(grid), Int64(grid), Int64(channels), Int64(stride), input, weight, bias, activation.code, output)
    }
}

/// A batch norm (Ioffe 2015) of a network that no longer learns: x * scale + shift.
private struct BatchNorm {
    let scale: [Float]
    let shift: [Float]

    init(_ weights: SafeTensors, _ name: String, _ channels: Int) throws(WeightFileError) {
        let weight = try weights.tensor("\(name).weight", shape: [channels]).values
        let bias = try weights.tensor("\(name).bias", shape: [channels]).values
        let mean = try weights.tensor("\(name).running_mean", shape: [channels]).values
        let variance = try weights.tensor("\(name).running_var", shape: [channels]).values
        scale = zip(weight, variance).map { $0 / ($1 + 1e-5).squareRoot() }
        shift =
            channels == 0
            ? [] : (0..<channels).map { bias[$0] - mean[$0] * weight[$0] / (variance[$0] + 1e-5).squareRoot() }
    }
}
