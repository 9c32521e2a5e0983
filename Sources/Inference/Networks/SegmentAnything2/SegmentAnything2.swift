// SPDX-License-Identifier: Apache-2.0
//
// SAM 2 and SAM 2.1 (Ravi 2024) and MedSAM2 (Ma 2025), read from the tensors of their official checkpoints, and
// medsam2-compact of training/networks/tracker.py. This file follows sam2/modeling/sam2_base.py of
// facebookresearch/sam2, with the options of its published configurations. It leaves out multi-object constraints and
// training. Pre-processing and post-processing belong to the recipes.

import Foundation

/// The networks of SAM 2 for images and for sequences of frames.
///
/// `ObjectTracker` follows an object through a sequence. The weights are packed when the network is created. Only the
/// thread that created the network may use it.
public final class SegmentAnything2 {
    let prompts: PromptEncoder
    let decoder: Sam2MaskDecoder
    let memoryEncoder: MemoryEncoder
    let memoryAttention: MemoryAttention
    let pointers: ObjectPointers
    let memoryPositions: MemoryPositions
    private let encoder: any FrameEncoder
    /// The vector that is added to every place of an image without memories, `[channels]`.
    private let noMemory: [Float]
    private let maskDownsampling: Linear
    private let stopwatch = Stopwatch()

    /// Height and width of the input of the official checkpoints, whose tensors do not show it.
    public static let publishedInputSize = 1024
    /// Height and width of MedSAM2's input.
    public static let medicalInputSize = 512
    /// Height and width of medsam2-compact's input.
    public static let compactInputSize = 256

    /// Reads the network.
    ///
    /// - Parameters:
    ///   - weights: the tensors of a checkpoint under the publisher's names.
    ///   - precision: the number format of products and attention.
    ///   - inputSize: height and width of the input, a multiple of 32; `nil` means 1024, and 256 for medsam2-compact.
    ///   - architecture: the sizes of a Hiera trunk; `nil` means those of the published network with as many channels
    ///     and blocks.
    /// - Throws: `WeightFileError`, which names a tensor that is missing or has another shape, or `ComputeError`.
    public init(
        _ weights: SafeTensors, precision: Precision, inputSize: Int? = nil, architecture: HieraArchitecture? = nil
    ) throws {
        if weights.shape(of: ResidualEncoder.firstTensor) != nil {
            encoder = try ResidualEncoder(
                weights, inputSize: inputSize ?? Self.compactInputSize, precision: precision)
        } else {
            encoder = try HieraEncoder(
                weights, architecture ?? Self.architecture(of: weights),
                inputSize: inputSize ?? Self.publishedInputSize, precision: precision)
        }
        let inputSize = encoder.inputSize
        let (channels, grid) = (encoder.channels, encoder.embeddingSize)
        prompts = try PromptEncoder(
            weights, inputSize: inputSize, embeddingSize: grid, channels: channels, name: "sam_prompt_encoder")
        decoder = try Sam2MaskDecoder(weights, prompts: prompts, size: grid, precision: precision)
        memoryEncoder = try MemoryEncoder(weights, grid: grid, channels: channels, precision: precision)
        let memoryChannels = memoryEncoder.memoryChannels
        memoryAttention = try MemoryAttention(
            weights, grid: grid, channels: channels, memoryChannels: memoryChannels, precision: precision)
        pointers = try ObjectPointers(weights, channels: channels, memoryChannels: memoryChannels)
        memoryPositions = try MemoryPositions(weights, grid: grid, channels: memoryChannels)
        noMemory = try weights.tensor("no_mem_embed", shape: [1, 1, channels]).values
        maskDownsampling = try Linear(
            weight: weights.tensor("mask_downsample.weight", shape: [1, 1, 4, 4]).values,
            bias: weights.tensor("mask_downsample.bias", shape: [1]).values, outputs: 1, inputs: 16, precision: .fp32)
    }

