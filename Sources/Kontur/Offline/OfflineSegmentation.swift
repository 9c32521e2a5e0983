// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Pipeline
import Platform
import Routing
import Supervision

/// Segments stacks one after the other, and puts the results into a folder.
struct OfflineSegmentation {
    let study: OfflineStudy
    let folder: URL
    /// The folder for the inputs and outputs of networks; `nil` if they are not wanted.
    let dumpFolder: String?
    let viewerProfile: ViewerProfile.Name
    /// Whether every stack gets a measurement report, also without a route that asks for one.
    let report: Bool
    /// Whether every stack gets pictures with burnt-in contours, also without a route that asks for them.
    let pictures: Bool
    let planner: StackPlanner
    let pool: WorkerPool
    let progress: ProgressLine

    /// Segments one stack.
    ///
    /// - Parameters:
    ///   - stack: the stack.
    ///   - number: the number of the stack, from 1, which begins the names of its files.
    /// - Returns: the line of the report.
    func segment(_ stack: Stack, number: Int) async -> SegmentReport.StackLine {
        var line = SegmentReport.StackLine(
            seriesInstanceUID: stack.seriesInstanceUID, key: stack.key, modality: stack.instances[0].modality,
            instances: stack.instances.count, outcome: .failed)
        let plan = planner.plan(stack)
        let split = stack.split.map { "; the series is \($0)" } ?? ""
        line.route = plan.route.flatMap { $0.name.isEmpty ? nil : $0.name }
        line.segmenter = plan.route?.segmenter
        switch plan.outcome {
        case .unmatched:
            line.outcome = .unmatched
            line.reason = "no route matches\(split); give --segmenter NAME to segment it anyway"
        case .undetermined:
            line.outcome = .undetermined
            let summary = plan.decision?.summary ?? "undetermined"
            line.reason = "\(summary)\(split); give --segmenter NAME to segment it anyway"
        case .unavailable(let reason): line.reason = reason
        case .unfit(let reason):
            line.outcome = .unfit
            line.reason = reason
        case .segment(let work):
            line.notes = work.notes
            if work.route.type == .fractional, viewerProfile == .labelmap {
                line.notes.append("a label map holds the mask, and not the probabilities that the route asks for")
            }
            await run(work, stack, name: "\(number)-\(work.segmenter.descriptor.name)", &line)
        }
        return line
    }

    private func run(
        _ work: StackPlan.Work, _ stack: Stack, name: String, _ line: inout SegmentReport.StackLine
    ) async {
        // Results of an earlier run under these names must not pass for results of this one.
        let old = ObjectFile.allCases.map { $0.url(name, in: folder) } + [overlays(name)]
        for url in old { try? FileManager.default.removeItem(at: url) }
        let request = request(work, stack, name: name)
        switch await perform(request, name: name, seconds: &line.seconds) {
        case .success(let outcome): accept(outcome, name: name, &line)
        case .failure(let failure):
            if failure.isUnfit { line.outcome = .unfit }
            line.reason = failure.reason
        }
    }

    /// Has a worker answer the request, and shows the progress.
    func perform(
        _ request: SegmentRequest, name: String, seconds: inout Double?
    ) async -> Result<SegmentOutcome, WorkFailure> {
        let start = MonotonicClock.now()
        let result: WorkResult
        do {
            let progress = progress
            result = try await pool.perform(.segment(request: request)) { step in
                progress.show("\(name): \(step.phase.rawValue) \(step.done) of \(step.total)")
            }
        } catch {
            return .failure(WorkFailure(reason: "\(error)"))
        }
        progress.clear()
        seconds = (MonotonicClock.now() - start) / .seconds(1)
        if case .response(.segmented(let outcome)) = result { return .success(outcome) }
        return .failure(WorkFailure(result))
    }

