// SPDX-License-Identifier: Apache-2.0

import Imaging
import Platform
import Segmentation
import Supervision

/// Decodes a stack, runs its segmenter, and has the requested objects written.
///
/// If a stored SEG holds the answer, its masks are read back instead.
struct SegmentHandler: RequestHandler {
    private let threads: Int
    /// The segmenter of the last request with its packed weights, because jobs of one kind often follow each other.
    ///
    /// Only one segmenter is kept: weights may take gigabytes.
    private var loaded: (any Segmenter)?

    /// Makes a handler whose segmenters compute on a number of threads.
    init(threads: Int) { self.threads = threads }

    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse {
        guard case .segment(let request) = request else { return .failed(reason: "this worker only segments") }
        do {
            var sources = try StackSources(request)
            if let stack = SegmentedStack(storedAnswerOf: request, for: sources) {
                return .segmented(outcome: try write(stack, of: sources, for: request, progress: progress))
            }
            let segmenter = try segmenter(for: request, progress: progress)
            let asked = request.dumpFolder ?? request.candidateFolder
            let trace = asked.map { _ in TraceFolder(folder: request.dumpFolder, candidates: request.candidateFolder) }
            var stack =
                request.segmenter.accepts == .volume
                ? try VolumeStack.segment(&sources, of: request, with: segmenter, trace: trace, progress: progress)
                : try FrameStack.segment(&sources, of: request, with: segmenter, trace: trace, progress: progress)
            if let trace, trace.wantsTensors, trace.count == 0 {
                stack.notes.append("nothing was dumped: the segmenter does not have a promptable network")
            }
            return .segmented(outcome: try write(stack, of: sources, for: request, progress: progress))
        } catch let refusal as Refusal {
            return refusal.response
        } catch let error as SegmentationError {
            switch error {
            case .unsuitable(_, let reason): return .unfit(reason: reason)
            case .option: return .unfit(reason: "\(error)")
            default: return .failed(reason: "\(error)")
            }
        } catch {
            return .failed(reason: "\(error)")
        }
    }

    /// Loads the segmenter of a request, or takes the loaded one.
    ///
    /// - Throws: `Refusal.failed` if the weights are not installed any more, `SegmentationError` if this executable has
    ///   another recipe or the file holds other weights.
    private mutating func segmenter(
        for request: SegmentRequest, progress: (WorkProgress) -> Void
    ) throws -> any Segmenter {
        let wanted = request.segmenter
        // One executable has one version of a recipe. The loaded segmenter may still have a version of other weights.
        if let loaded, loaded.descriptor.name == wanted.name, loaded.descriptor.version == wanted.version,
            loaded.descriptor.weightsHash == wanted.weightsHash
        {
            return loaded
        }
        if let weights = request.weights, (try? FileDescriptor(path: weights.path, for: .reading)) == nil {
            throw Refusal.failed(
                "the weights \(weights.name) are not installed any more: add them again with 'kontur models add', "
                    + "then repeat the job with 'kontur jobs retry'")
        }
        // The old weights go before the next are loaded, so that memory never holds two sets.
        loaded = nil
        progress(WorkProgress(phase: .loading, done: 0, total: 1))
        let segmenter = try Segmenters.make(
            InstalledSegmenter(wanted, weights: request.weights), threads: threads)
        progress(WorkProgress(phase: .loading, done: 1, total: 1))
        loaded = segmenter
        return segmenter
    }

    /// Writes the outputs of a request, and describes the answer.
    private func write(
        _ stack: SegmentedStack, of sources: StackSources, for request: SegmentRequest,
        progress: (WorkProgress) -> Void
    ) throws -> SegmentOutcome {
        let outputs = try ObjectWriter(stack: stack, sources: sources).write(request.outputs, progress: progress)
        return SegmentOutcome(
            frames: stack.masks.count, leftOut: sources.leftOut.count, foundFrames: stack.foundFrames,
            confidence: stack.confidence,
            frameConfidence: stack.frameConfidence.map { Self.rounded($0.value) },
            frameMeasures: Self.measures(stack.frameConfidence), outputs: outputs, overlays: stack.overlays,
            masks: stack.maskPictures, notes: stack.notes, isReused: stack.isReused)
    }

    /// Rounds to four digits, because an outcome is one line of limited length.
    private static func rounded(_ value: Double) -> Double { (value * 10_000).rounded() / 10_000 }

    private static func measures(_ frames: [Confidence]) -> [String: [Double]] {
        guard frames.count <= SegmentOutcome.framesMeasured else { return [:] }
        let names = Set(frames.flatMap(\.measures.keys))
        return Dictionary(
            uniqueKeysWithValues: names.map { name in (name, frames.map { rounded($0.measures[name] ?? .nan) }) })
    }
}

/// The reason why a request does not have an outcome, thrown up to the handler.
enum Refusal: Error {
    /// The segmenter does not accept the stack; another attempt would fail too.
    case unfit(String)
    /// The work failed for a reason in the files or the request; another attempt would fail too.
    case failed(String)
    /// A file could not be read or written; another attempt may succeed.
    case hindered(String)

    /// The refusal as the worker answers it.
    var response: WorkResponse {
        switch self {
        case .unfit(let reason): .unfit(reason: reason)
        case .failed(let reason): .failed(reason: reason)
        case .hindered(let reason): .hindered(reason: reason)
        }
    }
}
