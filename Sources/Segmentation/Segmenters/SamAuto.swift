// SPDX-License-Identifier: Apache-2.0
//
// sam-auto: polyps in single frames by Segment Anything without a prompt.
//
// The endoscopic field of the frame (`EndoscopicField`) -> masks of everything in it (`AutomaticMaskGenerator`, the
// reference's defaults) -> the masks that a logistic rule (`SamAutoRule`) takes for polyps. The answer may have several such masks, which do not
// overlap, or be empty.
//
// The rule is the one inside the executable, or NAME.rule.json beside the weights NAME.safetensors.
// It decides answers as weights do, so its hash is a part of the version. The notes of every answer
// say if the rule was not fitted on these weights.

internal import Foundation
internal import Imaging
internal import Inference

/// Segments polyps by choosing among the masks of everything in a frame.
final class SamAuto: FrameSegmenter {
    static let recipe: Recipe = {
        var template = PolypCompact.recipe.entry.template
        template.name = "sam-auto"
        template.version = "1.1.1"
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

    func run(frames: Int, options: SegmenterOptions, trace: (any SegmentationTrace)?) throws -> any FrameRun {
        try Self.recipe.entry.check(options)
        return Run(self, trace)
    }

    /// A run over the frames of one stack.
    private final class Run: FrameRun {
        private let segmenter: SamAuto
        private let trace: (any SegmentationTrace)?
        private var confidences = FrameConfidences()
        /// The number of masks among which the rule chose.
        private var generated = 0

        init(_ segmenter: SamAuto, _ trace: (any SegmentationTrace)?) {
            self.segmenter = segmenter
            self.trace = trace
        }

        func segment(_ frame: Frame) throws -> FrameAnswer {
            let field = EndoscopicField(of: frame)
            let image = ByteImage(stretching: field.picture(of: frame))
            let index = confidences.count
            let masks = try naming(segmenter.descriptor.name) { try segmenter.masks(of: image, index: index, trace) }
            let choices = segmenter.rule.choose(among: masks, in: image)
            try segmenter.table?.write(masks, of: image)
            if let trace, trace.wantsCandidates {
                try trace.record(CandidateMasks(masks.map { field.placed($0.segmentation) }), of: index)
            }
            generated += masks.count
            let answer = segmenter.answer(choices, of: masks, image, field)
            return confidences.add(answer, of: frame)
        }

        func summary() -> (confidence: Confidence, notes: [String]) {
            (
                confidences.whole,
                [
                    "computed in \(segmenter.precision.rawValue)",
                    "\(generated) masks were generated, the rule chose among them",
                    segmenter.rule.note(weights: segmenter.descriptor.weightsHash),
                ] + confidences.notes
            )
        }
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

    /// A frame's answer, whose probabilities are the estimates of the chosen masks, and 0 elsewhere.
    private func answer(
        _ choices: [SamAutoRule.ChosenMask], of masks: [AutomaticMask], _ image: ByteImage, _ field: EndoscopicField
    ) -> FrameAnswer {
        var pixels = [UInt8](repeating: 0, count: image.rows * image.columns)
        var probabilities = [Float](repeating: 0, count: pixels.count)
        for choice in choices {
            for (place, pixel) in masks[choice.index].segmentation.pixels.enumerated() where pixel != 0 {
                pixels[place] = 1
                probabilities[place] = Float(choice.estimate)
            }
        }
        return FrameAnswer(
            mask: Mask(rows: field.rows, columns: field.columns, pixels: field.placed(pixels)),
            probabilities: field.placed(probabilities),
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