    private func accept(_ outcome: SegmentOutcome, name: String, _ line: inout SegmentReport.StackLine) {
        line.frames = outcome.frames
        line.leftOut = outcome.leftOut
        line.foundFrames = outcome.foundFrames.count
        line.confidence = outcome.confidence.value
        line.frameConfidence = outcome.frameConfidence
        line.frameMeasures = outcome.frameMeasures
        line.overlays = outcome.overlays.sorted().map { overlays(name).appendingPathComponent($0).path }
        line.notes += outcome.notes.filter { !line.notes.contains($0) }
        for output in outcome.outputs {
            let file = ObjectFile(path: output.path)
            let path = file.url(name, in: folder).path
            do {
                try FileSystem.rename(output.path, to: path)
            } catch {
                line.reason = "could not move the object to \(path): \(error.reason)"
                return
            }
            switch file {
            case .segmentation: (line.segmentation, line.sopInstanceUID) = (path, output.sopInstanceUID)
            case .report: line.report = path
            case .pictures: line.capture = path
            }
        }
        line.outcome = outcome.foundFrames.isEmpty ? .nothingFound : .segmented
    }

    // MARK: the request

    private func request(_ work: StackPlan.Work, _ stack: Stack, name: String) -> SegmentRequest {
        let run = UUID().uuidString.lowercased()
        let headers = work.sources.map { stack.instances[$0] }
        let root = Self.commonFolder(of: headers.compactMap { study[$0]?.path })
        let now = Date()
        let job = SegmentationJob(
            work,
            sources: headers.compactMap { header in
                study[header].map { instance in
                    SegmentationJob.Source(
                        path: String(instance.path.dropFirst(root.count).drop { $0 == "/" }),
                        sopInstanceUID: header.sopInstanceUID,
                        imageDigest: instance.imageDigest,
                        copied: SourceAttributes.digestOfEach(instance.attributes))
                }
            },
            copiedFromNewest: study[headers[0]].map { SourceAttributes.digestOfNewest($0.attributes) },
            outputs: [SegmentationJob.Output(.segmentation(viewerProfile), peers: [])],
            created: Int64(now.timeIntervalSince1970), localOffsetFromUTC: TimeZone.current.secondsFromGMT(for: now))
        func output(_ file: ObjectFile, _ description: ObjectDescription) -> SegmentRequest.Output {
            SegmentRequest.Output(path: file.url(".kontur-\(run)", in: folder).path, description: description)
        }
        let segmentation = job.description(
            for: .segmentation(viewerProfile), softwareVersion: KonturCommand.version, dated: true)
        var outputs = [output(.segmentation, segmentation)]
        if report || work.route.report {
            let description = job.description(
                for: .report(viewerProfile), of: segmentation.reference(inStudy: headers[0].studyInstanceUID),
                softwareVersion: KonturCommand.version, dated: true)
            outputs.append(output(.report, description))
        }
        if pictures || work.route.pictures {
            let description = job.description(
                for: .pictures, softwareVersion: KonturCommand.version, dated: true)
            outputs.append(output(.pictures, description))
        }
        var request = job.request(run: run, folder: root, outputs: outputs)
        request.overlayFolder = overlays(name).path
        request.dumpFolder = dumpFolder.map { "\($0)/\(name)" }
        return request
    }

    private func overlays(_ name: String) -> URL { folder.appendingPathComponent("\(name)-overlays") }

    /// The deepest folder that contains all of these absolute paths.
    ///
    /// Requests name files relative to it, so that they stay short.
    static func commonFolder(of paths: [String]) -> String {
        var common = paths.first.map(folders) ?? []
        for path in paths.dropFirst() { common = zip(common, folders(path)).prefix { $0 == $1 }.map(\.0) }
        return "/" + common.joined(separator: "/")
    }

    private static func folders(_ path: String) -> [Substring] { Array(path.split(separator: "/").dropLast()) }
}

/// The files with objects of one stack: the name of the stack and an end.
private enum ObjectFile: String, CaseIterable {
    case report = "-report.dcm"
    case pictures = "-pictures.dcm"
    /// The last case, because every name has this end.
    case segmentation = ".dcm"

    /// Recognises a file by its path.
    init(path: String) { self = Self.allCases.first { path.hasSuffix($0.rawValue) } ?? .segmentation }

    /// The file of a stack in a folder.
    func url(_ name: String, in folder: URL) -> URL { folder.appendingPathComponent(name + rawValue) }
}
