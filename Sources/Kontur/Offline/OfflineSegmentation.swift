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
        line.route = plan.route.flatMap { $0.name.isEmpty ? nil : $0.name }
        line.segmenter = plan.route?.segmenter
        switch plan.outcome {
        case .unmatched:
            line.outcome = .unmatched
            line.reason = "no route matches; give --segmenter NAME to segment it anyway"
        case .undetermined:
            line.outcome = .undetermined
            line.reason = "\(plan.decision?.summary ?? "undetermined"); give --segmenter NAME to segment it anyway"
        case .unavailable(let reason): line.reason = reason
        case .unfit(let reason):
            line.outcome = .unfit
            line.reason = reason
        case .segment(let work):
            line.notes = work.notes
            await run(work, stack, name: "\(number)-\(work.segmenter.descriptor.name)", &line)
        }
        return line
    }

    private func run(
        _ work: StackPlan.Work, _ stack: Stack, name: String, _ line: inout SegmentReport.StackLine
    ) async {
        // Results of an earlier run under these names must not pass for results of this one.
        for old in [segmentation(name), report(name), overlays(name)] { try? FileManager.default.removeItem(at: old) }
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
        line.foundFrames = outcome.foundFrames.count
        line.confidence = outcome.confidence.value
        line.frameConfidence = outcome.frameConfidence
        line.frameMeasures = outcome.frameMeasures
        line.overlays = outcome.overlays.sorted()
        line.notes += outcome.notes.filter { !line.notes.contains($0) }
        for output in outcome.outputs {
            let isReport = output.path.hasSuffix(Self.reportEnd)
            let path = (isReport ? report(name) : segmentation(name)).path
            do {
                try FileSystem.rename(output.path, to: path)
            } catch {
                line.reason = "could not move the object to \(path): \(error.reason)"
                return
            }
            if isReport {
                line.report = path
            } else {
                line.segmentation = path
                line.sopInstanceUID = output.sopInstanceUID
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
        let file = folder.appendingPathComponent(".kontur-\(run)").path
        let segmentation = job.description(
            for: .segmentation(viewerProfile), softwareVersion: KonturCommand.version, dated: true)
        var outputs = [SegmentRequest.Output(path: "\(file).dcm", description: segmentation)]
        if report || work.route.report {
            let description = job.description(
                for: .report(viewerProfile), of: segmentation.reference(inStudy: headers[0].studyInstanceUID),
                softwareVersion: KonturCommand.version, dated: true)
            outputs.append(SegmentRequest.Output(path: file + Self.reportEnd, description: description))
        }
        var request = job.request(run: run, folder: root, outputs: outputs)
        request.overlayFolder = overlays(name).path
        request.dumpFolder = dumpFolder.map { "\($0)/\(name)" }
        return request
    }

    /// The end of the name of a report's file.
    private static let reportEnd = "-report.dcm"

    private func report(_ name: String) -> URL { folder.appendingPathComponent(name + Self.reportEnd) }
    private func segmentation(_ name: String) -> URL { folder.appendingPathComponent("\(name).dcm") }
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
