// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// Segments single frames by prompting a network of the SAM family.
///
/// A person's prompt applies to every frame. Without one, polyp-compact looks for polyps, and every polyp that it finds
/// becomes a prompt: its box, widened by the margin, or its innermost pixel. The mask of a frame without a polyp is
/// empty.
final class PromptedFrames: Segmenter {
    let descriptor: SegmenterDescriptor
    private let recipe: PromptedRecipe
    private let network: PromptedNetwork
    private let prompter: CompactPrompter
    private let precision: Precision

    init(_ recipe: PromptedRecipe, _ weights: RecipeWeights) throws {
        descriptor = weights.descriptor
        self.recipe = recipe
        network = try PromptedNetwork(recipe, weights)
        prompter = CompactPrompter(of: recipe, precision: weights.precision)
        precision = weights.precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try recipe.entry.check(options)
        let frames = try input.frames(for: recipe.name)
        let given = try prompts(options, for: frames)
        var boxes = BoxNotes()
        boxes.clipped = given.count { $0?.isClipped ?? false }
        var result = SegmenterResult(computedIn: precision)
        var dropped = 0
        for (index, frame) in frames.enumerated() {
            let (answer, confidence) = try naming(recipe.name) {
                try self.answer(frame, index, given[index], options, trace, &boxes)
            }
            var image = answer.image
            dropped += image.dropObjects(
                below: recipe.smallestObject, slices: 1, rows: frame.rows, columns: frame.columns)
            result.add(
                mask: image.mask, probabilities: image.probabilities, rows: frame.rows, columns: frame.columns,
                confidence: confidence)
            progress(index + 1, frames.count)
        }
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        result.notes += boxes.notes(recipe.family)
        if !options.hasPrompt { result.notes.append("prompts were found by \(recipe.prompter.entry.name)") }
        if dropped > 0 {
            result.notes.append("\(dropped) objects of fewer than \(recipe.smallestObject) pixels were dropped")
        }
        return result
    }

    /// A person's prompt for every frame, checked before the first frame is computed.
    private func prompts(_ options: SegmenterOptions, for frames: [Frame]) throws -> [GivenPrompt?] {
        if case .box = recipe.prompts, options.box == nil, !options.points.isEmpty {
            throw SegmentationError.option(
                segmenter: recipe.name, option: "points",
                reason: "it needs a box: give one too, or choose sam-point for points alone")
        }
        return try frames.map { frame in
            guard options.hasPrompt else { return nil }
            return try GivenPrompt(options, rows: frame.rows, columns: frame.columns, segmenter: recipe.name)
        }
    }

    private func answer(
        _ frame: Frame, _ index: Int, _ given: GivenPrompt?, _ options: SegmenterOptions,
        _ trace: (any SegmentationTrace)?, _ boxes: inout BoxNotes
    ) throws -> (PromptedAnswer, Confidence) {
        let found = try given == nil ? prompter.find(.frames([frame])) : nil
        let margin = options.margin ?? recipe.margin
        var prompts = [Prompt]()
        let answer = try network.answer(
            network.predictor.image(frame), index: index, shift: options.shift ?? recipe.shift, trace: trace
        ) { grid in
            prompts = given.map { [$0.prompt(on: grid)] } ?? found.map { automatic($0.masks[0], grid, margin) } ?? []
            boxes.count(prompts, on: grid)
            return prompts
        }
        let prompter = found?.confidence.value
        // If the prompter does not find anything, the answer takes the prompter's confidence.
        let confidence =
            prompts.isEmpty
            ? Confidence(value: prompter ?? 0, measures: ["prompterConfidence": prompter ?? 0])
            : PromptConfidence.confidence(answer.measures, prompter: prompter)
        return (answer, confidence)
    }

    /// Prompts for the objects of a mask, in pixels of the network's input.
    private func automatic(_ mask: Mask, _ grid: InputGrid, _ margin: Double) -> [Prompt] {
        MaskPrompter.objects(mask).compactMap { object in
            if case .points = recipe.prompts {
                return MaskPrompter.innermost(object, columns: mask.columns).map { Prompt(points: [grid.input($0)]) }
            }
            return MaskPrompter.box(object, columns: mask.columns).map {
                Prompt(box: grid.widened(grid.input($0), by: margin))
            }
        }
    }
}
