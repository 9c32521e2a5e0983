// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging
internal import Supervision
internal import Synchronization

/// What workers said of one case, part by part.
struct CaseAnswer: Sendable {
    /// Path of the mask of each image that was asked about.
    var masks: [Int: String] = [:]
    var confidences: [(Confidence, weight: Double)] = []
    var seconds = 0.0
    var peakMemory: Int?
    var notes: [String] = []

    mutating func take(_ outcome: SegmentOutcome, images: Range<Int>) {
        for (image, path) in zip(images, outcome.masks) { masks[image] = path }
        confidences.append((outcome.confidence, weight: Double(max(1, outcome.foundFrames.count))))
        notes += outcome.notes.filter { !notes.contains($0) }
    }

    mutating func add(_ measures: MeasureSum) {
        let (duration, memory) = measures.values
        seconds += duration / .seconds(1)
        if let memory { peakMemory = max(peakMemory ?? 0, memory) }
    }

    /// The mean over the parts, each counting by the frames in which something was found.
    var confidence: Confidence? {
        guard confidences.count != 1 else { return confidences[0].0 }
        let whole = confidences.reduce(0) { $0 + $1.weight }
        guard whole > 0 else { return nil }
        var sum = Confidence(value: 0, measures: [:])
        for (confidence, weight) in confidences {
            sum.value += confidence.value * weight / whole
            for (name, value) in confidence.measures { sum.measures[name, default: 0] += value * weight / whole }
        }
        return sum
    }
}

/// Takes what the pool measured, on whatever thread it says so.
final class MeasureSum: Sendable {
    private let sum = Mutex<(Duration, Int?)>((.zero, nil))

    func add(_ measure: WorkMeasure) {
        sum.withLock { sum in
            sum.0 += measure.duration
            if let memory = measure.peakMemory { sum.1 = max(sum.1 ?? 0, memory) }
        }
    }

    var values: (Duration, Int?) { sum.withLock { $0 } }
}

extension CaseResult {
    /// Reads the masks of an answer and scores them.
    ///
    /// - Throws: `EvaluationError`.
    mutating func score(
        _ answer: CaseAnswer, _ loaded: LoadedCase, _ source: EvaluationCase, output: String
    ) throws(EvaluationError) {
        var masks: [Mask] = []
        for (index, frame) in loaded.frames.enumerated() {
            guard let path = answer.masks[index] else {
                masks.append(Mask(rows: frame.rows, columns: frame.columns))
                continue
            }
            do {
                masks.append(try Picture(path: path).mask(above: 127))
            } catch {
                throw .unreadable(path: path, reason: "\(error)")
            }
            self.masks.append(String(path.dropFirst(output.count).drop { $0 == "/" }))
        }
        for (mask, truth) in zip(masks, loaded.truth) where mask.rows != truth.rows || mask.columns != truth.columns {
            throw .mismatch(reason: "the answer has \(mask.rows) x \(mask.columns) pixels")
        }
        scores =
            source.spacing.map { CaseScores(answer: masks, truth: loaded.truth, spacing: $0) }
            ?? CaseScores(answer: masks[0], truth: loaded.truth[0])
        traits = CaseTraits(frames: loaded.frames, truth: loaded.truth, spacing: source.spacing)
        confidence = answer.confidence
        seconds = answer.seconds
        peakMemory = answer.peakMemory
        notes = answer.notes
    }
}
