// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// What others make of a SEG: dciodvfy, pydicom, highdicom, and dcmqi, with which 3D Slicer reads.
@Suite(.serialized) struct SegmentationPeersTests {
    private static func isInstalled(_ tool: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\(tool)")
    }

    /// Whether the Python of the tests has what the checks import.
    private static let hasReaders: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = ["60", Executables.python, "-c", "import highdicom, pydicom"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    private static let combinations: [(SegmentationSample.Kind, SegmentationType, ViewerProfile.Name)] =
        SegmentationSample.Kind.allCases.flatMap { kind in
            SegmentationType.allCases.flatMap { type in ViewerProfile.Name.allCases.map { (kind, type, $0) } }
        }

    @Test(
        .enabled(if: isInstalled("dciodvfy"), "needs dciodvfy, of the Debian package dicom3tools"),
        arguments: combinations)
    func `has no error for dciodvfy`(
        kind: SegmentationSample.Kind, type: SegmentationType, profile: ViewerProfile.Name
    ) async throws {
        try await withTemporaryFolder { folder in
            let sample = try SegmentationSample(kind, in: folder)
            let url = folder.appending(path: "seg.dcm")
            try sample.write(type, profile, to: url)
            let result = try await runExternal("dciodvfy", [url.path])
            let errors = (result.output + result.errors).split(separator: "\n").filter { $0.hasPrefix("Error") }
            #expect(errors.isEmpty, "\(errors)")
        }
    }

    @Test(
        .enabled(if: hasReaders, "needs Python with highdicom and pydicom: set KONTUR_PYTHON"), arguments: combinations)
    func `is read bit by bit by pydicom and highdicom`(
        kind: SegmentationSample.Kind, type: SegmentationType, profile: ViewerProfile.Name
    ) async throws {
        try await withTemporaryFolder { folder in
            let sample = try SegmentationSample(kind, in: folder)
            let url = folder.appending(path: "seg.dcm")
            try sample.write(type, profile, to: url)
            let frames = try SegmentationReader(path: url.path).frames
            let order = frames.map { frame in
                sample.sources.indices.first { sample.uid($0) == frame.sourceInstanceUID } ?? 0
            }
            // Taken from what was meant, in the order of the SEG's frames.
            let meant = zip(frames, order).map { frame, source in
                sample.values(type, frame: sample.kind == .multiFrame ? (frame.sourceFrameNumber ?? 0) - 1 : source)
            }
            let masks = folder.appending(path: "masks")
            try Data(meant.flatMap { $0 }).write(to: masks)
            let script = Checkout.root.appending(path: "Tests/DICOMTests/Derived/read_segmentation.py").path
            let result = try await runExternal(Executables.python, [script, url.path, masks.path], within: 120)
            #expect(result.status == 0, "\(result.tail)")
        }
    }

    /// `conformance/checks/check_seg.py` compares, with dcmqi among others, every voxel with its place in the sources.
    @Test(
        .enabled(if: hasReaders, "needs Python with highdicom, pydicom and dcmqi: set KONTUR_PYTHON"),
        arguments: [SegmentationSample.Kind.magneticResonance, .endoscopy], ViewerProfile.Name.allCases)
    func `lies in place for dcmqi`(kind: SegmentationSample.Kind, profile: ViewerProfile.Name) async throws {
        try await withTemporaryFolder { folder in
            let images = folder.appending(path: "images")
            try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
            let sample = try SegmentationSample(kind, in: images, patientID: "ONE")
            let url = folder.appending(path: "seg.dcm")
            try sample.write(.binary, profile, to: url)
            let result = try await runExternal(
                Executables.python,
                [
                    Checkout.conformance.appending(path: "checks/check_seg.py").path, "--sources", images.path,
                    url.path,
                ], within: 180)
            #expect(result.status == 0, "\(result.tail)")
        }
    }
}
