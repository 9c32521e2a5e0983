// SPDX-License-Identifier: Apache-2.0
//
// `MemoryEncoder` of sam2/modeling/memory_encoder.py and `_encode_new_memory` of sam2/modeling/sam2_base.py, with their
// tensor names.

import CKernels

/// The encoder that turns a frame's mask and image embedding into a memory.
final class MemoryEncoder {
    /// The number of channels of a memory.
    let memoryChannels: Int
    private let grid: Int
    private let channels: Int
    private let precision: Precision
    private let firstStep: FirstStep
    /// The other three steps of the mask's downsampling.
    private let downsampling: [(convolution: Linear, norm: LayerNorm)]
    private let last: Linear
    private let projection: Linear
    private let fuser: [FuserBlock]
    private let out: Linear
    /// The vector that is added where no object was found, `[memoryChannels]`; SAM 2.0 does not have it.
    private let noObject: [Float]?
    private let workspace = Workspace()

    static let name = "memory_encoder"
    /// The numbers of the convolutions in `mask_downsampler.encoder`; each is followed by its norm.
    private static let steps = (first: 0, others: [3, 6, 9])

    /// Reads the encoder.
    ///
    /// - Parameters:
    ///   - weights: the checkpoint.
    ///   - grid: height and width of the image embedding.
    ///   - channels: the number of channels of the image embedding.
    ///   - precision: the number format of the products.
    /// - Throws: `WeightFileError`, which names the tensor, or `ComputeError`.
    init(_ weights: SafeTensors, grid: Int, channels: Int, precision: Precision) throws {
        self.grid = grid
        self.channels = channels
        self.precision = precision
        let encoder = "\(Self.name).mask_downsampler.encoder"
        firstStep = try FirstStep(weights, encoder, Self.steps.first)
        var downsampling = [(convolution: Linear, norm: LayerNorm)]()
        for step in Self.steps.others {
            let inputs = downsampling.last?.convolution.outputs ?? firstStep.outputs
            let outputs = try weights.shape("\(encoder).\(step).weight", axes: 4)[0]
            let kernel = try weights.tensor("\(encoder).\(step).weight", shape: [outputs, inputs, 3, 3]).channelsLast()
            let convolution = try Linear(
                weight: kernel.values, bias: weights.tensor("\(encoder).\(step).bias", shape: [outputs]).values,
                outputs: outputs, inputs: 9 * inputs, precision: precision)
            downsampling.append((convolution, try weights.layerNorm("\(encoder).\(step + 1)", outputs, epsilon: 1e-6)))
        }
        self.downsampling = downsampling
        let wide = downsampling.last?.convolution.outputs ?? 1
        last = try weights.linear("\(encoder).12", wide, channels, ones: 2, precision: precision)
        projection = try weights.linear("\(Self.name).pix_feat_proj", channels, channels, ones: 2, precision: precision)
        let depth = weights.count("\(Self.name).fuser.layers.")
        guard (1...16).contains(depth) else {
            throw WeightFileError.missing("\(Self.name).fuser.layers.0.dwconv.weight")
        }
        fuser = try (0..<depth).map {
            try FuserBlock(
                weights, "\(Self.name).fuser.layers.\($0)", channels: channels, grid: grid, precision: precision)
        }
        let memoryChannels = try weights.shape("\(Self.name).out_proj.weight", axes: 4)[0]
        self.memoryChannels = memoryChannels
        out = try weights.linear("\(Self.name).out_proj", channels, memoryChannels, ones: 2, precision: precision)
        noObject =
            weights.shape(of: "no_obj_embed_spatial") == nil
            ? nil : try weights.tensor("no_obj_embed_spatial", shape: [1, memoryChannels]).values
    }

