// SPDX-License-Identifier: Apache-2.0
//
// The image encoder of SAM 2 (Ravi 2024): a Hiera trunk (Ryali 2023) and a feature pyramid. This file follows `Hiera`
// of sam2/modeling/backbones/hieradet.py, with its tensor names.

import CKernels

/// Hiera with its feature pyramid.
final class HieraEncoder: FrameEncoder {
    let inputSize: Int
    private let architecture: HieraArchitecture
    private let precision: Precision
    private let patches: Linear
    /// The position embedding, `[grid, grid, width]` for the grid of stride 4.
    private let positions: [Float]
    private let blocks: [HieraBlock]
    private let pyramid: FeaturePyramid
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
        pyramid = try FeaturePyramid(weights, widths: (0..<4).map { width << $0 }, precision: precision)
    }

    var channels: Int { pyramid.channels }

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
            try stopwatch.measure(.neck) {
                levels.append(try pyramid.level(stage, current, side: block.outputGrid))
            }
        }
        return pyramid.features(levels)
    }
}
