// SPDX-License-Identifier: Apache-2.0
//
// sam-auto: polyps in single frames by Segment Anything without a prompt. Masks of everything in the frame
// (`AutomaticMaskGenerator`, the reference's defaults) -> those that a logistic rule takes for polyps (`SamAutoRule`):
// none, one, or several that do not touch each other's pixels.
//
// The rule is the one inside the executable, or NAME.rule.json beside the weights NAME.safetensors. It decides answers as
// weights do: its hash is a part of the version. What it was not fitted for is said in every answer's notes.

internal import Foundation
internal import Imaging
internal import Inference

final class SamAuto: InstalledRecipe {
    static let entry: SegmenterEntry = {
        var template = PolypCompact.description
        template.name = "sam-auto"
        template.version = "1.0.0"
        template.weightsHash = ""
        template.title = "polyps in single colonoscopy frames, without a prompt"
        template.paper = "Kirillov 2023 (Segment Anything)"
        template.licence = ""
        return SegmenterEntry(
            template, family: .sam,
            refusals: [
                .box: "it looks everywhere by itself: for a box choose sam-box",
                .points: "it looks everywhere by itself: for points choose sam-point",
            ], choosesAmongMasks: true)
    }()

    /// Frames with more pixels are refused.
    static let mostPixels = 40_000_000

    let descriptor: SegmenterDescriptor
    private let network: SegmentAnything
    private let generator: AutomaticMaskGenerator
    private let precision: Precision
    private let rule: SamAutoRule
    private let table: SamAutoTable?

    static func version(on path: String) throws(SegmentationError) -> String { version(try rule(on: path)) }

    private static func version(_ rule: SamAutoRule) -> String {
        "\(entry.template.version)+rule.\(rule.sha256.prefix(8))"
    }

    private static func rule(on path: String) throws(SegmentationError) -> SamAutoRule {
        do {
            return try SamAutoRule.beside(weights: path) ?? .builtIn
        } catch {
            throw .rule(segmenter: entry.name, reason: error.reason)
        }
    }

    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, file: WeightFile?, precision: Precision) throws {
        rule = try file.map { try Self.rule(on: $0.path) } ?? .builtIn
        // The very rule that will choose, since the file may have been changed a moment ago.
        guard Self.version(rule) == descriptor.version else {
            throw SegmentationError.otherRecipe(segmenter: descriptor.name, version: descriptor.version)
        }
        self.descriptor = descriptor
        self.precision = precision
        network = try SegmentAnything(weights, precision: precision)
        generator = try AutomaticMaskGenerator(network)
        table = try SamAutoTable(environment: ProcessInfo.processInfo.environment, weights: descriptor.weightsHash)
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        guard case .frames(let frames) = input else {
            throw SegmentationError.wrongKind(segmenter: descriptor.name, accepts: "frames")
        }
        guard !frames.isEmpty else { throw unsuitable("it has no frames") }
        for (index, frame) in frames.enumerated() { try check(frame, index) }
        var result = SegmenterResult(
            masks: [], probabilities: [], frameConfidence: [], confidence: Confidence(value: 0, measures: [:]),
            notes: ["computed in \(precision.rawValue)"])
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

    private func unsuitable(_ reason: String) -> SegmentationError {
        .unsuitable(segmenter: descriptor.name, reason: reason)
    }

    private func check(_ frame: Frame, _ index: Int) throws {
        guard frame.rows <= Self.mostPixels / frame.columns else {
            throw unsuitable("frame \(index + 1) has more than \(Self.mostPixels / 1_000_000) million pixels")
        }
        // One sum finds out: infinities and NaN survive every addition.
        guard frame.samples.reduce(0, { $0 + abs($1) * 0x1p-64 }).isFinite else {
            throw unsuitable("frame \(index + 1) has values that are not finite")
        }
    }

    private func masks(
        of image: ByteImage, index: Int, _ trace: (any SegmentationTrace)?
    ) throws -> [AutomaticMask] {
        var seen: (input: Tensor, embedding: Tensor)?
        var crops = 0
        let size = network.lowResolutionSize
        let tensors = trace.flatMap { $0.wantsTensors ? $0 : nil }
        let record = tensors.map { trace in
            { (crop: CropTrace) throws in
                // The view of a crop comes before what is made of it.
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

    /// Probabilities are the estimates of the masks that were taken; elsewhere 0.
    private func add(
        _ choices: [SamAutoRule.Choice], of masks: [AutomaticMask], _ image: ByteImage,
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
        result.masks.append(Mask(rows: image.rows, columns: image.columns, pixels: pixels))
        result.probabilities.append(probabilities)
        result.frameConfidence.append(confidence(choices, of: masks, image))
    }

    private func confidence(
        _ choices: [SamAutoRule.Choice], of masks: [AutomaticMask], _ image: ByteImage
    ) -> Confidence {
        guard !choices.isEmpty else {
            let best = rule.ranked(masks, in: image).first?.estimate ?? 0
            return Confidence(value: 1 - best, measures: ["estimatedDice": best])
        }
        func mean(_ value: (SamAutoRule.Choice) -> Double) -> Double {
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

extension ByteImage {
    /// A part of the picture.
    func part(_ box: PixelBox) -> ByteImage {
        guard box.width < columns || box.height < rows else { return self }
        var part = [UInt8]()
        part.reserveCapacity(box.width * box.height * channels)
        for row in box.y0..<box.y1 {
            let line = row * columns
            part += values[(line + box.x0) * channels..<(line + box.x1) * channels]
        }
        return ByteImage(rows: box.height, columns: box.width, channels: channels, values: part)
    }
}