    /// Encodes a memory.
    ///
    /// - Parameters:
    ///   - vision: the frame's own image embedding, `[1, grid, grid, channels]`.
    ///   - logits: low-resolution logits of the object, `[1, 4 * grid, 4 * grid]`.
    ///   - isPresent: whether the object is in the frame.
    ///   - isPrompted: whether the mask answers a prompt; its probabilities are then 0 or 1.
    /// - Returns: the memory as bf16 numbers, `[grid * grid, memoryChannels]`; the reference stores bf16 too.
    /// - Throws: `ComputeError`.
    func encode(_ vision: Tensor, logits: Tensor, isPresent: Bool, isPrompted: Bool) throws -> [UInt16] {
        let places = grid * grid
        let x = workspace.floats("fused", places * channels)
        try downsample(try mask(logits, isBinary: isPrompted), to: x)
        try vision.values.withUnsafeBufferPointer { vision in
            guard let base = vision.baseAddress else { return }
            try projection.apply(rows: places, rows(base, vision.count), to: x, residual: x)
        }
        for block in fuser { try block.apply(to: x, workspace) }
        let memory = workspace.floats("memory", places * memoryChannels)
        try out.apply(rows: places, rows(x, places * channels), to: memory)
        if !isPresent, let noObject { ck_add(Int64(places), Int64(memoryChannels), memory, noObject, 0, memory) }
        return [UInt16](unsafeUninitializedCapacity: places * memoryChannels) { output, filled in
            if let base = output.baseAddress { roundToBF16(memory, count: places * memoryChannels, to: base) }
            filled = places * memoryChannels
        }
    }

    /// The mask at the size of the network's input, from -10 (outside) to 10 (inside).
    private func mask(_ logits: Tensor, isBinary: Bool) throws -> UnsafeMutablePointer<Float> {
        let (side, size) = (4 * grid, 16 * grid)
        let matrix = BilinearMatrix(from: side, to: size)
        let between = workspace.floats("mask rows", side * size)
        let mask = workspace.floats("mask", size * size)
        logits.values.withUnsafeBufferPointer { matrix.apply(outer: side, inner: 1, $0.baseAddress, between) }
        matrix.apply(outer: 1, inner: size, between, mask)
        if isBinary {
            for index in 0..<size * size { mask[index] = mask[index] > 0 ? 10 : -10 }
        } else {
            ck_scaled_sigmoid(Int64(size * size), mask, 20, -10)
        }
        return mask
    }

    /// Four convolutions that each halve height and width, then a 1 x 1 convolution to `[grid * grid, channels]`.
    private func downsample(_ mask: UnsafeMutablePointer<Float>, to output: UnsafeMutablePointer<Float>) throws {
        var (side, inputs) = (8 * grid, firstStep.outputs)
        var x = workspace.numbers("downsampled", side * side * inputs, precision)
        try firstStep.apply(size: 16 * grid, mask, to: x, precision)
        for (index, step) in downsampling.enumerated() {
            let rows = side * side / 4
            let patches = workspace.numbers("patches", rows * step.convolution.inputs, precision)
            gatherPatches(
                x, precision, size: side, channels: inputs, kernel: 3, stride: 2, padding: 1, to: patches, precision)
            (side, inputs) = (side / 2, step.convolution.outputs)
            let sums = workspace.floats("downsampling", rows * inputs)
            try step.convolution.apply(rows: rows, patches, to: sums)
            x = workspace.numbers("downsampled \(index)", rows * inputs, precision)
            step.norm.apply(rows: rows, sums, to: x, form: precision, activation: .gelu)
        }
        try last.apply(rows: side * side, x, to: output)
    }

    /// Numbers in the precision of the products.
    private func rows(_ values: UnsafePointer<Float>, _ count: Int) -> UnsafeRawPointer {
        guard precision == .bf16 else { return UnsafeRawPointer(values) }
        let rounded = workspace.numbers("rounded", count, .bf16)
        roundToBF16(values, count: count, to: rounded)
        return UnsafeRawPointer(rounded)
    }
}

/// The first convolution of a mask's downsampling with its norm and GELU, in fp32 in both precisions.
private struct FirstStep {
    /// The number of output channels.
    let outputs: Int
    /// `[outputs, 3, 3]`.
    private let weight: [Float]
    private let bias: [Float]
    private let norm: LayerNorm

