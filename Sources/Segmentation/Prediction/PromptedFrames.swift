// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// Segments single frames by prompting a network of the SAM family.
///
/// A person's prompt applies to every frame. Without one, polyp-compact looks for polyps, and every polyp that it finds
/// becomes a prompt: its box, widened by the margin, or its innermost pixel. The mask of a frame without a polyp is
/// empty.
final class PromptedFrames: FrameSegmenter {
    let descriptor: SegmenterDescriptor
    private let recipe: PromptedRecipe
    private let network: PromptedNetwork
    private let prompter: CompactPrompter
    private let precision: Precision

    init(_ recipe: PromptedRecipe, _ weights: RecipeWeights) throws {
        descriptor = weights.descriptor
        self.recipe = recipe
        network = try PromptedNetwork(recipe, weights)
        prompter = CompactPrompter(recipe.prompter, for: recipe.name, precision: weights.precision)
        precision = weights.precision
    }

    func run(frames: Int, options: SegmenterOptions, trace: (any SegmentationTrace)?) throws -> any FrameRun {
        try recipe.entry.check(options)
        if case .box = recipe.prompts, options.box == nil, !options.points.isEmpty {
            throw SegmentationError.option(
                segmenter: recipe.name, option: .points,
                reason: "it needs a box: give one too, or choose \(recipe.family.rawValue)-point for points alone")
        }
        return Run(self, options, trace)
    }

    /// A run over the frames of one stack.
    private final class Run: FrameRun {
        private let segmenter: PromptedFrames
        private let options: SegmenterOptions
        private let trace: (any SegmentationTrace)?
        private var confidences = FrameConfidences()
        private var boxes = BoxNotes()
        /// The number of objects that were too small.
        private var dropped = 0
        /// The number of frames that are prompted, or in which polyp-compact looked for prompts, although they are not
        /// like its own.
        private var unlike = 0

        init(_ segmenter: PromptedFrames, _ options: SegmenterOptions, _ trace: (any SegmentationTrace)?) {
            self.segmenter = segmenter
            self.options = options
            self.trace = trace
        }

        func segment(_ frame: Frame) throws -> FrameAnswer {
            let recipe = segmenter.recipe
            let given =
                try options.hasPrompt
                ? GivenPrompt(options, rows: frame.rows, columns: frame.columns, segmenter: recipe.name) : nil
            if given?.isClipped == true { boxes.clipped += 1 }
            let (found, confidence) = try naming(recipe.name) {
                try segmenter.answer(frame, confidences.count, given, options, trace, &boxes, &unlike)
            }
            var image = found.image
            dropped += image.dropObjects(
                below: recipe.smallestObject, slices: 1, rows: frame.rows, columns: frame.columns)
            let answer = FrameAnswer(
                mask: Mask(rows: frame.rows, columns: frame.columns, pixels: image.mask),
                probabilities: image.probabilities, confidence: confidence)
            return confidences.add(answer, of: frame)
        }

        func summary() -> (confidence: Confidence, notes: [String]) {
            let recipe = segmenter.recipe
            var notes = ["computed in \(segmenter.precision.rawValue)"] + boxes.notes(recipe.family)
            if !options.hasPrompt { notes.append("prompts were found by \(recipe.prompter.entry.name)") }
            if dropped > 0 {
                notes.append("\(dropped) objects of fewer than \(recipe.smallestObject) pixels were dropped")
            }
            notes += segmenter.prompter.notes(
                onUnlike: unlike, of: confidences.count, wasPrompted: options.hasPrompt)
            return (confidences.whole, notes + confidences.notes)
        }
    }

    private func answer(
        _ frame: Frame, _ index: Int, _ given: GivenPrompt?, _ options: SegmenterOptions,
        _ trace: (any SegmentationTrace)?, _ boxes: inout BoxNotes, _ unlike: inout Int
    ) throws -> (PromptedAnswer, Confidence) {
        // A person who points beside the endoscope's picture means the whole frame.
        let field = given.map { EndoscopicField(of: frame, showing: $0) } ?? EndoscopicField(of: frame)
        if given != nil, PolypCompact.isUnlike(frame, in: field) { unlike += 1 }
        let given = given?.moved(into: field.box)
        let found = try given == nil ? prompter.find(.frames([frame])) : nil
        let margin = options.margin ?? recipe.margin
        var prompts = [Prompt]()
        var answer = try network.answer(
            network.predictor.image(field.picture(of: frame)), index: index, shift: options.shift ?? recipe.shift,
            trace: trace
        ) { grid in
            prompts =
                given.map { [$0.prompt(on: grid)] } ?? found.map { automatic(field.cut($0.masks[0]), grid, margin) }
                ?? []
            boxes.count(prompts, on: grid)
            return prompts
        }
        answer.image = field.placed(answer.image)
        let prompter = found?.confidence.value
        // If the prompter does not find anything, the answer takes the prompter's confidence.
        var confidence =
            prompts.isEmpty
            ? Confidence(value: prompter ?? 0, measures: ["prompterConfidence": prompter ?? 0])
            : PromptConfidence.confidence(answer.measures, prompter: prompter)
        if let found, self.prompter.doubts(found) {
            confidence.value = min(confidence.value, PolypCompact.doubtful)
            unlike += 1
        }
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
