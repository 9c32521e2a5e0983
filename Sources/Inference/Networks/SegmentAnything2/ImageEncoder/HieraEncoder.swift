// SPDX-License-Identifier: Apache-2.0
//
// The image encoder of SAM 2 (Ravi 2024): a Hiera trunk (Ryali 2023) and a feature pyramid. This file follows `Hiera`
// of sam2/modeling/backbones/hieradet.py, `FpnNeck` of image_encoder.py there, and `forward_image` of
// sam2/modeling/sam2_base.py, with their tensor names.

import CKernels

/// The features of one image or frame, channels last.
public struct FrameFeatures: Sendable, Hashable {
    /// The image embedding before any memory is added, `[1, grid, grid, channels]`: the level of stride 16.
    public var vision: Tensor
    /// The level of stride 8 for the mask decoder, `[1, 2 * grid, 2 * grid, channels / 4]`.
    public var s1: Tensor
    /// The level of stride 4 for the mask decoder, `[1, 4 * grid, 4 * grid, channels / 8]`.
    public var s0: Tensor

    /// Creates features.
    public init(vision: Tensor, s1: Tensor, s0: Tensor) {
        self.vision = vision
        self.s1 = s1
        self.s0 = s0
    }
}

/// Hiera with its feature pyramid.
final class HieraEncoder {
    let inputSize: Int
    /// The number of channels of the image embedding.
    let channels: Int
    private let architecture: HieraArchitecture
    private let precision: Precision
    private let patches: Linear
    /// The position embedding, `[grid, grid, width]` for the grid of stride 4.
    private let positions: [Float]
    private let blocks: [HieraBlock]
    private let pyramid: [Linear]
    private let workspace = Workspace()

