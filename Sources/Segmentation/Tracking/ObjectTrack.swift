// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging
internal import Inference

/// One object on its way through the slices of a volume or the frames of an examination.
///
/// Every slice is encoded once. The memories that no later slice attends to are dropped, so the memory that a track
/// needs does not grow with the number of slices; only a prompted slice stays.
final class ObjectTrack {
    /// The answer for one slice.
    struct Answer {
        /// The mask and the probabilities on the slice's grid.
        var image: ImageAnswer
        /// Measures of the answer by name, each 0...1.
        var measures: [String: Double]
        /// Whether the network says that the object is in the slice.
        var isPresent: Bool

        /// The confidence of the answer.
        ///
        /// An empty mask is right if the object is absent. Its confidence is the probability of absence.
        ///
        /// - Parameters:
        ///   - fit: the fitted confidence of a slice or frame, if the weights have one.
        ///   - isEmpty: whether the final mask is empty. Without a fit, the object score alone decides.
        ///   - prompter: the confidence of the network that found the prompts, which is recorded only.
        /// - Returns: a value of 0...1 with its measures.
        func confidence(_ fit: ConfidenceFit?, isEmpty: Bool, prompter: Double?) -> Confidence {
            var confidence = PromptConfidence.confidence(isPresent ? measures : [:], prompter: prompter)
            confidence.measures.merge(measures) { first, _ in first }
            let absence = 1 - (measures["objectPresence"] ?? 0)
            if let fit, isEmpty || fit.isComplete(measures) {
                confidence.value = isEmpty ? fit.value(absence: absence) : fit.value(found: measures)
            } else if !isPresent {
                confidence.value = absence
            }
            return confidence
        }
    }

    private let network: TrackingNetwork
    private let grid: InputGrid
    private let method: TrackingMethod
    private let shift: Double
    private let trace: (any SegmentationTrace)?
    private let latest: LatestFrame
    private let tracker: ObjectTracker
    /// Agreement of the answers to moved prompts, by prompted slice.
    private var agreements: [Int: Double] = [:]
    /// The slices that the trace has.
    private var traced = Set<Int>()
    /// The image embedding with memories of the slice that was decoded last.
    private var conditioned: (frame: Int, values: [Float])?

    /// Starts a track.
    ///
    /// - Parameters:
    ///   - network: the network.
    ///   - count: the number of slices or frames.
    ///   - grid: the mapping from slices to the network's input.
    ///   - method: the way of tracking.
    ///   - shift: moves prompts to test the answer, pixels of the network's input.
    ///   - trace: receives the network's inputs and outputs.
    ///   - image: gives a slice as bytes.
    init(
        _ network: TrackingNetwork, count: Int, grid: InputGrid, method: TrackingMethod, shift: Double,
        trace: (any SegmentationTrace)?, image: @escaping (Int) throws -> ByteImage
    ) {
        self.network = network
        self.grid = grid
        self.method = method
        self.shift = shift
        self.trace = trace
        let latest = LatestFrame(network, image)
        self.latest = latest
        tracker = ObjectTracker(
            network.network, frameCount: count, options: ObjectTracker.Options(keepsHistory: false)
        ) { try latest.features($0) }
        if trace?.wantsTensors == true {
            tracker.onImage = { [unowned self] in conditioned = (frame: $0, values: $1) }
        }
    }

    /// The number of slices whose memories are stored.
    var framesInMemory: Int { tracker.framesInMemory }

    /// Prompts a slice that was neither prompted nor tracked before.
    ///
    /// - Parameters:
    ///   - prompt: a box, points or both, in pixels of the network's input.
    ///   - frame: the index of the slice.
    /// - Returns: the answer.
    /// - Throws: errors of the network and the trace.
    func prompt(_ prompt: Prompt, frame: Int) throws -> Answer {
        let answer: TrackedFrame
        if method.promptsByMask {
            let mask = try imageMask(prompt, frame: frame)
            answer = try tracker.prompt(mask: mask, height: grid.rows, width: grid.columns, frame: frame)
        } else {
            answer = try tracker.prompt(prompt, frame: frame)
        }
        agreements[frame] = try agreement(with: answer, of: prompt, frame: frame)
        try record(answer)
        return self.answer(answer)
    }

    /// Tracks from the earliest prompted slice on.
    ///
    /// - Parameters:
    ///   - isReverse: whether the tracking goes towards slice 0.
    ///   - start: the first slice; `nil` means the earliest prompted one.
    ///   - most: the largest number of slices behind the first one, or `nil`.
    ///   - onAnswer: receives every slice's index and answer, and says whether the tracking goes on.
    /// - Throws: errors of the network, the trace and `onAnswer`.
    func track(
        isReverse: Bool = false, from start: Int? = nil, atMost most: Int? = nil,
        onAnswer: (Int, Answer) throws -> Bool
    ) throws {
        try tracker.track(isReverse: isReverse, from: start, atMost: most) { frame in
            try record(frame)
            return try onAnswer(frame.frame, answer(frame))
        }
    }

