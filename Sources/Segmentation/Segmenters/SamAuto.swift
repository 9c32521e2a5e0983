// SPDX-License-Identifier: Apache-2.0
//
// sam-auto: polyps in single frames by Segment Anything without a prompt.
//
// Masks of everything in the frame (`AutomaticMaskGenerator`, the reference's defaults) -> the
// masks that a logistic rule (`SamAutoRule`) takes for polyps. The answer may have several such masks, which do not
// overlap, or be empty.
//
// The rule is the one inside the executable, or NAME.rule.json beside the weights NAME.safetensors.
// It decides answers as weights do, so its hash is a part of the version. The notes of every answer
// say if the rule was not fitted on these weights.

internal import Foundation
internal import Imaging
internal import Inference

/// Segments polyps by choosing among the masks of everything in a frame.
final class SamAuto: Segmenter {
    static let recipe: Recipe = {
        var template = PolypCompact.recipe.entry.template
        template.name = "sam-auto"
        template.version = "1.0.0"
        template.weightsHash = ""
        template.recommendedDisplayColor = DisplayColor(red: 0, green: 255, blue: 225)
        template.title = "polyps in single colonoscopy frames, without a prompt"
        template.paper = "Kirillov 2023 (Segment Anything)"
        template.licence = ""
        let entry = SegmenterEntry(
            template, family: .sam,
            refusals: [
                .box: "it looks everywhere by itself: for a box choose sam-box",
                .points: "it looks everywhere by itself: for points choose sam-point",
            ], choosesAmongMasks: true)
        var recipe = Recipe(entry) { try SamAuto($0) }
        recipe.version = { path throws(SegmentationError) in
            SamAuto.version(entry.template.version, try SamAuto.rule(beside: path))
        }
        return recipe
    }()

    let descriptor: SegmenterDescriptor
    private let network: SegmentAnything
    private let generator: AutomaticMaskGenerator
    private let precision: Precision
    private let rule: SamAutoRule
    private let table: SamAutoTable?

    init(_ weights: RecipeWeights) throws {
        rule = try Self.rule(beside: weights.path)
        descriptor = weights.descriptor
        // Compared with the rule that will choose, because the file may have been replaced since
        // the last comparison.
        guard Self.version(Self.recipe.entry.template.version, rule) == descriptor.version else {
            throw SegmentationError.otherRecipe(segmenter: descriptor.name, version: descriptor.version)
        }
        precision = weights.precision
        network = try SegmentAnything(weights.tensors, precision: weights.precision)
        generator = try AutomaticMaskGenerator(network)
        table = try SamAutoTable(environment: ProcessInfo.processInfo.environment, weights: descriptor.weightsHash)
    }

    /// The version of the recipe with a rule, whose hash is semver's build metadata.
    private static func version(_ recipe: String, _ rule: SamAutoRule) -> String {
        "\(recipe)+rule.\(rule.sha256.prefix(8))"
    }

    /// A site's rule beside its weights, or else the rule inside the executable.
    private static func rule(beside path: String?) throws(SegmentationError) -> SamAutoRule {
        guard let path else { return .builtIn }
        do {
            return try SamAutoRule.beside(weights: path) ?? .builtIn
        } catch {
            throw .rule(segmenter: "sam-auto", reason: error.reason)
        }
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.recipe.entry.check(options)
        let frames = try input.frames(for: descriptor.name)
        var result = SegmenterResult(computedIn: precision)
        var generated = 0
        for (index, frame) in frames.enumerated() {
            let image = ByteImage(stretching: frame)
            let masks = try naming(descriptor.name) { try self.masks(of: image, index: index, trace) }
            let choices = rule.choose(among: masks, in: image)
            try table?.write(masks, of: image)
            if let trace, trace.wantsCandidates {
                try trace.record(CandidateMasks(masks.map(\.segmentation)), of: index)
            }
            generated += masks.count
            add(choices, of: masks, image, to: &result)
            progress(index + 1, frames.count)
        }
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        result.notes.append("\(generated) masks were generated, the rule chose among them")
        result.notes.append(rule.note(weights: descriptor.weightsHash))
        return result
    }

