// SPDX-License-Identifier: Apache-2.0
//
// polyp-compact: polyps in single colonoscopy frames. The recipe is that of training/recipes/polyp_compact.py: RGB
// 0...255 -> resized to 256 x 256 (stretched, not rounded) -> ImageNet's mean and deviation -> residual U-Net
// (training/networks/residual_unet.py) on the four flips -> sigmoid -> mean -> resized to the frame -> mask where at
// least 0.5; nothing is removed from the mask. A presence head (training/networks/presence_head.py) looks at each
// flip too: where the sigmoid of its mean is below 0.5, there is no polyp, the mask is empty and the probabilities
// are multiplied with the presence. Confidence is fitted to measures on the network's square
// (training/recipes/confidence.py).

internal import Foundation
internal import Imaging
internal import Inference

final class PolypCompact: Recipe {
    static let description = SegmenterDescriptor(
        name: "polyp-compact",
        version: "1.2.0",
        accepts: .frames,
        weightsHash: EmbeddedWeights(of: "polyp-compact").sha256,
        segmentLabel: "polyp",
        category: CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        type: CodedConcept("68496003", "SCT", "Polyp of colon"),
        anatomicRegion: CodedConcept("71854001", "SCT", "Colon"),
        recommendedDisplayColor: DisplayColor(red: 46, green: 230, blue: 92),
        title: "polyps in single colonoscopy frames (RGB)",
        paper: "Ronneberger 2015 (U-Net), He 2016 (residual blocks); trained by training/fitting/train.py",
        licence: "research use only, see training/cards/polyp-compact.md")

    /// Extent of the network's input, pixels.
    static let size = 256
    static let mean: [Float] = [0.485, 0.456, 0.406]
    static let deviation: [Float] = [0.229, 0.224, 0.225]
    static let threshold: Float = 0.5
    /// Frames below it have no polyp. With the threshold of pixels at least as high, none of their probabilities, which
    /// are multiplied with the presence, reaches that.
    static let presenceThreshold = 0.5
    /// Frames with more pixels are refused: several planes of each are held at once.
    static let mostPixels = 40_000_000
    /// Flips along (rows, columns).
    static let views = [(false, false), (false, true), (true, false), (true, true)]

    private let network: ResidualUNet
    private let presenceHead: PresenceHead
    private let confidenceFit: ConfidenceFit?
    private let precision: Precision

    init(precision: Precision) throws {
        let size = Double(Self.size)
        let file = try Self.weights(expecting: [
            "size": [size, size], "mean": Self.mean.map(Double.init), "std": Self.deviation.map(Double.init),
            "threshold": [Double(Self.threshold)], "presence_threshold": [Self.presenceThreshold],
        ])
        (network, presenceHead) = try naming(Self.name) {
            let network = try ResidualUNet(file, precision: precision)
            return (network, try PresenceHead(file))
        }
        confidenceFit = try Self.confidenceFit(in: file)
        self.precision = precision
    }

    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        try Self.entry.check(options)
        guard case .frames(let frames) = input else {
            throw SegmentationError.wrongKind(segmenter: Self.name, accepts: "frames")
        }
        guard !frames.isEmpty else { throw Self.unsuitable("it has no frames") }
        for (index, frame) in frames.enumerated() { try Self.check(frame, index) }
        var result = SegmenterResult(
            masks: [], probabilities: [], frameConfidence: [],
            confidence: Confidence(value: 0, measures: [:]),
            notes: ["computed in \(precision.rawValue)"])
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
        if grey > 0 { result.notes.append("\(grey) of \(frames.count) frames are grey: the network knows colour only") }
        return result
    }

    private static func check(_ frame: Frame, _ index: Int) throws {
        guard frame.rows <= mostPixels / frame.columns else {
            throw unsuitable("frame \(index + 1) has more than \(mostPixels / 1_000_000) million pixels")
        }
        // One sum finds out: infinities and NaN survive every addition.
        guard frame.samples.reduce(0, { $0 + abs($1) * 0x1p-64 }).isFinite else {
            throw unsuitable("frame \(index + 1) has values that are not finite")
        }
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

    private static func mask(_ square: [Float]) -> [UInt8] { square.map { $0 >= threshold ? 1 : 0 } }

    /// Probabilities `[size, size]` of each view, turned back, and the presence of a polyp.
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
        var output = try naming(Self.name) { try network(input) { if $0 == "head" { head = $1 } } }
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

    /// The sigmoid of the views' mean logit.
    private func presence(_ head: Tensor) -> Double {
        let logits = presenceHead(head)
        return 1 / (1 + exp(-logits.reduce(0, +) / Double(logits.count)))
    }

    /// `[size, size, 3]`. Grey frames are taken for grey colours; values beyond 0...255 are stretched into it.
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
