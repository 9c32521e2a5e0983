// SPDX-License-Identifier: Apache-2.0

internal import DICOM
internal import Foundation
internal import Imaging
internal import Segmentation
internal import Supervision
internal import Synchronization

/// Runs one case with one segmenter: asks a worker, reads its masks and scores them.
struct CaseRun: Sendable {
    let source: EvaluationCase
    let plan: SegmenterPlan
    /// Absolute path of the output folder, which gets the masks.
    let output: String
    let pool: WorkerPool

    /// The finished result of an earlier run, or else a new result with scores or with a failure.
    ///
    /// - Parameter log: the results of earlier runs.
    /// - Returns: the result and whether it is new. The result is `nil` if the pool was stopped, and
    ///   if the plan takes its box from the truth and the truth is empty.
    func result(in log: ResultLog) async -> (result: CaseResult?, isNew: Bool) {
        let source = source
        switch await Blocking.run({ Result { try source.digest() } }) {
        case .failure(let error): return (failed("\(error)", digest: ""), true)
        case .success(let digest):
            if var known = log.result(CaseResult.Key(source, digest: digest, plan: plan)) {
                // Groups and names belong to the data set, so they can change between runs.
                known.group = source.group
                known.name = plan.name
                return (known, false)
            }
            return (await perform(digest: digest), true)
        }
    }

    /// Segments and scores the case.
    private func perform(digest: String) async -> CaseResult? {
        let (source, folder) = (source, maskFolder)
        let loading = await Blocking.run { Result { try LoadedCase(source) } }
        guard case .success(let loaded) = loading else {
            guard case .failure(let error) = loading else { return nil }
            return failed("\(error)", digest: digest)
        }
        guard let parts = parts(truth: loaded.truth) else { return nil }
        try? FileManager.default.removeItem(atPath: folder)
        var answer = CaseAnswer()
        for part in parts {
            switch await ask(part, &answer) {
            case .answered: continue
            case .failed(let reason): return failed(reason, digest: digest)
            case .stopped: return nil
            }
        }
        let blank = CaseResult(source, digest: digest, plan: plan)
        answer.prompts = parts.reduce(0) { $0 + ($1.options.box == nil ? 0 : 1) + $1.options.slicePrompts.count }
        let (asked, output) = (answer, output)
        let candidates = choosesAmongMasks ? candidateFolder : nil
        return await Blocking.run {
            var result = blank
            do {
                try result.score(asked, loaded, source, output: output)
                if let candidates {
                    result.baselines = try BaselineChoice.all(path: "\(candidates)/0001.json", truth: loaded.truth[0])
                    try? FileManager.default.removeItem(atPath: candidates)
                }
            } catch {
                result.failure = "\(error)"
            }
            return result
        }
    }

    private func failed(_ reason: String, digest: String) -> CaseResult {
        var result = CaseResult(source, digest: digest, plan: plan)
        result.failure = reason
        return result
    }

    private var maskFolder: String { "\(output)/masks/\(plan.slug)/\(FileNames.plain(source.id))" }

    private var candidateFolder: String { "\(maskFolder)/candidates" }

    /// Whether other choices are scored too.
    ///
    /// In a volume the segmenter chooses anew in every slice, so only frames count.
    private var choosesAmongMasks: Bool {
        let entry = try? Segmenters.entry(plan.segmenter.descriptor.name)
        return source.kind == .frame && entry?.choosesAmongMasks == true
    }

    // MARK: requests

    /// A part of a case that goes to a worker in one request.
    struct CasePart {
        /// Indices into the case's images.
        var images: Range<Int>
        var options: SegmenterOptions
    }

    /// The requests of a case; `nil` if the plan takes its box from the truth and the truth is
    /// empty.
    private func parts(truth: [Mask]) -> [CasePart]? {
        let all = CasePart(images: 0..<source.images.count, options: .none)
        guard plan.prompt != .automatic else { return [all] }
        if source.kind == .volume, plan.segmenter.descriptor.accepts == .frames {
            let each = truth.indices.compactMap { slice in
                plan.prompt.box(of: truth[slice], caseID: source.id).map {
                    CasePart(images: slice..<slice + 1, options: SegmenterOptions(box: $0))
                }
            }
            return each.isEmpty ? nil : each
        }
        // A frame is the only slice of its case.
        let prompts = plan.prompt.keySlices(of: truth).compactMap { key in
            plan.prompt.box(of: truth[key], caseID: source.id).map { SlicePrompt(slice: key + 1, box: $0) }
        }
        guard let first = prompts.first else { return nil }
        var part = all
        part.options.box = first.box
        if source.kind == .volume { part.options.keySlice = first.slice }
        part.options.slicePrompts = Array(prompts.dropFirst())
        return [part]
    }

