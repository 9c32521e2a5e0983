// SPDX-License-Identifier: Apache-2.0
//
// polyp-compact: polyps in single colonoscopy frames, as in training/recipes/polyp_compact.py.
//
// RGB 0...255 -> cut to the endoscopic field (`EndoscopicField`) -> resized to 256 x 256 (stretched, not rounded) ->
// ImageNet's mean and deviation -> residual U-Net on two or four flips -> sigmoid -> mean -> resized to the field -> zero
// outside it -> mask where at least 0.5. The whole mask is kept.
//
// The first two flips are the frame and the frame turned by half. If their answers agree, the other two are not computed
// (docs/decisions/0022-two-views-that-agree.md).
//
// A presence head looks at each flip too. If the sigmoid of its mean logit is below 0.5, the frame
// does not show a polyp: the mask is empty, and the probabilities are multiplied with the presence.
// The confidence is fitted to measures on the network's square (training/recipes/confidence.py). For a frame unlike those
// of the training (`FrameLikeness`), which includes grey ones, it is at most `doubtful`.

internal import Foundation
internal import Imaging
internal import Inference

/// Segments polyps in single colonoscopy frames without a prompt.
final class PolypCompact: FrameSegmenter {
    static let recipe = Recipe(
        SegmenterEntry(
            SegmenterDescriptor(
                name: "polyp-compact",
                version: "1.3.1",
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

    /// Statistics of every third training frame, on the network's square.
    static let known = FrameLikeness(redness: (0.488, 0.119), yellowness: (0.274, 0.118))
    /// A frame with a lower likeness is not like those of the training.
    static let leastLike = 0.0005
    /// The highest confidence of an answer for such a frame.
    static let doubtful = 0.25
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
    /// Flips along (rows, columns) that are always computed.
    private static let firstFlips = [(false, false), (true, true)]
    /// Flips that are computed only if the first ones disagree.
    private static let otherFlips = [(false, true), (true, false)]
    /// The least Dice of the masks of the first two views, if they agree on a polyp.
    private static let agreement = 0.95
    /// The least presence of both views together, if they agree on a polyp.
    private static let clearPresence = 0.7
    /// The greatest presence of both views together, and of each, if they agree that there is no polyp.
    private static let clearAbsence = (both: 0.1, each: 0.3)

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

    func run(frames: Int, options: SegmenterOptions, trace: (any SegmentationTrace)?) throws -> any FrameRun {
        try Self.recipe.entry.check(options)
        return Run(self)
    }

    /// A run over the frames of one stack.
    private final class Run: FrameRun {
        private let segmenter: PolypCompact
        private var confidences = FrameConfidences()
        private var grey = 0

        init(_ segmenter: PolypCompact) { self.segmenter = segmenter }

        func segment(_ frame: Frame) throws -> FrameAnswer {
            let answer = confidences.add(try segmenter.segment(frame), of: frame)
            if frame.channels == 1 { grey += 1 }
            return answer
        }

        func summary() -> (confidence: Confidence, notes: [String]) {
            var confidence = confidences.whole
            confidence.measures["presence"] = confidences.each.compactMap { $0.measures["presence"] }.max()
            var notes = ["computed in \(segmenter.precision.rawValue)"]
            let unlike = confidences.each.count { PolypCompact.isUnlike($0) }
            if unlike > 0 {
                notes.append("\(unlike) of \(confidences.count) frames do not look like frames of a colonoscopy")
            }
            if grey > 0 {
                notes.append("\(grey) of \(confidences.count) frames are grey: the network was trained on colour only")
            }
            return (confidence, notes + confidences.notes)
        }
    }

    private func segment(_ frame: Frame) throws -> FrameAnswer {
        let field = EndoscopicField(of: frame)
        let pixels = Self.normalised(field.picture(of: frame))
        let (each, presence) = try look(at: pixels)
        var mean = each[0]
        for view in each.dropFirst() {
            mean.withUnsafeMutableBufferPointer { mean in
                view.withUnsafeBufferPointer { view in for index in mean.indices { mean[index] += view[index] } }
            }
        }
        for index in mean.indices { mean[index] /= Float(each.count) }
        let measures = AnswerMeasures(
            shape: [Self.size, Self.size], probability: mean, mask: Self.mask(mean), views: each.map(Self.mask),
            presence: presence, likeness: Self.likeness(pixels))
        var probability = field.placed(
            Resampling.resize(mean, from: [Self.size, Self.size], to: [field.box.height, field.box.width]))
        if presence < Self.presenceThreshold {
            for index in probability.indices { probability[index] *= Float(presence) }
        }
        let mask = Mask(
            rows: frame.rows, columns: frame.columns, probabilities: probability, threshold: Self.threshold)
        var confidence = measures.confidence(confidenceFit, isEmpty: mask.isEmpty)
        if Self.isUnlike(confidence) { confidence.value = min(confidence.value, Self.doubtful) }
        return FrameAnswer(mask: mask, probabilities: probability, confidence: confidence)
    }

    /// The likeness of a frame to those of the training, from the network's input.
    private static func likeness(_ pixels: [Float]) -> Double {
        let colours = [Float](unsafeUninitializedCapacity: pixels.count) { colours, filled in
            for index in pixels.indices {
                colours.initializeElement(
                    at: index, to: (pixels[index] * deviation[index % 3] + mean[index % 3]) * 255)
            }
            filled = pixels.count
        }
        return known.value(colours)
    }

    /// Whether a frame is not like those of the training.
    static func isUnlike(_ frame: Frame, in field: EndoscopicField) -> Bool {
        likeness(normalised(field.picture(of: frame))) < leastLike
    }

    /// Whether the frame of an answer is not like those of the training.
    static func isUnlike(_ confidence: Confidence) -> Bool {
        (confidence.measures["likeness"] ?? 1) < leastLike
    }

    /// The binary mask of a square of probabilities.
    private static func mask(_ square: [Float]) -> [UInt8] { square.map { $0 >= threshold ? 1 : 0 } }

    /// Runs the network on two views, and on two more if these disagree.
    ///
    /// - Parameter pixels: the network's input, `[size, size, 3]`.
    /// - Returns: probabilities of each view, flipped back, `[size, size]`, and the presence of a
    ///   polyp.
    /// - Throws: `SegmentationError`.
    private func look(at pixels: [Float]) throws -> ([[Float]], presence: Double) {
        var (views, logits) = try look(at: pixels, Self.firstFlips)
        if !Self.agree(views, logits) {
            let others = try look(at: pixels, Self.otherFlips)
            views += others.views
            logits += others.logits
        }
        return (views, Self.presence(logits))
    }

    /// Runs the network on flips of a square.
    ///
    /// The pixels are `[size, size, 3]`, normalised. The probabilities of each view are flipped back, `[size, size]`, and
    /// the logits are those of the presence head.
    private func look(
        at pixels: [Float], _ flips: [(Bool, Bool)]
    ) throws -> (views: [[Float]], logits: [Double]) {
        let (size, plane) = (Self.size, Self.size * Self.size)
        let batch = [Float](unsafeUninitializedCapacity: flips.count * plane * 3) { batch, filled in
            filled = batch.count
            guard let start = batch.baseAddress else { return }
            for (view, flip) in flips.enumerated() {
                Self.flip(pixels, flip, channels: 3, into: start + view * plane * 3)
            }
        }
        let input = Tensor(shape: [flips.count, size, size, 3], values: batch)
        var head = input
        var output = try naming(descriptor.name) { try network(input) { if $0 == "head" { head = $1 } } }
        output.applySigmoid()
        let views = flips.enumerated().map { view, flip in
            [Float](unsafeUninitializedCapacity: plane) { buffer, filled in
                filled = plane
                guard let start = buffer.baseAddress else { return }
                Self.flip(Array(output.values[view * plane..<(view + 1) * plane]), flip, channels: 1, into: start)
            }
        }
        return (views, presenceHead(head))
    }

    /// Whether two views say the same so clearly that two more would hardly change the answer.
    private static func agree(_ views: [[Float]], _ logits: [Double]) -> Bool {
        let presence = presence(logits)
        guard presence >= presenceThreshold else {
            return presence < clearAbsence.both && logits.allSatisfy { Self.presence([$0]) < clearAbsence.each }
        }
        return presence > clearPresence && Dice.score(mask(views[0]), mask(views[1])) >= agreement
    }

    /// The presence of a polyp: the sigmoid of the views' mean logit.
    private static func presence(_ logits: [Double]) -> Double {
        1 / (1 + exp(-logits.reduce(0, +) / Double(logits.count)))
    }

    /// Flips a square, which undoes itself.
    ///
    /// - Parameters:
    ///   - square: `[size, size, channels]`.
    ///   - flips: whether the order of rows and that of columns is reversed.
    ///   - channels: samples of a pixel.
    ///   - target: room for as many samples.
    private static func flip(
        _ square: [Float], _ flips: (rows: Bool, columns: Bool), channels: Int, into target: UnsafeMutablePointer<Float>
    ) {
        let line = size * channels
        square.withUnsafeBufferPointer { square in
            guard let start = square.baseAddress else { return }
            for row in 0..<size {
                let source = start + (flips.rows ? size - 1 - row : row) * line
                let output = target + row * line
                guard flips.columns else {
                    output.update(from: source, count: line)
                    continue
                }
                for column in 0..<size {
                    for channel in 0..<channels {
                        output[column * channels + channel] = source[(size - 1 - column) * channels + channel]
                    }
                }
            }
        }
    }

    /// The network's input, `[size, size, 3]`.
    ///
    /// The channel of a grey frame is repeated. Values beyond 0...255 are stretched into that
    /// range.
    private static func normalised(_ frame: Frame) -> [Float] {
        var square = resized(frame)
        let (low, high) = frame.samples.bounds
        if low < 0 || high > 255 {
            let scale = high > low ? 255 / (high - low) : 0
            for index in square.indices { square[index] = (square[index] - low) * scale }
        }
        square.withUnsafeMutableBufferPointer { square in
            for pixel in 0..<size * size {
                for channel in 0..<3 {
                    square[3 * pixel + channel] =
                        (square[3 * pixel + channel] / 255 - mean[channel]) / deviation[channel]
                }
            }
        }
        return square
    }

    /// The frame resized to `[size, size, 3]`.
    private static func resized(_ frame: Frame) -> [Float] {
        let (from, channels) = ([frame.rows, frame.columns], frame.channels)
        let square =
            frame.samples.bytes.map { Resampling.resize(bytes: $0, from: from, to: [size, size], kept: channels) }
            ?? Resampling.resize(frame.samples.floats, from: from, to: [size, size], kept: channels)
        return channels == 3 ? square : square.flatMap { [$0, $0, $0] }
    }
}
