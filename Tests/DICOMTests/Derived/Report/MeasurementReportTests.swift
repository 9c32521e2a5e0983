// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct MeasurementReportTests {
    /// A sample with its SEG and its report.
    private struct Reported {
        let sample: SegmentationSample
        var description: ObjectDescription
        let url: URL

        init(_ kind: SegmentationSample.Kind, in folder: URL, accepts: SegmenterDescriptor.Accepts) throws {
            sample = try SegmentationSample(kind, in: folder, patientID: "ONE")
            url = folder.appending(path: "report.dcm")
            var segmentation = sample.description(.binary, .strict)
            segmentation.segmenter.accepts = accepts
            try SegmentationInstance.write(
                segmentation, sources: sample.sources, masks: sample.masks,
                to: folder.appending(path: "seg.dcm").path)
            description = ObjectDescription(
                sopInstanceUID: DerivedUID.make([kind.rawValue, "report"]),
                seriesInstanceUID: DerivedUID.make([kind.rawValue, "report series"]), created: 1_709_164_799,
                kind: .report(.strict), type: .binary, segmentation: segmentation.reference(inStudy: "2.25.888"),
                segmenter: segmentation.segmenter, confidence: segmentation.confidence,
                frameConfidences: segmentation.frameConfidences, softwareVersion: "0.1.0")
        }

        func write(_ masks: [Mask]? = nil) throws {
            try MeasurementReport.write(
                description, sources: sample.sources, masks: masks ?? sample.masks, to: url.path)
        }

        func verify(_ masks: [Mask]? = nil) throws {
            try MeasurementReportReader.verify(
                path: url.path, description, sources: sample.sources, masks: masks ?? sample.masks)
        }

        var nothing: [Mask] { sample.masks.map { Mask(rows: $0.rows, columns: $0.columns) } }
    }

    private static func with(
        _ kind: SegmentationSample.Kind, _ accepts: SegmenterDescriptor.Accepts, _ body: (Reported) async throws -> Void
    ) async throws {
        try await withTemporaryFolder { try await body(try Reported(kind, in: $0, accepts: accepts)) }
    }

    @Test func `a volume has the volume of its voxels in ml`() async throws {
        try await Self.with(.magneticResonance, .volume) { reported in
            try reported.write()
            try reported.verify()
            let groups = try MeasurementReportReader(path: reported.url.path).groups
            #expect(groups.map(\.template) == ["1501", "1411"] && groups[0].isPresent == true)
            let voxels = reported.sample.masks.reduce(0) { $0 + $1.area }
            let volume = groups[1].numbers.first { $0.unit.value == "ml" }.flatMap { Double($0.value) }
            // 0.75 x 0.5 mm pixels, slices 2.5 mm apart.
            #expect(abs((volume ?? 0) - Double(voxels) * 0.75 * 0.5 * 2.5 / 1000) < 1e-3)
            #expect(groups[1].segmentationUID == reported.description.segmentation?.sopInstanceUID)
        }
    }

    @Test func `each frame with a finding has its area, diameter and bounding box in pixels`() async throws {
        try await Self.with(.multiFrame, .frames) { reported in
            try reported.write()
            try reported.verify()
            let groups = try MeasurementReportReader(path: reported.url.path).groups.dropFirst()
            // The second frame has nothing in it.
            #expect(groups.map(\.sourceFrame) == [1, 3, 4, 5] && groups.map(\.segmentationFrame) == [1, 2, 3, 4])
            #expect(groups.allSatisfy { $0.numbers.allSatisfy { $0.unit.value != "mm" } && $0.box != nil })
        }
    }

    @Test func `a single-frame image with Pixel Spacing also has millimetres`() async throws {
        try await Self.with(.magneticResonance, .frames) { reported in
            try reported.write()
            try reported.verify()
            let group = try #require(try MeasurementReportReader(path: reported.url.path).groups.last)
            let area = group.numbers.filter { $0.name.value == "42798000" }
            #expect(area.map(\.unit.value) == ["{pixels}", "mm2"])
            let (pixels, millimetres) = (Double(area[0].value) ?? 0, Double(area[1].value) ?? 0)
            #expect(abs(millimetres - pixels * 0.75 * 0.5) < 1e-2)
        }
    }

    @Test func `a stack without a finding has a report that says so and names no SEG`() async throws {
        try await Self.with(.endoscopy, .frames) { reported in
            try reported.write(reported.nothing)
            try reported.verify(reported.nothing)
            let read = try MeasurementReportReader(path: reported.url.path)
            #expect(read.groups.count == 1 && read.groups[0].isPresent == false)
            #expect(!read.evidence.contains(reported.description.segmentation?.sopInstanceUID ?? ""))
            #expect(throws: ObjectError.self) { try reported.verify() }
        }
    }

    @Test func `reading back notices a changed number, frame or reference`() async throws {
        try await Self.with(.endoscopy, .frames) { reported in
            try reported.write()
            try reported.verify()
            var other = reported.sample.masks
            var pixels = other[0].pixels
            pixels[pixels.firstIndex(of: 1) ?? 0] = 0
            other[0] = Mask(rows: other[0].rows, columns: other[0].columns, pixels: pixels)
            #expect(throws: ObjectError.self) { try reported.verify(other) }
            other[0] = Mask(rows: other[0].rows, columns: other[0].columns)
            #expect(throws: ObjectError.self) { try reported.verify(other) }
            var renamed = reported
            renamed.description.segmentation?.sopInstanceUID = "2.25.1"
            #expect(throws: ObjectError.self) { try renamed.verify() }
            renamed.description = reported.description
            renamed.description.confidence?.value = 0.5
            #expect(throws: ObjectError.self) { try renamed.verify() }
        }
    }

    @Test func `measures the first 1,000 frames of a video, and says how many there are`() async throws {
        try await withTemporaryFolder { folder in
            var video = ElementBytes()
            video.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.7.2")
            video.add(0x0008_0018, "UI", text: "2.25.77")
            video.add(0x0020_000D, "UI", text: "2.25.888")
            video.add(0x0020_000E, "UI", text: "2.25.999")
            for (tag, number) in [(0x0028_0002, 1), (0x0028_0010, 2), (0x0028_0011, 2), (0x0028_0100, 8)] {
                if tag == 0x0028_0010 { video.add(0x0028_0008, "IS", text: "1001") }
                video.add(UInt32(tag), short: UInt16(number))
            }
            try video.write(to: folder.appending(path: "video.dcm"))
            let sources = [SegmentationSource(try InstanceFile(path: folder.appending(path: "video.dcm").path))]
            let masks = [Mask](repeating: Mask(rows: 2, columns: 2, pixels: [1, 0, 0, 1]), count: 1001)
            let sample = try SegmentationSample(.multiFrame, in: folder)
            var description = sample.description(.binary, .strict)
            description.segmentation = description.reference(inStudy: "2.25.888")
            description.kind = .report(.strict)
            description.frameConfidences = []
            let path = folder.appending(path: "report.dcm").path
            try MeasurementReport.write(description, sources: sources, masks: masks, to: path)
            try MeasurementReportReader.verify(path: path, description, sources: sources, masks: masks)
            let groups = try MeasurementReportReader(path: path).groups
            #expect(groups.count == 1001)
            #expect(groups[0].comment == "1001 frames have a finding; the first 1000 are measured")
        }
    }

    @Test func `gives the same bytes for the same description, sources and masks`() async throws {
        try await Self.with(.endoscopy, .frames) { reported in
            try reported.write()
            let first = try Data(contentsOf: reported.url)
            try reported.write()
            #expect(try Data(contentsOf: reported.url) == first)
        }
    }

    /// `conformance/checks/check_measurements.py` has dciodvfy and highdicom read the reports, and computes each number
    /// from the SEG.
    @Test(
        .enabled("needs Python with highdicom and pydicom: set KONTUR_PYTHON") {
            try await runExternal(Executables.python, ["-c", "import highdicom, pydicom"]).status == 0
        },
        arguments: [
            (SegmentationSample.Kind.magneticResonance, SegmenterDescriptor.Accepts.volume),
            (.magneticResonance, .frames), (.endoscopy, .frames), (.multiFrame, .frames),
        ])
    func `other programs read the report and compute the same numbers`(
        kind: SegmentationSample.Kind, accepts: SegmenterDescriptor.Accepts
    ) async throws {
        try await withTemporaryFolder { folder in
            let images = folder.appending(path: "images")
            try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
            let reported = try Reported(kind, in: images, accepts: accepts)
            try reported.write()
            let result = try await runExternal(
                Executables.python,
                [
                    Checkout.conformance.appending(path: "checks/check_measurements.py").path, "--sources", images.path,
                    "--seg", images.appending(path: "seg.dcm").path, reported.url.path,
                ], within: 60)
            #expect(result.status == 0, "\(result.tail)")
        }
    }
}
