// SPDX-License-Identifier: Apache-2.0
//
// Segment Anything (Kirillov 2023), MedSAM (Ma 2024), LiteMedSAM, and medsam-compact of
// training/networks/promptable.py. The first three are read from the tensors of their official checkpoints.
// Pre-processing and post-processing differ between these networks and belong to the recipes.

/// An error in the input of a network.
public enum SegmentAnythingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// An input, an embedding or a mask prompt has another shape than the network takes.
    case shape(String, expected: [Int], found: [Int])
    /// A coordinate of a prompt is infinite or not a number.
    case notFinite

    /// The message for an operator.
    public var description: String {
        switch self {
        case .shape(let what, let expected, let found): "the \(what) has shape \(found), expected \(expected)"
        case .notFinite: "a prompt's coordinate is not a finite number"
        }
    }
}

/// The image encoder, the prompt encoder and the mask decoder of one network.
///
/// The caller embeds an image once and can then prompt it many times. The weights are packed when
/// the network is created. Intermediate results stay allocated from call to call. Only the thread
/// that created the network may use it.
public final class SegmentAnything {
    private let encoder: any ImageEncoder
    private let decoder: MaskDecoder
    private let stopwatch = Stopwatch()

    /// Height and width of the input of LiteMedSAM and medsam-compact, whose tensors do not show
    /// it.
    public static let liteInputSize = 256

    /// Reads the network.
    ///
    /// - Parameters:
    ///   - weights: the tensors of a checkpoint under its own names; all sizes follow from their
    ///     shapes.
    ///   - precision: the number format of products and attention.
    ///   - inputSize: height and width of the input of a TinyViT or medsam-compact, whose tensors
    ///     do not show it; `nil` means 256.
    /// - Throws: `WeightFileError`, which names a tensor that is missing or has another shape, or
    ///   `ComputeError`.
    public init(_ weights: SafeTensors, precision: Precision, inputSize: Int? = nil) throws {
        if weights.shape(of: "\(TinyViT.name).patch_embed.seq.0.c.weight") != nil {
            encoder = try TinyViT(weights, inputSize: inputSize ?? Self.liteInputSize, precision: precision)
        } else if weights.shape(of: ConvolutionalEncoder.firstTensor) != nil {
            encoder = try ConvolutionalEncoder(
                weights, inputSize: inputSize ?? Self.liteInputSize, precision: precision)
        } else {
            encoder = try ImageEncoderViT(weights, precision: precision)
        }
        let prompts = try PromptEncoder(
            weights, inputSize: encoder.inputSize, embeddingSize: encoder.embeddingSize, channels: encoder.channels)
        decoder = try MaskDecoder(weights, prompts: prompts, size: encoder.embeddingSize, precision: precision)
    }

    /// Height and width of the network's input: 1024, or 256 for LiteMedSAM and medsam-compact.
    public var inputSize: Int { encoder.inputSize }
    /// Height and width of the image embedding: 64, or 32 for medsam-compact.
    public var embeddingSize: Int { encoder.embeddingSize }
    /// Height and width of low-resolution logits and of mask prompts: 256, or 128 for
    /// medsam-compact.
    public var lowResolutionSize: Int { decoder.logitSize }

    /// The time that the image encoder spent in each kind of layer.
    ///
    /// Set it to `LayerTimes()` to start measuring. While it is `nil`, as at the start, the encoder
    /// does not read a clock.
    public var encoderTimes: LayerTimes? {
        get { stopwatch.times }
        set { stopwatch.times = newValue }
    }

    /// Computes the image embedding.
    ///
    /// - Parameter input: `[1, inputSize, inputSize, 3]`, prepared and padded by the recipe.
    /// - Returns: the embedding, which can be prompted many times.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    public func embed(_ input: Tensor) throws -> ImageEmbedding { try embed(input, onStage: nil) }

    /// Computes the image embedding and reports the output of every stage.
    ///
    /// - Parameters:
    ///   - input: `[1, inputSize, inputSize, 3]`, prepared and padded by the recipe.
    ///   - onStage: receives the name of every stage in the reference and the output of that stage,
    ///     channels last.
    /// - Returns: the embedding.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    package func embed(_ input: Tensor, onStage: ((String, Tensor) -> Void)?) throws -> ImageEmbedding {
        let expected = [1, inputSize, inputSize, 3]
        guard input.shape == expected else {
            throw SegmentAnythingError.shape("network's input", expected: expected, found: input.shape)
        }
        let values = try Tensor(shape: [1, embeddingSize, embeddingSize, encoder.channels]) { output in
            try input.values.withUnsafeBufferPointer { values in
                // The shape was checked, so the input has a first value.
                guard let base = values.baseAddress else { return }
                try encoder.embed(base, into: output, stopwatch, onStage: onStage)
            }
        }
        return ImageEmbedding(values: values)
    }

    /// Decodes the masks of prompts.
    ///
    /// - Parameters:
    ///   - embedding: the image; the part of the work that all prompts share is done once.
    ///   - prompts: prompts of any kinds, in pixels of the network's input.
    ///   - multimask: whether each prompt gets three masks instead of one.
    /// - Returns: an answer for every prompt, in the order of the prompts.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    public func decode(_ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool) throws -> [PromptAnswer] {
        try decode(embedding, prompts, multimask: multimask) { _ in true }.compactMap { $0 }
    }

    /// Decodes the masks of prompts, but computes logits only for the prompts that `wants` accepts.
    ///
    /// A prompt without logits saves a third of its work.
    ///
    /// - Parameters:
    ///   - embedding: the image.
    ///   - prompts: prompts of any kinds, in pixels of the network's input.
    ///   - multimask: whether each prompt gets three masks instead of one.
    ///   - wants: receives the predicted IoU of a prompt's masks and says whether the caller wants
    ///     their logits.
    /// - Returns: an answer for every prompt, or `nil` if `wants` refused it.
    /// - Throws: `SegmentAnythingError` or `ComputeError`.
    public func decode(
        _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool, wants: ([Float]) -> Bool
    ) throws -> [PromptAnswer?] {
        let expected = [1, embeddingSize, embeddingSize, encoder.channels]
        guard embedding.values.shape == expected else {
            throw SegmentAnythingError.shape("image embedding", expected: expected, found: embedding.values.shape)
        }
        for prompt in prompts { try check(prompt) }
        return try decoder.decode(embedding, prompts, multimask: multimask, wants: wants)
    }

    private func check(_ prompt: Prompt) throws(SegmentAnythingError) {
        let corners = prompt.box.map { [$0.x0, $0.y0, $0.x1, $0.y1] } ?? []
        guard (corners + prompt.points.flatMap { [$0.x, $0.y] }).allSatisfy(\.isFinite) else { throw .notFinite }
        let expected = [1, lowResolutionSize, lowResolutionSize, 1]
        if let mask = prompt.mask, mask.shape != expected {
            throw .shape("mask prompt", expected: expected, found: mask.shape)
        }
    }
}