    /// The end of one request.
    enum RequestEnd {
        case answered
        case failed(String)
        /// The pool was stopped.
        case stopped
    }

    private func ask(_ part: CasePart, _ answer: inout CaseAnswer) async -> RequestEnd {
        let images = Array(source.images[part.images])
        let root = FileNames.commonFolder(of: images.map(\.path))
        let folder = "\(maskFolder)/\(part.images.lowerBound + 1)"
        let request = SegmentRequest(
            run: UUID().uuidString.lowercased(), folder: root, form: source.isPicture ? .pictures : .instances,
            sources: images.map { image in
                SegmentRequest.Source(
                    path: String(image.path.dropFirst(root.count).drop { $0 == "/" }),
                    sopInstanceUID: image.sopInstanceUID, frameNumbers: image.frameNumber.map { [$0] })
            },
            segmenter: plan.segmenter.descriptor, weights: plan.segmenter.weights, options: part.options,
            outputs: [], maskFolder: folder,
            candidateFolder: choosesAmongMasks ? candidateFolder : nil)
        let measures = MeasureSum()
        let result: WorkResult
        do {
            result = try await pool.perform(.segment(request: request), measured: { measures.add($0) })
        } catch {
            return .failed("\(error)")
        }
        answer.add(measures)
        switch result {
        case .response(.segmented(let outcome)):
            guard outcome.leftOut == 0 else {
                return .failed("\(outcome.leftOut) images were left out: \(outcome.notes.joined(separator: "; "))")
            }
            answer.take(outcome, images: part.images, folder: folder)
            return .answered
        case .stopped: return .stopped
        case .response(.quarantine(let reason)), .response(.unfit(let reason)), .response(.failed(let reason)),
            .response(.hindered(let reason)):
            return .failed(reason)
        case .response(.indexed), .response(.compared):
            return .failed("the worker sent the answer to another request")
        case .workerDied(let death): return .failed("\(death)")
        case .overran(let overrun): return .failed("the worker used too much \(overrun.rawValue) and was stopped")
        case .notStarted(let error): return .failed("\(error)")
        }
    }
}

/// The answers of workers for one case, part by part.
struct CaseAnswer: Sendable {
    /// Path of each segmented image's mask.
    var masks: [Int: String] = [:]
    /// Confidence of each part with its weight.
    var confidences: [(Confidence, weight: Double)] = []
    var seconds = 0.0
    /// The number of boxes that were taken from the truth.
    var prompts = 0
    /// Bytes.
    var peakMemory: Int?
    var notes: [String] = []

    /// Adds the answer for a part, whose masks are files in `folder`.
    mutating func take(_ outcome: SegmentOutcome, images: Range<Int>, folder: String) {
        for (image, name) in zip(images, outcome.masks) { masks[image] = "\(folder)/\(name)" }
        confidences.append((outcome.confidence, weight: Double(max(1, outcome.foundFrames.count))))
        notes += outcome.notes.filter { !notes.contains($0) }
    }

    /// Adds the time and memory of a request.
    mutating func add(_ measures: MeasureSum) {
        let (duration, memory) = measures.values
        seconds += duration / .seconds(1)
        if let memory { peakMemory = max(peakMemory ?? 0, memory) }
    }

    /// The mean over the parts, weighted by the number of frames whose mask is not empty.
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

/// Collects the pool's measurements, from any thread.
final class MeasureSum: Sendable {
    private let sum = Mutex<(Duration, Int?)>((.zero, nil))

    /// Adds one measurement.
    func add(_ measure: WorkMeasure) {
        sum.withLock { sum in
            sum.0 += measure.duration
            if let memory = measure.peakMemory { sum.1 = max(sum.1 ?? 0, memory) }
        }
    }

    /// The sum of the durations and the largest memory in bytes.
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
        prompts = answer.prompts
        peakMemory = answer.peakMemory
        notes = answer.notes
    }
}