    /// Reads the network of installed weights.
    ///
    /// A scaled-down network says its sizes in the file's metadata (`NetworkSettings`). Published ones do not.
    ///
    /// - Parameters:
    ///   - weights: the tensors of a checkpoint under the publisher's names.
    ///   - family: `.sam2`, `.medsam2` or `.medsam2Compact`; their inputs differ in size.
    ///   - precision: the number format of products and attention.
    /// - Throws: `WeightFileError`, which names a tensor that is missing or has another shape, or `ComputeError`.
    public convenience init(_ weights: SafeTensors, family: ModelFamily, precision: Precision) throws {
        precondition(
            family == .sam2 || family == .medsam2 || family == .medsam2Compact, "the family has SAM 2's network")
        let settings = try NetworkSettings(weights.metadata, family: family)
        try self.init(
            weights, precision: precision, inputSize: settings.inputSize ?? family.publishedInputSize,
            architecture: settings.hiera)
    }

    /// The published trunk that the tensors belong to.
    private static func architecture(of weights: SafeTensors) throws -> HieraArchitecture {
        let first = "image_encoder.trunk.patch_embed.proj.weight"
        let width = try weights.shape(first, axes: 4)[0]
        let blocks = weights.count("image_encoder.trunk.blocks.")
        guard let published = HieraArchitecture.published(width: width, blocks: blocks) else {
            throw WeightFileError.tensor(
                first, reason: "SAM 2 was not published with \(width) channels and \(blocks) blocks")
        }
        return published.architecture
    }

    /// Height and width of the network's input.
    public var inputSize: Int { encoder.inputSize }
    /// Height and width of the image embedding: a sixteenth of the input's.
    public var embeddingSize: Int { encoder.embeddingSize }
    /// Height and width of low-resolution logits and of mask prompts: a quarter of the input's.
    public var lowResolutionSize: Int { decoder.logitSize }
    /// The number of channels of the image embedding.
    public var channels: Int { encoder.channels }

    /// The time that the image encoder spent in each kind of layer; set it to `LayerTimes()` to start measuring.
    public var encoderTimes: LayerTimes? {
        get { stopwatch.times }
        set { stopwatch.times = newValue }
    }

    /// Computes the features of an image or a frame.
    ///
    /// - Parameter input: `[1, inputSize, inputSize, 3]`, prepared by the recipe.
    /// - Returns: the features, which can be prompted many times.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    public func encode(_ input: Tensor) throws -> FrameFeatures { try encode(input, onStage: nil) }

    /// Computes the features and reports the output of every stage of the trunk.
    package func encode(_ input: Tensor, onStage: ((String, Tensor) -> Void)?) throws -> FrameFeatures {
        let expected = [1, inputSize, inputSize, 3]
        guard input.shape == expected else {
            throw SegmentAnythingError.shape("network's input", expected: expected, found: input.shape)
        }
        return try input.values.withUnsafeBufferPointer { values in
            // The shape was checked, so the input has a first value.
            guard let base = values.baseAddress else { preconditionFailure("the input has values") }
            return try encoder.encode(base, stopwatch, onStage: onStage)
        }
    }

