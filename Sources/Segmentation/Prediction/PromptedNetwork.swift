// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// The numbers in which the recipes of the SAM family differ beyond their family.
struct PromptedRules {
    let name: String
    let family: ModelFamily
    /// Boxes made from masks are widened by so much on each side, pixels of the network's input.
    let margin: Double
    /// Prompts are moved by so much to see whether the answer holds, pixels of the network's input.
    let shift: Double
    /// Connected objects of fewer pixels (voxels of a volume) are dropped.
    let smallestObject: Int
    /// Whether the network's own estimate of its masks was trained.
    let trustsPredictedIoU: Bool
}

/// What the network says of one frame or slice.
struct PromptedAnswer {
    var image: ImageAnswer
    /// Of the prompts, by name; empty without prompts.
    var measures: [String: Double]
    /// `[N, M, L, L]` and `[N, M]` of N prompts.
    var logits: Tensor?
    var predictedIoU: Tensor?
}

/// A predictor that answers with confidence.
final class PromptedNetwork {
    let predictor: SamPredictor
    let rules: PromptedRules

    init(_ rules: PromptedRules, weights: SafeTensors, precision: Precision) throws {
        self.rules = rules
        predictor = try SamPredictor(weights, family: rules.family, precision: precision)
    }

    /// Embeds an image and answers its prompts; an image without prompts is embedded only for someone who looks on.
    ///
    /// - Parameters:
    ///   - index: of the frame, for the trace.
    ///   - prompts: from the image's grid, in pixels of the network's input.
    ///   - shift: as in `PromptedRules`.
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
            // A lone point means several things at once: the best of three answers by the network's own estimate.
            let multimask = prompt.box == nil && prompt.points.count == 1
            let moved = PromptConfidence.moved(prompt, by: shift, on: frame.grid)
            let answers = try predictor.decode(frame, [prompt] + moved, multimask: multimask)
            let first = answers[0]
            let best =
                first.predictedIoU.indices.max { (first.predictedIoU[$0], $1) < (first.predictedIoU[$1], $0) } ?? 0
            answer.image.unite(ImageAnswer(first, mask: best, on: frame.grid))
            each.append(
                PromptConfidence.measures(
                    answers, mask: best, on: frame.grid, predictedIoU: rules.trustsPredictedIoU))
            shape = first.logits.shape
            logits += first.logits.values
            scores += first.predictedIoU
        }
        answer.measures = PromptConfidence.mean(each)
        answer.logits = Tensor(shape: [prompts.count] + shape, values: logits)
        answer.predictedIoU = Tensor(shape: [prompts.count, shape[0]], values: scores)
    }
}