    /// Reads the convolution `name.number` and the norm behind it.
    init(_ weights: SafeTensors, _ name: String, _ number: Int) throws {
        outputs = try weights.shape("\(name).\(number).weight", axes: 4)[0]
        guard outputs <= ck_mask_channels else {
            throw WeightFileError.tensor(
                "\(name).\(number).weight",
                reason: "a mask's first convolution has at most \(ck_mask_channels) outputs, not \(outputs)")
        }
        weight = try weights.tensor("\(name).\(number).weight", shape: [outputs, 1, 3, 3]).values
        bias = try weights.tensor("\(name).\(number).bias", shape: [outputs]).values
        norm = try weights.layerNorm("\(name).\(number + 1)", outputs, epsilon: 1e-6)
    }

    /// Computes `[size / 2, size / 2, outputs]` in `form` from a mask `[size, size]`.
    func apply(
        size: Int, _ mask: UnsafePointer<Float>, to output: UnsafeMutableRawPointer, _ form: Precision
    ) throws(ComputeError) {
        let status = norm.withParameters { scale, shift, epsilon in
            ck_downsample_mask(
                Int64(size), Int64(size), Int64(outputs), mask, weight, bias, scale, shift, epsilon, output, form.form)
        }
        try ComputeError.check(status, "the downsampling of a mask of \(size) x \(size)")
    }
}

/// A ConvNeXt block (Liu 2022), `CXBlock` of the reference: a depthwise 7 x 7 convolution, norm and MLP around a
/// residual.
private final class FuserBlock {
    private let grid: Int
    private let channels: Int
    private let precision: Precision
    /// `[7, 7, channels]`.
    private let weight: [Float]
    private let bias: [Float]
    private let norm: LayerNorm
    private let pwconv1: Linear
    /// The second layer of the MLP, whose outputs are scaled by `gamma`.
    private let pwconv2: Linear

    init(_ weights: SafeTensors, _ name: String, channels: Int, grid: Int, precision: Precision) throws {
        self.grid = grid
        self.channels = channels
        self.precision = precision
        let kernel = try weights.tensor("\(name).dwconv.weight", shape: [channels, 1, 7, 7]).values
        weight = (0..<49 * channels).map { kernel[$0 % channels * 49 + $0 / channels] }
        bias = try weights.tensor("\(name).dwconv.bias", shape: [channels]).values
        norm = try weights.layerNorm("\(name).norm", channels, epsilon: 1e-6)
        let hidden = try weights.shape("\(name).pwconv1.weight", axes: 2)[0]
        pwconv1 = try weights.linear("\(name).pwconv1", channels, hidden, precision: precision)
        let gamma = try weights.tensor("\(name).gamma", shape: [channels]).values
        var matrix = try weights.tensor("\(name).pwconv2.weight", shape: [channels, hidden]).values
        for index in matrix.indices { matrix[index] *= gamma[index / hidden] }
        let shift = try weights.tensor("\(name).pwconv2.bias", shape: [channels]).values
        pwconv2 = try Linear(
            weight: matrix, bias: zip(shift, gamma).map { $0 * $1 }, outputs: channels, inputs: hidden,
            precision: precision)
    }

    /// Replaces `x`, `[grid * grid, channels]`, by the block's output.
    func apply(to x: UnsafeMutablePointer<Float>, _ workspace: Workspace) throws(ComputeError) {
        let places = grid * grid
        let mixed = workspace.floats("mixed", places * channels)
        ck_depthwise(
            1, Int64(grid), Int64(grid), Int64(channels), 7, 1, x, weight, bias, ck_identity, mixed)
        let normed = workspace.numbers("normed", places * channels, precision)
        norm.apply(rows: places, mixed, to: normed, form: precision)
        let hidden = workspace.numbers("hidden", places * pwconv1.outputs, precision)
        try pwconv1.apply(rows: places, normed, to: hidden, form: precision, activation: .gelu)
        try pwconv2.apply(rows: places, hidden, to: x, residual: x)
    }
}