    /// Forgets what was tracked, and keeps the prompts.
    func forgetTracked() { tracker.forgetTracked() }

    /// The single mask of the image predictor for a prompt, `[rows, columns]`.
    private func imageMask(_ prompt: Prompt, frame: Int) throws -> [Bool] {
        let image = try latest.image(frame)
        let prepared = PreparedImage(image, family: .sam2, size: network.network.inputSize)
        let found = try network.network.decode(
            network.network.encode(prepared.input), prompt, multimask: prompt.isAmbiguous)
        return ImageAnswer(found, mask: found.best, on: grid).mask.map { $0 != 0 }
    }

    /// The agreement of a prompted slice's answer with the answers to moved prompts; `nil` without moved prompts.
    private func agreement(with answer: TrackedFrame, of prompt: Prompt, frame: Int) throws -> Double? {
        let moved = PromptConfidence.moved(prompt, by: shift, on: grid)
        guard !moved.isEmpty else { return nil }
        let features = try latest.features(frame)
        let own = answer.logits.values.map { UInt8($0 > 0 ? 1 : 0) }
        var sum = 0.0
        for other in moved {
            let found = try network.network.decode(features, other, multimask: prompt.isAmbiguous)
            let size = own.count
            let plane = found.logits.values[found.best * size..<(found.best + 1) * size].map { UInt8($0 > 0 ? 1 : 0) }
            sum += Dice.score(own, plane)
        }
        return sum / Double(moved.count)
    }

    private func answer(_ frame: TrackedFrame) -> Answer {
        var measures = ["objectPresence": Double(ImageAnswer.sigmoid(frame.objectScore))]
        let isPresent = frame.objectScore > 0
        if isPresent {
            let plane = frame.logits.values
            let area = (sure: plane.count { $0 > 1 }, possible: plane.count { $0 > -1 })
            measures["stabilityScore"] = area.possible == 0 ? 0 : Double(area.sure) / Double(area.possible)
            // A mask that was given has no predicted IoU.
            if !(method.promptsByMask && frame.isPrompted) {
                measures["predictedIoU"] = min(max(Double(frame.predictedIoU), 0), 1)
            }
            if let agreement = agreements[frame.frame] { measures["jitterAgreement"] = agreement }
        }
        return Answer(image: network.answer(frame, on: grid), measures: measures, isPresent: isPresent)
    }

    /// Gives a slice to the trace, once.
    private func record(_ answer: TrackedFrame) throws {
        guard let trace, trace.wantsTensors, traced.insert(answer.frame).inserted else { return }
        let features = try latest.features(answer.frame)
        let side = answer.logits.shape[1]
        let embedding = conditioned.flatMap { $0.frame == answer.frame ? $0.values : nil }
        let stored = tracker.stored(answer.frame)
        let (place, channels) = (network.network.embeddingSize, network.network.channels)
        var frame = TracedFrame(
            index: answer.frame, input: try latest.input(answer.frame).channelsFirst(),
            embedding: features.vision.channelsFirst(),
            logits: Tensor(shape: [1, 1, side, side], values: answer.logits.values),
            predictedIoU: Tensor(shape: [1, 1], values: [answer.predictedIoU]))
        frame.tracking = TracedFrame.Tracking(
            objectScore: Tensor(shape: [1], values: [answer.objectScore]),
            conditioned: embedding.map {
                Tensor(shape: [1, place, place, channels], values: $0).channelsFirst()
            },
            memory: stored.map { stored in
                Tensor(shape: [1, place, place, stored.memory.count / (place * place)], values: stored.memory)
                    .channelsFirst()
            },
            pointer: stored.map { Tensor(shape: [$0.pointer.count], values: $0.pointer) },
            selection: answer.selection)
        try trace.record(frame)
    }
}

/// The latest slice with its features.
private final class LatestFrame {
    private let network: TrackingNetwork
    private let source: (Int) throws -> ByteImage
    private var latest: (frame: Int, image: ByteImage, input: Tensor, features: FrameFeatures)?

    init(_ network: TrackingNetwork, _ source: @escaping (Int) throws -> ByteImage) {
        self.network = network
        self.source = source
    }

    func image(_ frame: Int) throws -> ByteImage { try encoded(frame).image }
    func input(_ frame: Int) throws -> Tensor { try encoded(frame).input }
    func features(_ frame: Int) throws -> FrameFeatures { try encoded(frame).features }

    private func encoded(
        _ frame: Int
    ) throws -> (frame: Int, image: ByteImage, input: Tensor, features: FrameFeatures) {
        if let latest, latest.frame == frame { return latest }
        // The old features go before the next are computed, so that memory never holds two sets.
        latest = nil
        let image = try source(frame)
        let input = network.input(image)
        let found = (frame: frame, image: image, input: input, features: try network.network.encode(input))
        latest = found
        return found
    }
}
