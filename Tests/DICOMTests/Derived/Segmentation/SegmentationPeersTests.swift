// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// Readings of a SEG by other programs: dciodvfy, pydicom, highdicom, and dcmqi, which 3D Slicer uses.
@Suite(.serialized) struct SegmentationPeersTests {
    private static func isInstalled(_ tool: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\(tool)")
    }

    /// Whether the Python of the tests has what the checks import.
    @Sendable private static func hasReaders() async throws -> Bool {
        try await runExternal(Executables.python, ["-c", "import highdicom, pydicom"]).status == 0
    }

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
            // Debian's dciodvfy of 2022 knows neither the class of 2024 nor a background, which has the number 0.
            let tooNew = ["Error - Information Object Not found", "Error - SegmentNumber not monotonically increasing"]
            let wrong = errors.filter { error in profile != .labelmap || !tooNew.contains { error.hasPrefix($0) } }
            #expect(wrong.isEmpty, "\(wrong)")
        }
    }

    @Test(.enabled("needs Python with highdicom and pydicom: set KONTUR_PYTHON", hasReaders))
    func `is read bit by bit by pydicom and highdicom`() async throws {
        try await withTemporaryFolder { folder in
            var paths: [String] = []
            for (kind, type, profile) in Self.combinations {
                let sample = try SegmentationSample(kind, in: folder)
                let name = "\(kind.rawValue)-\(type.rawValue)-\(profile.rawValue)"
                let (url, masks) = (folder.appending(path: "\(name).seg"), folder.appending(path: "\(name).masks"))
                try sample.write(type, profile, to: url)
                try sample.meant(in: SegmentationReader(path: url.path)).write(to: masks)
                paths += [url.path, masks.path]
            }
            let script = Checkout.root.appending(path: "Tests/DICOMTests/Derived/read_segmentation.py").path
            let result = try await runExternal(Executables.python, [script] + paths, within: 180)
            #expect(result.status == 0, "\(result.tail)")
            #expect(result.output.contains("\(Self.combinations.count) equal"))
        }
    }

    /// `conformance/checks/check_seg.py` compares, with dcmqi among others, every voxel with its place in the sources.
    @Test(
        .enabled("needs Python with highdicom, pydicom and dcmqi: set KONTUR_PYTHON", hasReaders),
        arguments: [SegmentationSample.Kind.magneticResonance, .endoscopy])
    func `lies in place for dcmqi`(kind: SegmentationSample.Kind) async throws {
        try await withTemporaryFolder { folder in
            let images = folder.appending(path: "images")
            try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
            let sample = try SegmentationSample(kind, in: images, patientID: "ONE")
            var arguments = [
                Checkout.conformance.appending(path: "checks/check_seg.py").path, "--sources", images.path,
            ]
            for profile in ViewerProfile.Name.allCases {
                let url = folder.appending(path: "\(profile.rawValue).dcm")
                try sample.write(.binary, profile, to: url)
                arguments.append(url.path)
            }
            let result = try await runExternal(Executables.python, arguments, within: 240)
            #expect(result.status == 0, "\(result.tail)")
        }
    }
}
