// SPDX-License-Identifier: Apache-2.0

internal import Imaging
internal import Inference

/// Single frames, answered by a promptable network: the part that its recipes for frames have in common.
///
/// A person's prompt holds for every frame. Without one, polyp-compact looks for polyps, and each that it finds becomes a
/// prompt: its box, widened by the margin, or its innermost pixel. A frame without a find is answered with nothing.
final class PromptedFrames: PromptedBody {
    enum Kind {
        case box
        case point
        /// A person may give points alone; those found are boxes.
        case boxOrPoints
    }

    private let network: PromptedNetwork
    private let kind: Kind
    private let prompter: CompactPrompter
    private let precision: Precision

    /// Frames with more pixels are refused.
    static let mostPixels = 40_000_000

    private var rules: PromptedRules { network.rules }

    init(_ rules: PromptedRules, asks kind: Kind, weights: SafeTensors, precision: Precision) throws {
        network = try naming(rules.name) { try PromptedNetwork(rules, weights: weights, precision: precision) }
        self.kind = kind
        self.precision = precision
        prompter = CompactPrompter(.polyp, precision: precision, asked: rules.name)
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        guard case .frames(let frames) = input else {
            throw SegmentationError.wrongKind(segmenter: rules.name, accepts: "frames")
        }
        let given = try check(frames, options)
        var boxes = BoxNotes()
        boxes.clipped = given.count { $0?.isClipped ?? false }
        var result = SegmenterResult(
            masks: [], probabilities: [], frameConfidence: [], confidence: Confidence(value: 0, measures: [:]),
            notes: ["computed in \(precision.rawValue)"])
        var dropped = 0
        for (index, frame) in frames.enumerated() {
            let (answer, confidence) = try naming(rules.name) {
                try self.answer(frame, index, given[index], options, trace, &boxes)
            }
            var image = answer.image
            dropped += image.dropObjects(
                below: rules.smallestObject, slices: 1, rows: frame.rows, columns: frame.columns)
            result.masks.append(Mask(rows: frame.rows, columns: frame.columns, pixels: image.mask))
            result.probabilities.append(image.probabilities)
            result.frameConfidence.append(confidence)
            progress(index + 1, frames.count)
        }
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        result.notes += boxes.notes(rules.family)
        if !options.hasPrompt { result.notes.append("prompts were found by \(PolypCompact.name)") }
        if dropped > 0 {
            result.notes.append("\(dropped) objects of fewer than \(rules.smallestObject) pixels were dropped")
        }
        return result
    }

    /// Checks everything before the first frame is computed.
    private func check(_ frames: [Frame], _ options: SegmenterOptions) throws -> [GivenPrompt?] {
        guard !frames.isEmpty else {
            throw SegmentationError.unsuitable(segmenter: rules.name, reason: "it has no frames")
        }
        if kind == .box, options.box == nil, !options.points.isEmpty {
            throw SegmentationError.option(
                segmenter: rules.name, option: "points", reason: "points alone are for sam-point: give a box too")
        }
        return try frames.enumerated().map { index, frame in
            guard frame.rows <= Self.mostPixels / frame.columns else {
                let reason = "frame \(index + 1) has more than \(Self.mostPixels / 1_000_000) million pixels"
                throw SegmentationError.unsuitable(segmenter: rules.name, reason: reason)
            }
            // One sum finds out: infinities and NaN survive every addition.
            guard frame.samples.reduce(0, { $0 + abs($1) * 0x1p-64 }).isFinite else {
                let reason = "frame \(index + 1) has values that are not finite"
                throw SegmentationError.unsuitable(segmenter: rules.name, reason: reason)
            }
            guard options.hasPrompt else { return nil }
            return try GivenPrompt(options, rows: frame.rows, columns: frame.columns, segmenter: rules.name)
        }
    }

    private func answer(
        _ frame: Frame, _ index: Int, _ given: GivenPrompt?, _ options: SegmenterOptions,
        _ trace: (any SegmentationTrace)?, _ boxes: inout BoxNotes
    ) throws -> (PromptedAnswer, Confidence) {
        let found = try given == nil ? prompter.find(.frames([frame])) : nil
        let margin = options.margin ?? rules.margin
        var prompts = [Prompt]()
        let answer = try network.answer(
            network.predictor.image(frame), index: index, shift: options.shift ?? rules.shift, trace: trace
        ) { grid in
            prompts = given.map { [$0.prompt(on: grid)] } ?? found.map { automatic($0.masks[0], grid, margin) } ?? []
            boxes.count(prompts, on: grid)
            return prompts
        }
        let prompter = found?.confidence.value
        // That nothing is there is the prompter's word.
        let confidence =
            prompts.isEmpty
            ? Confidence(value: prompter ?? 0, measures: ["prompterConfidence": prompter ?? 0])
            : PromptConfidence.confidence(answer.measures, prompter: prompter)
        return (answer, confidence)
    }

    private func automatic(_ mask: Mask, _ grid: InputGrid, _ margin: Double) -> [Prompt] {
        MaskPrompter.objects(mask).compactMap { object in
            switch kind {
            case .box, .boxOrPoints:
                MaskPrompter.box(object, columns: mask.columns).map {
                    Prompt(box: grid.widened(grid.input($0), by: margin))
                }
            case .point:
                MaskPrompter.innermost(object, columns: mask.columns).map { Prompt(points: [grid.input($0)]) }
            }
        }
    }
}

extension ImageAnswer {
    /// Clears connected objects of fewer pixels than `least`, their probabilities too.
    ///
    /// - Returns: how many there were.
    package mutating func dropObjects(below least: Int, slices: Int, rows: Int, columns: Int) -> Int {
        guard least > 1 else { return 0 }
        let before = mask
        let dropped = ConnectedComponents.removeSmall(
            &mask, slices: slices, rows: rows, columns: columns, below: least)
        if dropped > 0 { for index in mask.indices where before[index] > mask[index] { probabilities[index] = 0 } }
        return dropped
    }
}