    /// Decodes the masks of a prompt on a single image, as the reference's image predictor.
    ///
    /// The answer does not depend on the object score. Without `multimask`, an unstable mask 0 is replaced by the best
    /// of the other three.
    ///
    /// - Parameters:
    ///   - features: the image.
    ///   - prompt: points, a box, low-resolution logits of an earlier answer, or several of these, in pixels of the
    ///     network's input.
    ///   - multimask: whether the prompt gets three masks instead of one.
    /// - Returns: the answer.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    public func decode(_ features: FrameFeatures, _ prompt: Prompt, multimask: Bool) throws -> PromptAnswer {
        try check(features)
        try check(prompt)
        let isEmpty = prompt.points.isEmpty && prompt.box == nil
        let tokens = isEmpty && prompt.mask != nil ? [] : prompts.paddedTokens(prompt)
        let decoding = try decoder.decode(
            withoutMemory(features), features, tokens: tokens, mask: prompt.mask
        ) { multimask ? [1, 2, 3] : [0, MaskDecoding.best($0)] }
        guard multimask else {
            let answer = SingleMask(decoding)
            return PromptAnswer(logits: answer.logits, predictedIoU: [answer.predictedIoU])
        }
        return PromptAnswer(logits: decoding.logits, predictedIoU: Array(decoding.predictedIoU[1...]))
    }

    /// The image embedding of a single image, `[1, grid, grid, channels]`, as the image predictor decodes it.
    public func imageEmbedding(of features: FrameFeatures) -> Tensor {
        Tensor(shape: features.vision.shape, values: withoutMemory(features))
    }

    /// The image embedding of a frame that does not attend to memories, `[grid * grid, channels]`.
    func withoutMemory(_ features: FrameFeatures) -> [Float] {
        var values = features.vision.values
        values.withUnsafeMutableBufferPointer { values in
            for start in stride(from: 0, to: values.count, by: channels) {
                for channel in 0..<channels { values[start + channel] += noMemory[channel] }
            }
        }
        return values
    }

    /// The mask prompt of a binary mask at the size of the input, `[1, size, size, 1]` with a quarter of its height
    /// and width.
    func maskPrompt(_ mask: [Float]) throws -> Tensor {
        let side = lowResolutionSize
        var patches = [Float](repeating: 0, count: mask.count)
        mask.withUnsafeBufferPointer { mask in
            patches.withUnsafeMutableBytes { patches in
                guard let from = mask.baseAddress, let to = patches.baseAddress else { return }
                gatherPatches(from, size: inputSize, channels: 1, kernel: 4, stride: 4, padding: 0, to: to, .fp32)
            }
        }
        return try Tensor(shape: [1, side, side, 1]) { output in
            try patches.withUnsafeBytes { patches in
                guard let base = patches.baseAddress else { return }
                try maskDownsampling.apply(rows: side * side, base, to: output)
            }
        }
    }

    func check(_ features: FrameFeatures) throws(SegmentAnythingError) {
        let expected = [1, embeddingSize, embeddingSize, channels]
        guard features.vision.shape == expected else {
            throw .shape("image embedding", expected: expected, found: features.vision.shape)
        }
        for (level, factor) in [(features.s1, 2), (features.s0, 4)] {
            let expected = [1, factor * embeddingSize, factor * embeddingSize, channels / (factor == 2 ? 4 : 8)]
            guard level.shape == expected else {
                throw .shape("level of features", expected: expected, found: level.shape)
            }
        }
    }

    func check(_ prompt: Prompt) throws(SegmentAnythingError) {
        let corners = prompt.box.map { [$0.x0, $0.y0, $0.x1, $0.y1] } ?? []
        guard (corners + prompt.points.flatMap { [$0.x, $0.y] }).allSatisfy(\.isFinite) else { throw .notFinite }
        let expected = [1, lowResolutionSize, lowResolutionSize, 1]
        if let mask = prompt.mask, mask.shape != expected {
            throw .shape("mask prompt", expected: expected, found: mask.shape)
        }
    }
}

/// The answer to a prompt that asks for one mask (`_dynamic_multimask_via_stability` of the reference).
struct SingleMask {
    /// `[1, size, size]`.
    let logits: Tensor
    let predictedIoU: Float

    private static let delta: Float = 0.05
    private static let threshold: Float = 0.98

    /// Takes mask 0 if it is stable, else the best of masks 1 to 3.
    ///
    /// A mask is stable if shifting its threshold changes few pixels.
    ///
    /// - Parameter decoding: has the logits of mask 0 and of the best of the other masks.
    init(_ decoding: MaskDecoding) {
        let (height, width) = (decoding.logits.shape[1], decoding.logits.shape[2])
        let first = decoding.logits.values[..<(height * width)]
        let inner = first.count { $0 > Self.delta }
        let outer = first.count { $0 > -Self.delta }
        let isStable = outer == 0 || Float(inner) / Float(outer) >= Self.threshold
        let values = isStable ? first : decoding.logits.values[(height * width)...]
        logits = Tensor(shape: [1, height, width], values: Array(values))
        predictedIoU = decoding.predictedIoU[isStable ? 0 : MaskDecoding.best(decoding.predictedIoU)]
    }
}
