// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Routing
import Segmentation
import Supervision

/// Segments stacks one after the other, and puts what comes of it into a folder.
struct OfflineSegmentation {
    enum Choice {
        /// The first route whose conditions hold.
        case byConditions([Route])
        /// This one for every stack.
        case forced(Route)
    }

    let study: OfflineStudy
    let folder: URL
    /// Where to put what networks took in and gave out; `nil` for nowhere.
    let dumpFolder: String?
    let viewerProfile: ViewerProfile.Name
    let installed: InstalledModels
    let pool: WorkerPool
    let progress: ProgressLine

    /// - Parameter number: of the stack, from 1: it names the files.
    func segment(_ stack: Stack, number: Int, choice: Choice) async -> SegmentReport.StackLine {
        var line = SegmentReport.StackLine(
            seriesInstanceUID: stack.seriesInstanceUID, key: stack.key, modality: stack.instances[0].modality,
            instances: stack.instances.count, outcome: .failed)
        guard let route = route(for: stack, choice, &line) else { return line }
        line.route = route.name.isEmpty ? nil : route.name
        line.segmenter = route.segmenter
        let segmenter: InstalledSegmenter
        do {
            segmenter = try installed.segmenter(route.segmenter, weights: route.weights)
        } catch {
            line.reason = "\(error)"
            return line
        }
        switch stack.fit(for: segmenter.descriptor, gaps: route.gaps) {
        case .unfit(let reason):
            line.outcome = .unfit
            line.reason = reason
        case .fit(let order, let notes):
            line.notes = notes
            let sources = order.map { stack.instances[$0] }
            await run(sources, segmenter, route, name: "\(number)-\(segmenter.descriptor.name)", &line)
        }
        return line
    }

    private func route(for stack: Stack, _ choice: Choice, _ line: inout SegmentReport.StackLine) -> Route? {
        switch choice {
        case .forced(let route): return route
        case .byConditions(let routes):
            let decision = RouteDecision(StackFacts(stack), routes: routes)
            switch decision.outcome {
            case .routed(let name): return routes.first { $0.name == name }
            case .unmatched:
                line.outcome = .unmatched
                line.reason = "no route takes it; --segmenter NAME does it all the same"
            case .undetermined:
                line.outcome = .undetermined
                line.reason = "\(decision.summary); --segmenter NAME does it all the same"
            }
            return nil
        }
    }

    private func run(
        _ sources: [InstanceHeader], _ segmenter: InstalledSegmenter, _ route: Route, name: String,
        _ line: inout SegmentReport.StackLine
    ) async {
        // What an earlier run left under these names would pass for results of this one.
        for old in [segmentation(name), overlays(name)] { try? FileManager.default.removeItem(at: old) }
        let request = request(sources, segmenter, route, name: name)
        switch await perform(request, name: name, seconds: &line.seconds) {
        case .success(let outcome): accept(outcome, name: name, &line)
        case .failure(let failure):
            if failure.isUnfit { line.outcome = .unfit }
            line.reason = failure.reason
        }
    }

    /// Has a worker do it, with the progress shown.
    func perform(
        _ request: SegmentRequest, name: String, seconds: inout Double?
    ) async -> Result<SegmentOutcome, WorkFailure> {
        let clock = ContinuousClock()
        let start = clock.now
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
        seconds = (clock.now - start) / .seconds(1)
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
        guard let output = outcome.outputs.first else {
            line.outcome = .nothingFound
            return
        }
        let path = segmentation(name).path
        guard rename(output.path, path) == 0 else {
            line.reason = "the SEG cannot be put at \(path): \(String(cString: strerror(errno)))"
            return
        }
        line.outcome = .segmented
        line.segmentation = path
        line.sopInstanceUID = output.sopInstanceUID
    }

    // MARK: the request

    private func request(
        _ sources: [InstanceHeader], _ installed: InstalledSegmenter, _ route: Route, name: String
    ) -> SegmentRequest {
        let segmenter = installed.descriptor
        let run = UUID().uuidString.lowercased()
        let root = Self.commonFolder(of: sources.compactMap { study.paths[$0.sopInstanceUID] })
        let now = Date()
        let created = Int64(now.timeIntervalSince1970)
        // The date is in the object, so it is in its UID too: here nothing is stored from one run to the next.
        let identity =
            [
                "kontur segment", segmenter.name, segmenter.version, segmenter.weightsHash, route.type.rawValue,
                route.gaps.rawValue, viewerProfile.rawValue, String(created),
            ] + route.options.words + (route.review?.markedBelow.map { ["review below \($0)"] } ?? [])
            + sources.map { "\($0.sopInstanceUID) \(study.imageDigests[$0.sopInstanceUID] ?? "")" }.sorted()
        let description = SegmentationDescription(
            sopInstanceUID: DerivedUID.make(["instance"] + identity),
            seriesInstanceUID: DerivedUID.make(["series"] + identity), created: created,
            localOffsetFromUTC: TimeZone.current.secondsFromGMT(for: now), type: route.type,
            viewerProfile: viewerProfile, segmenter: segmenter, reviewBelow: route.review?.markedBelow,
            softwareVersion: KonturCommand.version)
        let written = folder.appendingPathComponent(".kontur-\(run).dcm").path
        return SegmentRequest(
            run: run, folder: root,
            sources: sources.compactMap { source in
                study.paths[source.sopInstanceUID].map { path in
                    SegmentRequest.Source(
                        path: String(path.dropFirst(root.count).drop { $0 == "/" }),
                        sopInstanceUID: source.sopInstanceUID)
                }
            },
            segmenter: segmenter, weights: installed.weights, options: route.options, gaps: route.gaps,
            outputs: [SegmentRequest.Output(path: written, description: description)],
            overlayFolder: overlays(name).path, dumpFolder: dumpFolder.map { "\($0)/\(name)" })
    }

    private func segmentation(_ name: String) -> URL { folder.appendingPathComponent("\(name).dcm") }
    private func overlays(_ name: String) -> URL { folder.appendingPathComponent("\(name)-overlays") }

    /// The deepest folder that all of these absolute paths lie in: requests name files below it, to stay short.
    static func commonFolder(of paths: [String]) -> String {
        var common = paths.first.map(folders) ?? []
        for path in paths.dropFirst() { common = zip(common, folders(path)).prefix { $0 == $1 }.map(\.0) }
        return "/" + common.joined(separator: "/")
    }

    private static func folders(_ path: String) -> [Substring] { Array(path.split(separator: "/").dropLast()) }
}
