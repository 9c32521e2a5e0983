// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Platform
import Segmentation

/// The time of each step from a file with frames to its SEG, in milliseconds per frame.
///
/// The steps run one after the other here. A worker decodes and draws beside the segmentation.
enum FrameSteps {
    /// Sums the milliseconds of each step.
    private struct Times {
        private(set) var steps: [(name: String, sum: Double)] = []

        mutating func measure<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
            let start = MonotonicClock.now()
            let result = try body()
            let milliseconds = (MonotonicClock.now() - start) / .milliseconds(1)
            if let place = steps.firstIndex(where: { $0.name == name }) {
                steps[place].sum += milliseconds
            } else {
                steps.append((name, milliseconds))
            }
            return result
        }
    }

    /// Measures the frames of one series, and prints a line per step.
    ///
    /// - Parameter folder: DICOM files with frames of one series and size.
    /// - Throws: errors of a step.
    static func print(folder: String) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        let segmenter = try Segmenters.make("polyp-compact")
        var times = Times()
        var sources: [SegmentationSource] = []
        var masks: [Mask] = []
        for (place, name) in names.enumerated() {
            let file = try times.measure("open and check") { try InstanceFile(path: "\(folder)/\(name)") }
            _ = try times.measure("digest") { try file.digests() }
            let frames = try times.measure("decode") { try file.frames() }
            // The first call compiles the kernels.
            if place == 0 { _ = try segmenter.segment(.frames([frames[0]])) { _, _ in } }
            for frame in frames {
                let result = try times.measure("segment") {
                    try segmenter.segment(.frames([frame])) { _, _ in }
                }
                let picture = times.measure("draw the overlay") {
                    Overlay.picture(
                        of: frame, mask: result.masks[0], color: segmenter.descriptor.recommendedDisplayColor)
                }
                _ = times.measure("compress the overlay") { picture.png() }
                masks += result.masks
            }
            sources.append(SegmentationSource(file))
        }
        try measureSegmentation(sources, masks, of: segmenter.descriptor, &times)
        let whole = times.steps.reduce(0) { $0 + $1.sum }
        for step in times.steps + [("all steps", whole)] {
            Swift.print("\(step.name): \(String(format: "%.2f", step.sum / Double(masks.count))) ms per frame")
        }
    }

    private static func measureSegmentation(
        _ sources: [SegmentationSource], _ masks: [Mask], of segmenter: SegmenterDescriptor, _ times: inout Times
    ) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("kontur-steps.dcm").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let description = ObjectDescription(
            sopInstanceUID: "2.25.1", seriesInstanceUID: "2.25.2", created: 0, kind: .segmentation(.strict),
            type: .binary, segmenter: segmenter, softwareVersion: "0")
        _ = try times.measure("write the SEG") {
            try SegmentationInstance.write(description, sources: sources, masks: masks, to: path)
        }
        try times.measure("read the SEG back") {
            try SegmentationReader.verify(path: path, encoding: description.encoding, sources: sources, masks: masks)
        }
    }
}
