// SPDX-License-Identifier: Apache-2.0
//
// Segment Anything (Kirillov 2023), MedSAM (Ma 2024) and LiteMedSAM, from the tensors of their official checkpoints,
// and medsam-compact of training/networks/promptable.py. What happens before and after the network differs between
// them and is the recipes'.

/// Why a network does not answer.
public enum SegmentAnythingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// An input, embedding or mask prompt of another size.
    case shape(String, expected: [Int], found: [Int])
    /// A coordinate that is not a number.
    case notFinite

    public var description: String {
        switch self {
        case .shape(let what, let expected, let found): "the \(what) has shape \(found), expected \(expected)"
        case .notFinite: "a prompt's coordinate is not a finite number"
        }
    }
}

/// The image encoder, the prompt encoder and the mask decoder: embed an image once, prompt it many times.
///
/// Weights are packed at the start, and what is computed in between is kept from call to call. One thread uses it,
/// the one that made it.
public final class SegmentAnything {
    private let encoder: any ImageEncoder
    private let decoder: MaskDecoder
    private let stopwatch = Stopwatch()

    /// The input's size of networks whose tensors do not tell it: LiteMedSAM's and medsam-compact's.
    public static let liteInputSize = 256

    /// - Parameters:
    ///   - weights: a checkpoint's tensors under its own names; all sizes follow from their shapes.
    ///   - inputSize: of a TinyViT or medsam-compact, whose tensors do not tell it; `nil` is their 256.
    /// - Throws: `WeightFileError` that names the tensor which is missing or has another shape, `ComputeError`.
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

    /// Height and width of the network's input: 1024, LiteMedSAM's and medsam-compact's 256.
    public var inputSize: Int { encoder.inputSize }
    /// Height and width of the image embedding: 64, medsam-compact's 32.
    public var embeddingSize: Int { encoder.embeddingSize }
    /// Height and width of low-resolution logits and of mask prompts: 256, medsam-compact's 128.
    public var lowResolutionSize: Int { decoder.logitSize }

    /// Set it to measure where the image encoder's time goes; `nil`, as at the start, reads no clock.
    public var encoderTimes: LayerTimes? {
        get { stopwatch.times }
        set { stopwatch.times = newValue }
    }

    /// - Parameter input: `[1, inputSize, inputSize, 3]`, prepared and padded as the recipe says.
    /// - Throws: `SegmentAnythingError`, `ComputeError`.
    public func embed(_ input: Tensor) throws -> ImageEmbedding { try embed(input, onStage: nil) }

    /// - Parameter onStage: called with every stage's name in the reference and its output, channels last.
    package func embed(_ input: Tensor, onStage: ((String, Tensor) -> Void)?) throws -> ImageEmbedding {
        let expected = [1, inputSize, inputSize, 3]
        guard input.shape == expected else {
            throw SegmentAnythingError.shape("network's input", expected: expected, found: input.shape)
        }
        let values = try Tensor(shape: [1, embeddingSize, embeddingSize, encoder.channels]) { output in
            try input.values.withUnsafeBufferPointer { values in
                // The shape was checked: there is a first value.
                guard let base = values.baseAddress else { return }
                try encoder.embed(base, into: output, stopwatch, onStage: onStage)
            }
        }
        return ImageEmbedding(values: values)
    }

    /// The masks that prompts ask for.
    ///
    /// - Parameters:
    ///   - embedding: of the image; what all prompts share of it is computed once.
    ///   - prompts: of any kinds, in pixels of the network's input.
    ///   - multimask: three masks for each prompt instead of one.
    /// - Returns: an answer for every prompt, in their order.
    /// - Throws: `SegmentAnythingError`, `ComputeError`.
    public func decode(_ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool) throws -> [PromptAnswer] {
        try decode(embedding, prompts, multimask: multimask) { _ in true }.compactMap { $0 }
    }

    /// As `decode`, without the logits of prompts whose predicted IoU says that nobody wants them: a third of the work.
    ///
    /// - Parameter wants: told the predicted IoU of a prompt's masks.
    /// - Returns: an answer for every prompt, `nil` for those not wanted.
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
