// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// The answer of a promptable network for one frame or slice.
struct PromptedAnswer {
    /// Mask and probabilities on the image's grid: the union of the answers to all prompts.
    var image: ImageAnswer
    /// Means over the prompts, by name; empty without prompts.
    var measures: [String: Double]
    /// Low-resolution logits of N prompts with M masks each, `[N, M, L, L]`.
    var logits: Tensor?
    /// Predicted IoU, `[N, M]`.
    var predictedIoU: Tensor?
}

/// A predictor that adds measures of confidence to its answers.
final class PromptedNetwork {
    let predictor: SamPredictor
    private let trustsPredictedIoU: Bool

    init(_ recipe: PromptedRecipe, _ weights: RecipeWeights) throws {
        trustsPredictedIoU = recipe.trustsPredictedIoU
        predictor = try SamPredictor(weights.tensors, family: recipe.family, precision: weights.precision)
    }

    /// Embeds an image and answers its prompts.
    ///
    /// An image without prompts is embedded only for a trace.
    ///
    /// - Parameters:
    ///   - image: the frame or slice as bytes.
    ///   - index: the index of the frame, for the trace.
    ///   - shift: moves prompts to test the answer, pixels of the network's input.
    ///   - trace: receives the network's inputs and outputs.
    ///   - prompts: makes the prompts, in pixels of the network's input.
    /// - Returns: the united answers of all prompts.
    /// - Throws: errors of the network and the trace.
    func answer(
        _ image: ByteImage, index: Int, shift: Double, trace: (any SegmentationTrace)?,
        prompts: (InputGrid) -> [Prompt]
    ) throws -> PromptedAnswer {
        let prepared = predictor.prepare(image)
        let prompts = prompts(prepared.grid)
        var answer = PromptedAnswer(image: ImageAnswer(rows: image.rows, columns: image.columns), measures: [:])
        guard !prompts.isEmpty || trace != nil else { return answer }
        let frame = try predictor.embed(prepared)
        if !prompts.isEmpty { try self.answer(prompts, frame, shift, &answer) }
        try trace?.record(
            TracedFrame(
                index: index, input: prepared.input.channelsFirst(), embedding: frame.embedding.values.channelsFirst(),
                logits: answer.logits, predictedIoU: answer.predictedIoU))
        return answer
    }

    private func answer(
        _ prompts: [Prompt], _ frame: EmbeddedFrame, _ shift: Double, _ answer: inout PromptedAnswer
    ) throws {
        var (logits, scores) = ([Float](), [Float]())
        var each = [[String: Double]]()
        var shape = [Int]()
        for prompt in prompts {
            let moved = PromptConfidence.moved(prompt, by: shift, on: frame.grid)
            let answers = try predictor.decode(frame, [prompt] + moved, multimask: prompt.isAmbiguous)
            let first = answers[0]
            let best = first.best
            answer.image.unite(ImageAnswer(first, mask: best, on: frame.grid))
            each.append(
                PromptConfidence.measures(answers, mask: best, on: frame.grid, predictedIoU: trustsPredictedIoU))
            shape = first.logits.shape
            logits += first.logits.values
            scores += first.predictedIoU
        }
        answer.measures = PromptConfidence.mean(each)
        answer.logits = Tensor(shape: [prompts.count] + shape, values: logits)
        answer.predictedIoU = Tensor(shape: [prompts.count, shape[0]], values: scores)
    }
}