    /// The masks of everything in the frame.
    private func masks(
        of image: ByteImage, index: Int, _ trace: (any SegmentationTrace)?
    ) throws -> [AutomaticMask] {
        var seen: (input: Tensor, embedding: Tensor)?
        var crops = 0
        let size = network.lowResolutionSize
        let tensors = trace.flatMap { $0.wantsTensors ? $0 : nil }
        let record = tensors.map { trace in
            { (crop: CropTrace) throws in
                // The generator asks for the view of a crop before it records the crop.
                guard let seen else { return }
                try trace.record(Self.traced(crop, number: crops, of: index, seen.input, seen.embedding, size))
                crops += 1
            }
        }
        return try generator.masks(
            height: image.rows, width: image.columns,
            view: { crop in
                let part = image.part(crop)
                let prepared = PreparedImage(part, family: .sam, size: network.inputSize)
                let embedding = try network.embed(prepared.input)
                if tensors != nil { seen = (prepared.input, embedding.values) }
                let transform = SamTransform(height: part.rows, width: part.columns, inputSize: network.inputSize)
                return .init(embedding: embedding, transform: transform)
            }, trace: record)
    }

    /// The record of one crop.
    private static func traced(
        _ crop: CropTrace, number: Int, of index: Int, _ input: Tensor, _ embedding: Tensor, _ size: Int
    ) -> TracedFrame {
        let points = crop.crop.points.count
        var frame = TracedFrame(
            index: index, input: input.channelsFirst(), embedding: embedding.channelsFirst(),
            logits: crop.passed.isEmpty ? nil : Tensor(shape: [crop.passed.count, size, size], values: crop.logits),
            predictedIoU: Tensor(shape: [points, crop.predictedIoU.count / points], values: crop.predictedIoU))
        (frame.crop, frame.masks) = (number, TracedFrame.Masks(crop))
        return frame
    }

    /// Adds a frame's answer.
    ///
    /// The probabilities are the estimates of the chosen masks, and 0 elsewhere.
    private func add(
        _ choices: [SamAutoRule.ChosenMask], of masks: [AutomaticMask], _ image: ByteImage,
        to result: inout SegmenterResult
    ) {
        var pixels = [UInt8](repeating: 0, count: image.rows * image.columns)
        var probabilities = [Float](repeating: 0, count: pixels.count)
        for choice in choices {
            for (place, pixel) in masks[choice.index].segmentation.pixels.enumerated() where pixel != 0 {
                pixels[place] = 1
                probabilities[place] = Float(choice.estimate)
            }
        }
        result.add(
            mask: pixels, probabilities: probabilities, rows: image.rows, columns: image.columns,
            confidence: confidence(choices, of: masks, image))
    }

    /// The estimated Dice; without a choice, 1 - the best estimate.
    private func confidence(
        _ choices: [SamAutoRule.ChosenMask], of masks: [AutomaticMask], _ image: ByteImage
    ) -> Confidence {
        guard !choices.isEmpty else {
            let best = rule.ranked(masks, in: image).first?.estimate ?? 0
            return Confidence(value: 1 - best, measures: ["estimatedDice": best])
        }
        func mean(_ value: (SamAutoRule.ChosenMask) -> Double) -> Double {
            choices.reduce(0) { $0 + min(max(value($1), 0), 1) } / Double(choices.count)
        }
        let estimate = mean(\.estimate)
        return Confidence(
            value: estimate,
            measures: [
                "estimatedDice": estimate,
                "predictedIoU": mean { Double(masks[$0.index].predictedIoU) },
                "stabilityScore": mean { Double(masks[$0.index].stabilityScore) },
            ])
    }
}