    static let name = "image_encoder"
    private static let trunk = "\(name).trunk"

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - architecture: the sizes of the trunk.
    ///   - inputSize: height and width of the input, a multiple of 32; it does not follow from the tensors.
    ///   - precision: the number format of products and attention.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(
        _ weights: SafeTensors, _ architecture: HieraArchitecture, inputSize: Int, precision: Precision
    ) throws {
        precondition(inputSize > 0 && inputSize % 32 == 0, "the input's size is a multiple of 32")
        self.inputSize = inputSize
        self.architecture = architecture
        self.precision = precision
        let (trunk, width, grid) = (Self.trunk, architecture.width, inputSize / 4)
        let kernel = try weights.tensor("\(trunk).patch_embed.proj.weight", shape: [width, 3, 7, 7]).channelsLast()
        patches = try Linear(
            weight: kernel.values, bias: weights.tensor("\(trunk).patch_embed.proj.bias", shape: [width]).values,
            outputs: width, inputs: 3 * 49, precision: precision)
        positions = try Self.positions(weights, width: width, grid: grid)
        guard weights.count("\(trunk).blocks.") == architecture.blocks else {
            throw WeightFileError.tensor(
                "\(trunk).blocks", reason: "a network of this size has \(architecture.blocks) blocks")
        }
        var blocks = [HieraBlock]()
        for (index, sizes) in architecture.table.enumerated() {
            blocks.append(
                try HieraBlock(
                    weights, "\(trunk).blocks.\(index)", sizes, grid: blocks.last?.outputGrid ?? grid,
                    precision: precision))
        }
        self.blocks = blocks
        channels = try weights.shape("\(Self.name).neck.convs.0.conv.weight", axes: 4)[0]
        let (channels, widths) = (channels, (0..<4).map { width << $0 })
        pyramid = try (0..<4).map { level in
            // The reference numbers the pyramid's convolutions from the coarsest level.
            let conv = "\(Self.name).neck.convs.\(3 - level).conv"
            guard level < 2 else {
                return try weights.linear(conv, widths[level], channels, ones: 2, precision: precision)
            }
            return try Self.fused(
                weights, conv, "\(Sam2MaskDecoder.name).conv_s\(level)", inputs: widths[level], between: channels,
                outputs: channels >> (3 - level), precision: precision)
        }
    }

    /// Height and width of the image embedding.
    var embeddingSize: Int { inputSize / 16 }

    /// The learned embedding of windows, tiled, plus the one of the whole image, enlarged.
    private static func positions(_ weights: SafeTensors, width: Int, grid: Int) throws -> [Float] {
        let side = try weights.shape("\(trunk).pos_embed", axes: 4)[2]
        let window = try weights.shape("\(trunk).pos_embed_window", axes: 4)[2]
        guard grid % window == 0 else {
            throw WeightFileError.tensor(
                "\(trunk).pos_embed_window", reason: "windows of \(window) do not fill a grid of \(grid)")
        }
        let coarse = try weights.tensor("\(trunk).pos_embed", shape: [1, width, side, side]).channelsLast()
        let tile = try weights.tensor("\(trunk).pos_embed_window", shape: [1, width, window, window]).channelsLast()
        var positions = Bicubic.resize(coarse.values, from: side, to: grid, channels: width)
        for index in positions.indices {
            let (place, channel) = (index / width, index % width)
            let (y, x) = (place / grid % window, place % grid % window)
            positions[index] += tile.values[(y * window + x) * width + channel]
        }
        return positions
    }

    /// One matrix for a pyramid's 1 x 1 convolution and the mask decoder's 1 x 1 convolution behind it.
    private static func fused(
        _ weights: SafeTensors, _ first: String, _ second: String, inputs: Int, between: Int, outputs: Int,
        precision: Precision
    ) throws -> Linear {
        let inner = try weights.tensor("\(first).weight", shape: [between, inputs, 1, 1]).values
        let innerBias = try weights.tensor("\(first).bias", shape: [between]).values
        let outer = try weights.tensor("\(second).weight", shape: [outputs, between, 1, 1]).values
        let outerBias = try weights.tensor("\(second).bias", shape: [outputs]).values
        var weight = [Float]()
        var bias = [Float]()
        for output in 0..<outputs {
            var sums = [Double](repeating: 0, count: inputs)
            var sum = Double(outerBias[output])
            for middle in 0..<between {
                let factor = Double(outer[output * between + middle])
                sum += factor * Double(innerBias[middle])
                for input in 0..<inputs { sums[input] += factor * Double(inner[middle * inputs + input]) }
            }
            weight += sums.map(Float.init)
            bias.append(Float(sum))
        }
        return try Linear(weight: weight, bias: bias, outputs: outputs, inputs: inputs, precision: precision)
    }

    /// Computes the features of one image.
    ///
    /// - Parameters:
    ///   - input: `[inputSize, inputSize, 3]`.
    ///   - stopwatch: measures the layers if the caller wants their times.
    ///   - onStage: receives `trunk.0` to `trunk.3` and the output of that stage, channels last.
    /// - Returns: the features.
    /// - Throws: `ComputeError`.
    func encode(
        _ input: UnsafePointer<Float>, _ stopwatch: Stopwatch, onStage: ((String, Tensor) -> Void)?
    ) throws -> FrameFeatures {
        let grid = inputSize / 4
        var current = workspace.floats("residual stream", grid * grid * architecture.width)
        var other = workspace.floats("other stream", grid * grid * architecture.width)
        try stopwatch.measure(.patchEmbedding) {
            let rows = workspace.numbers("qkv", grid * grid * patches.inputs, precision)
            gatherPatches(input, size: inputSize, channels: 3, kernel: 7, stride: 4, padding: 3, to: rows, precision)
            try positions.withUnsafeBufferPointer {
                try patches.apply(rows: grid * grid, rows, to: current, residual: $0.baseAddress)
            }
        }
        var levels = [Tensor]()
        for block in blocks {
            try block.apply(current, to: block.sizes.pools ? other : current, workspace, stopwatch)
            if block.sizes.pools { swap(&current, &other) }
            guard let stage = block.sizes.endsStage else { continue }
            let shape = [1, block.outputGrid, block.outputGrid, block.sizes.outputs]
            onStage?("trunk.\(stage)", Tensor(copying: current, shape: shape))
            try stopwatch.measure(.neck) { levels.append(try level(stage, current, side: block.outputGrid)) }
        }
        try addCoarsest(levels[3], to: &levels[2])
        return FrameFeatures(vision: levels[2], s1: levels[1], s0: levels[0])
    }

    /// The pyramid's convolution of one level.
    private func level(_ index: Int, _ x: UnsafePointer<Float>, side: Int) throws -> Tensor {
        let product = pyramid[index]
        let rows = side * side
        var input = UnsafeRawPointer(x)
        if precision == .bf16 {
            let rounded = workspace.numbers("normed", rows * product.inputs, .bf16)
            roundToBF16(x, count: rows * product.inputs, to: rounded)
            input = UnsafeRawPointer(rounded)
        }
        return try Tensor(shape: [1, side, side, product.outputs]) { try product.apply(rows: rows, input, to: $0) }
    }

    /// Adds every place of the coarsest level to the four places below it.
    private func addCoarsest(_ coarsest: Tensor, to level: inout Tensor) throws {
        let (side, channels) = (level.shape[1], level.channels)
        level.values.withUnsafeMutableBufferPointer { fine in
            coarsest.values.withUnsafeBufferPointer { coarse in
                guard let fine = fine.baseAddress, let coarse = coarse.baseAddress else { return }
                for place in 0..<side * side {
                    let from = (place / side / 2 * (side / 2) + place % side / 2) * channels
                    let to = fine + place * channels
                    for c in 0..<channels { to[c] += coarse[from + c] }
                }
            }
        }
    }
}
