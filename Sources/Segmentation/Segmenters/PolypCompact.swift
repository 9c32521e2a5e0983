// SPDX-License-Identifier: Apache-2.0
//
// polyp-compact: polyps in single colonoscopy frames, as in training/recipes/polyp_compact.py.
//
// RGB 0...255 -> resized to 256 x 256 (stretched, not rounded) -> ImageNet's mean and deviation ->
// residual U-Net on the four flips -> sigmoid -> mean -> resized to the frame -> mask where at
// least 0.5. The whole mask is kept.
//
// A presence head looks at each flip too. If the sigmoid of its mean logit is below 0.5, the frame
// does not show a polyp: the mask is empty, and the probabilities are multiplied with the presence.
// The confidence is fitted to measures on the network's square (training/recipes/confidence.py).

internal import Foundation
internal import Imaging
internal import Inference

/// Segments polyps in single colonoscopy frames without a prompt.
final class PolypCompact: Segmenter {
    static let recipe = Recipe(
        SegmenterEntry(
            SegmenterDescriptor(
                name: "polyp-compact",
                version: "1.2.0",
                accepts: .frames,
                weightsHash: EmbeddedWeights.hash(of: "polyp-compact"),
                segmentLabel: "polyp",
                category: CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
                type: CodedConcept("68496003", "SCT", "Polyp of colon"),
                anatomicRegion: CodedConcept("71854001", "SCT", "Colon"),
                recommendedDisplayColor: DisplayColor(red: 46, green: 230, blue: 92),
                title: "polyps in single colonoscopy frames (RGB)",
                paper: "Ronneberger 2015 (U-Net), He 2016 (residual blocks); trained by training/fitting/train.py",
                licence: "research use only, see training/cards/polyp-compact.md"))
    ) { try PolypCompact($0) }

    /// Height and width of the network's input, pixels.
    static let size = 256
    static let mean: [Float] = [0.485, 0.456, 0.406]
    static let deviation: [Float] = [0.229, 0.224, 0.225]
    static let threshold: Float = 0.5
    /// A frame with a lower presence does not show a polyp.
    ///
    /// The threshold of pixels is at least as high. Probabilities that are multiplied with a lower
    /// presence therefore stay below it.
    static let presenceThreshold = 0.5
    /// Flips along (rows, columns).
    static let views = [(false, false), (false, true), (true, false), (true, true)]

    let descriptor: SegmenterDescriptor
    private let network: ResidualUNet
    private let presenceHead: PresenceHead
    private let confidenceFit: ConfidenceFit?
    private let precision: Precision

    init(_ weights: RecipeWeights) throws {
        let size = Double(Self.size)
        try weights.check([
            "size": [size, size], "mean": Self.mean.map(Double.init), "std": Self.deviation.map(Double.init),
            "threshold": [Double(Self.threshold)], "presence_threshold": [Self.presenceThreshold],
        ])
        descriptor = weights.descriptor
        network = try ResidualUNet(weights.tensors, precision: weights.precision)
        presenceHead = try PresenceHead(weights.tensors)
        confidenceFit = try weights.confidenceFit()
        precision = weights.precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.recipe.entry.check(options)
        let frames = try input.frames(for: descriptor.name)
        var result = SegmenterResult(computedIn: precision)
        for (index, frame) in frames.enumerated() {
            let (mask, probability, confidence) = try segment(frame)
            result.masks.append(mask)
            result.probabilities.append(probability)
            result.frameConfidence.append(confidence)
            progress(index + 1, frames.count)
        }
        result.confidence = PromptConfidence.mean(result.frameConfidence, found: result.masks.map { !$0.isEmpty })
        let presences = result.frameConfidence.compactMap { $0.measures["presence"] }
        result.confidence.measures["presence"] = presences.max()
        let grey = frames.count { $0.channels == 1 }
        if grey > 0 {
            result.notes.append("\(grey) of \(frames.count) frames are grey: the network was trained on colour only")
        }
        return result
    }

    private func segment(_ frame: Frame) throws -> (Mask, [Float], Confidence) {
        let (rows, columns) = (frame.rows, frame.columns)
        let (each, presence) = try look(at: frame)
        var mean = each[0]
        for view in each.dropFirst() { for index in mean.indices { mean[index] += view[index] } }
        for index in mean.indices { mean[index] /= Float(each.count) }
        let measures = AnswerMeasures(
            shape: [Self.size, Self.size], probability: mean, mask: Self.mask(mean), views: each.map(Self.mask),
            presence: presence)
        var probability = Resampling.resize(mean, from: [Self.size, Self.size], to: [rows, columns])
        if presence < Self.presenceThreshold {
            for index in probability.indices { probability[index] *= Float(presence) }
        }
        let mask = Mask(rows: rows, columns: columns, probabilities: probability, threshold: Self.threshold)
        return (mask, probability, measures.confidence(confidenceFit, isEmpty: mask.isEmpty))
    }

    /// The binary mask of a square of probabilities.
    private static func mask(_ square: [Float]) -> [UInt8] { square.map { $0 >= threshold ? 1 : 0 } }

    /// Runs the network on the four views.
    ///
    /// - Returns: probabilities of each view, flipped back, `[size, size]`, and the presence of a
    ///   polyp.
    private func look(at frame: Frame) throws -> ([[Float]], presence: Double) {
        let pixels = Self.normalised(frame)
        let (size, plane) = (Self.size, Self.size * Self.size)
        var batch = [Float]()
        batch.reserveCapacity(Self.views.count * plane * 3)
        for (flipsRows, flipsColumns) in Self.views {
            for row in 0..<size {
                let line = (flipsRows ? size - 1 - row : row) * size
                for column in 0..<size {
                    let pixel = (line + (flipsColumns ? size - 1 - column : column)) * 3
                    batch.append(pixels[pixel])
                    batch.append(pixels[pixel + 1])
                    batch.append(pixels[pixel + 2])
                }
            }
        }
        let input = Tensor(shape: [Self.views.count, size, size, 3], values: batch)
        var head = input
        var output = try naming(descriptor.name) { try network(input) { if $0 == "head" { head = $1 } } }
        output.applySigmoid()
        let probabilities = Self.views.enumerated().map { view, flips in
            (0..<plane).map { pixel in
                let row = flips.0 ? size - 1 - pixel / size : pixel / size
                let column = flips.1 ? size - 1 - pixel % size : pixel % size
                return output.values[view * plane + row * size + column]
            }
        }
        return (probabilities, presence(head))
    }

    /// The presence of a polyp: the sigmoid of the views' mean logit.
    private func presence(_ head: Tensor) -> Double {
        let logits = presenceHead(head)
        return 1 / (1 + exp(-logits.reduce(0, +) / Double(logits.count)))
    }

    /// The network's input, `[size, size, 3]`.
    ///
    /// The channel of a grey frame is repeated. Values beyond 0...255 are stretched into that
    /// range.
    private static func normalised(_ frame: Frame) -> [Float] {
        let samples = frame.channels == 3 ? frame.samples : frame.samples.flatMap { [$0, $0, $0] }
        var square = Resampling.resize(samples, from: [frame.rows, frame.columns], to: [size, size], kept: 3)
        let (low, high) = (frame.samples.min() ?? 0, frame.samples.max() ?? 0)
        if low < 0 || high > 255 {
            let scale = high > low ? 255 / (high - low) : 0
            for index in square.indices { square[index] = (square[index] - low) * scale }
        }
        for index in square.indices {
            square[index] = (square[index] / 255 - mean[index % 3]) / deviation[index % 3]
        }
        return square
    }
}
