// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Platform
import Routing
import Supervision

extension OfflineSegmentation {
    /// Segments a PNG or JPEG file, and writes a mask and an overlay to the output folder.
    ///
    /// Routes cannot match pictures, so the planner must have a forced target.
    ///
    /// - Parameters:
    ///   - picture: the file.
    ///   - number: the number of the picture; it keeps results of files with the same name apart.
    /// - Returns: the line of the report.
    func segment(picture: FileCollection.CollectedFile, number: Int) async -> SegmentReport.PictureLine {
        var line = SegmentReport.PictureLine(picture: picture.path, outcome: .failed)
        guard let target = planner.forced else {
            line.outcome = .unmatched
            line.reason = "routes need DICOM attributes, which pictures do not have; give --segmenter NAME"
            return line
        }
        let route = target.route
        line.segmenter = route.segmenter
        let segmenter: InstalledSegmenter
        switch target.segmenter {
        case .success(let installed): segmenter = installed
        case .failure(let error):
            line.reason = error.description
            return line
        }
        guard segmenter.descriptor.accepts == .frames else {
            line.outcome = .unfit
            line.reason = "\(route.segmenter) needs volumes, which pictures cannot make; give it DICOM files"
            return line
        }
        let name = URL(fileURLWithPath: picture.path).deletingPathExtension().lastPathComponent
        await run(
            URL(fileURLWithPath: picture.readable), segmenter, route, name: "\(number)-\(name)", &line)
        return line
    }

    private func run(
        _ file: URL, _ segmenter: InstalledSegmenter, _ route: Route, name: String,
        _ line: inout SegmentReport.PictureLine
    ) async {
        let result = (mask: result(name, "mask"), overlay: result(name, "overlay"))
        // Results of an earlier run under these names must not pass for results of this one.
        for old in [result.mask, result.overlay] { try? FileSystem.remove(old) }
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
            line.mask = put(outcome.masks.first, of: request.maskFolder, at: result.mask, &line)
            line.overlay = put(outcome.overlays.first, of: request.overlayFolder, at: result.overlay, &line)
        case .failure(let failure):
            if failure.isUnfit { line.outcome = .unfit }
            line.reason = failure.reason
        }
    }

    private func result(_ name: String, _ kind: String) -> String {
        folder.appendingPathComponent("\(name)-\(kind).png").path
    }

    private func put(
        _ made: String?, of folder: String?, at path: String, _ line: inout SegmentReport.PictureLine
    ) -> String? {
        guard let made, let folder else { return nil }
        do {
            try FileSystem.rename("\(folder)/\(made)", to: path)
            return path
        } catch {
            line.outcome = .failed
            line.reason = "could not move the picture to \(path): \(error.reason)"
            return nil
        }
    }
}
