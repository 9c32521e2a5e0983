// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Routing
import Segmentation
import Supervision

/// PNG and JPEG files: a mask and an overlay each, beside each other in the output folder.
extension OfflineSegmentation {
    /// - Parameters:
    ///   - path: as the command line names it.
    ///   - number: after the stacks: it keeps files of one name apart.
    func segment(picture path: String, number: Int, choice: Choice) async -> SegmentReport.PictureLine {
        var line = SegmentReport.PictureLine(picture: path, outcome: .failed)
        guard case .forced(let route) = choice else {
            line.outcome = .unmatched
            line.reason = "routes go by what DICOM says of an image: give --segmenter NAME"
            return line
        }
        line.segmenter = route.segmenter
        let segmenter: InstalledSegmenter
        do {
            segmenter = try installed.segmenter(route.segmenter, weights: route.weights)
        } catch {
            line.reason = "\(error)"
            return line
        }
        guard segmenter.descriptor.accepts == .frames else {
            line.outcome = .unfit
            line.reason = "\(route.segmenter) takes volumes, which pictures do not make: give it DICOM files"
            return line
        }
        let file = URL(fileURLWithPath: path).standardizedFileURL
        await run(file, segmenter, route, name: "\(number)-\(file.deletingPathExtension().lastPathComponent)", &line)
        return line
    }

    private func run(
        _ file: URL, _ segmenter: InstalledSegmenter, _ route: Route, name: String,
        _ line: inout SegmentReport.PictureLine
    ) async {
        let result = (mask: result(name, "mask"), overlay: result(name, "overlay"))
        // What an earlier run left under these names would pass for results of this one.
        for old in [result.mask, result.overlay] { unlink(old) }
        let run = UUID().uuidString.lowercased()
        let scratch = folder.appendingPathComponent(".kontur-\(run)")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let request = SegmentRequest(
            run: run, folder: file.deletingLastPathComponent().path, form: .pictures,
            sources: [SegmentRequest.Source(path: file.lastPathComponent, sopInstanceUID: "")],
            segmenter: segmenter.descriptor, weights: segmenter.weights, options: route.options, outputs: [],
            overlayFolder: scratch.appendingPathComponent("overlay").path,
            maskFolder: scratch.appendingPathComponent("mask").path, dumpFolder: dumpFolder.map { "\($0)/\(name)" })
        switch await perform(request, name: name, seconds: &line.seconds) {
        case .success(let outcome):
            line.confidence = outcome.confidence.value
            line.measures = outcome.confidence.measures
            line.notes = outcome.notes
            line.outcome = outcome.foundFrames.isEmpty ? .nothingFound : .segmented
            line.mask = put(outcome.masks.first, at: result.mask, &line)
            line.overlay = put(outcome.overlays.first, at: result.overlay, &line)
        case .failure(let failure):
            if failure.isUnfit { line.outcome = .unfit }
            line.reason = failure.reason
        }
    }

    private func result(_ name: String, _ kind: String) -> String {
        folder.appendingPathComponent("\(name)-\(kind).png").path
    }

    private func put(_ made: String?, at path: String, _ line: inout SegmentReport.PictureLine) -> String? {
        guard let made else { return nil }
        if rename(made, path) == 0 { return path }
        line.outcome = .failed
        line.reason = "the picture cannot be put at \(path): \(String(cString: strerror(errno)))"
        return nil
    }
}
