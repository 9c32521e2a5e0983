// SPDX-License-Identifier: Apache-2.0

import Platform
import DICOM
import Foundation
import Imaging
import Segmentation
import Supervision

/// Decodes a stack, runs its segmenter, writes the objects asked for and reads them back.
struct SegmentHandler: RequestHandler {
    private let threads: Int
    /// The segmenter of the last request, its weights packed: jobs of one kind tend to follow each other. One alone is
    /// kept, since weights may take gigabytes.
    private var loaded: (any Segmenter)?

    init(threads: Int) { self.threads = threads }

    mutating func answer(_ request: WorkRequest, progress: (WorkProgress) -> Void) -> WorkResponse {
        guard case .segment(let request) = request else { return .failed(reason: "this worker only segments") }
        do {
            let segmenter = try segmenter(for: request, progress: progress)
            let asked = request.dumpFolder ?? request.candidateFolder
            let trace = asked.map { _ in TraceFolder(folder: request.dumpFolder, candidates: request.candidateFolder) }
            var stack =
                request.segmenter.accepts == .volume
                ? try VolumeStack.segment(request, with: segmenter, trace: trace, progress: progress)
                : try FrameStack.segment(request, with: segmenter, trace: trace, progress: progress)
            if let trace, trace.wantsTensors, trace.count == 0 {
                stack.notes.append("nothing was dumped: it has no promptable network")
            }
            return .segmented(outcome: try write(stack, for: request, progress: progress))
        } catch let refusal as Refusal {
            return refusal.response
        } catch let error as Segmentation.SegmentationError {
            switch error {
            case .unsuitable(_, let reason): return .unfit(reason: reason)
            case .option: return .unfit(reason: "\(error)")
            default: return .failed(reason: "\(error)")
            }
        } catch {
            return .failed(reason: "\(error)")
        }
    }

    /// The segmenter that the request names, provided that this executable holds the same recipe and that the weights
    /// are those asked for.
    private mutating func segmenter(
        for request: SegmentRequest, progress: (WorkProgress) -> Void
    ) throws -> any Segmenter {
        let wanted = request.segmenter
        // The recipe's version goes with its name in one executable, so name and weights tell loaded segmenters apart.
        if let loaded, loaded.descriptor.name == wanted.name, loaded.descriptor.version == wanted.version,
            loaded.descriptor.weightsHash == wanted.weightsHash
        {
            return loaded
        }
        if let weights = request.weights, access(weights.path, R_OK) != 0 {
            throw Refusal.failed(
                "the weights \(weights.name) are not installed any more: add them again with 'kontur models add', "
                    + "then take the job up with 'kontur jobs retry'")
        }
        // Before the next weights are loaded, so that two sets never lie in memory together.
        loaded = nil
        progress(WorkProgress(phase: .loading, done: 0, total: 1))
        let segmenter = try Segmenters.make(
            InstalledSegmenter(wanted, weights: request.weights), threads: threads)
        progress(WorkProgress(phase: .loading, done: 1, total: 1))
        loaded = segmenter
        return segmenter
    }

    private func write(
        _ stack: SegmentedStack, for request: SegmentRequest, progress: (WorkProgress) -> Void
    ) throws -> SegmentOutcome {
        let found = stack.masks.indices.filter { !stack.masks[$0].isEmpty }
        var outputs: [SegmentOutcome.Output] = []
        if !found.isEmpty {
            let sources = request.sources.map {
                SegmentationSource(path: "\(request.folder)/\($0.path)", frameNumbers: $0.frameNumbers)
            }
            for (index, output) in request.outputs.enumerated() {
                progress(WorkProgress(phase: .writing, done: index, total: request.outputs.count))
                outputs.append(try write(output, stack: stack, sources: sources))
            }
        }
        return SegmentOutcome(
            frames: stack.masks.count, foundFrames: found, confidence: stack.confidence,
            frameConfidence: stack.frameConfidence.map { Self.rounded($0.value) },
            frameMeasures: Self.measures(stack.frameConfidence), outputs: outputs, overlays: stack.overlays,
            masks: stack.maskPictures, notes: stack.notes)
    }

    /// Four digits: an outcome is one line of limited length.
    private static func rounded(_ value: Double) -> Double { (value * 10_000).rounded() / 10_000 }

    private static func measures(_ frames: [Confidence]) -> [String: [Double]] {
        guard frames.count <= SegmentOutcome.framesMeasured else { return [:] }
        let names = Set(frames.flatMap(\.measures.keys))
        return Dictionary(
            uniqueKeysWithValues: names.map { name in (name, frames.map { rounded($0.measures[name] ?? .nan) }) })
    }

    /// Writes one SEG, reads it back with the other reader, and hashes the file that was compared.
    private func write(
        _ output: SegmentRequest.Output, stack: SegmentedStack, sources: [SegmentationSource]
    ) throws -> SegmentOutcome.Output {
        var description = output.description
        description.confidence = stack.confidence
        description.frameConfidences = stack.frameConfidence
        do {
            let frames = try SegmentationInstance.write(
                description, sources: sources, masks: stack.masks, probabilities: stack.probabilities, to: output.path)
            try SegmentationReader.verify(
                path: output.path, type: description.type, sources: sources, masks: stack.masks,
                probabilities: stack.probabilities)
            let (sha256, bytes) = try hash(output.path)
            return SegmentOutcome.Output(
                path: output.path, sha256: sha256, bytes: bytes, sopInstanceUID: description.sopInstanceUID,
                seriesInstanceUID: description.seriesInstanceUID, frames: frames)
        } catch let error as DICOM.SegmentationError {
            unlink(output.path)
            switch error {
            case .cannotWrite, .cannotRead, .source(_, .cannotOpen): throw Refusal.hindered("\(error)")
            default: throw error
            }
        }
    }

    private func hash(_ path: String) throws -> (String, Int) {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) else {
            throw Refusal.hindered("could not read the segmentation back")
        }
        return (SHA256.hash(data: data).hexadecimal, data.count)
    }
}

/// An answer that is not an outcome, on its way up.
enum Refusal: Error {
    case unfit(String)
    case failed(String)
    case hindered(String)

    var response: WorkResponse {
        switch self {
        case .unfit(let reason): .unfit(reason: reason)
        case .failed(let reason): .failed(reason: reason)
        case .hindered(let reason): .hindered(reason: reason)
        }
    }
}
