// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Segmentation
import Supervision
import Testing
import TestSupport

/// Stacks of frames of which some cannot be decoded.
@Suite(
    .serialized, .enabled(if: WorkerChild.isThere, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(3)))
struct LeftOutFramesTests {
    /// Two sample frames of one size, uncompressed and JPEG.
    private let good = ["frame-2-rgb.dcm", "frame-4-jpeg-two-polyps.dcm"].map {
        Checkout.samples.appending(path: "colonoscopy/\($0)").path
    }
    private static let patient = Data([0x10, 0, 0x20, 0, 0x4C, 0x4F])

    /// Writes a sample frame with another SOP Instance UID and patient, and with bytes exchanged.
    private func changed(
        _ name: String, in folder: URL, _ exchange: [(Data, Data)]
    ) throws -> (path: String, uid: String) {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: good[0]))
        let uid = try InstanceFile(path: good[0]).header.sopInstanceUID
        let other = uid.dropLast(2) + (uid.hasSuffix("17") ? "18" : "17")
        let patientID = try #require(bytes.range(of: Self.patient))
        bytes[patientID.upperBound + 2] = UInt8(ascii: "Z")
        for (old, new) in exchange + [(Data(uid.utf8), Data(other.utf8))] {
            while let place = bytes.range(of: old) { bytes.replaceSubrange(place, with: new) }
        }
        let path = folder.appending(path: name).path
        try bytes.write(to: URL(fileURLWithPath: path))
        return (path, String(other))
    }

    private func segmented(_ files: [String], newest: Int = 0, _ path: String) async throws -> WorkResponse {
        let descriptor = try Segmenters.entry("polyp-compact").template
        var description = ObjectDescription(
            sopInstanceUID: "2.25.1", seriesInstanceUID: "2.25.2", created: 1_700_000_000,
            kind: .segmentation(.strict), type: .binary, segmenter: descriptor, softwareVersion: "0")
        description.newestSource = newest
        let pictures = ObjectDescription(
            sopInstanceUID: "2.25.3", seriesInstanceUID: "2.25.4", created: 1_700_000_000, kind: .pictures,
            type: .binary, segmenter: descriptor, softwareVersion: "0")
        let sources = try files.map { file in
            SegmentRequest.Source(
                path: String(file.dropFirst()), sopInstanceUID: try InstanceFile(path: file).header.sopInstanceUID)
        }
        let request = SegmentRequest(
            run: "run", folder: "/", sources: sources, segmenter: descriptor,
            outputs: [
                .init(path: path, description: description),
                .init(path: path + ".pictures", description: pictures),
            ])
        return try #require(try await WorkerChild.answers("segment", [.segment(request: request)])[0])
    }

    /// The SOP Instance UIDs of Referenced Instance Sequence in a SEG.
    private func referenced(_ path: String) throws -> [String] {
        let data = try DataSet.open(path: path)
        let series = try #require(data.items(.referencedSeriesSequence).first)
        return data.items(.referencedInstanceSequence, in: series).compactMap {
            data.string(.referencedSOPInstanceUID, in: $0)
        }
    }

    @Test func `an image that cannot be decoded is left out, and the others are segmented`() async throws {
        try await withTemporaryFolder { folder in
            let hsv = try changed("hsv.dcm", in: folder, [(Data("\u{4}\0RGB ".utf8), Data("\u{4}\0HSV ".utf8))])
            let path = folder.appending(path: "seg.dcm").path
            guard
                case .segmented(let outcome) = try await segmented([hsv.path] + good, newest: 0, path)
            else {
                Issue.record("not segmented")
                return
            }
            #expect(outcome.frames == 2 && outcome.leftOut == 1 && outcome.foundFrames == [0, 1])
            let note = try #require(outcome.notes.first { $0.hasPrefix("left out 1 frame: ") })
            #expect(note.contains("Photometric Interpretation") && note.contains("frame 1 of instance \(hsv.uid)"))
            #expect(try referenced(path) == good.map { try InstanceFile(path: $0).header.sopInstanceUID })
            // The patient is still that of the newest source.
            #expect(try DataSet.open(path: path).string(.patientID)?.hasPrefix("Z") == true)
            // The same answer comes from the good frames alone.
            let alone = folder.appending(path: "alone.dcm").path
            guard case .segmented(let other) = try await segmented(good, alone) else {
                Issue.record("not segmented")
                return
            }
            #expect(other.leftOut == 0 && other.confidence == outcome.confidence)
            #expect(
                try SegmentationReader(path: path).frames.map(\.values)
                    == SegmentationReader(path: alone).frames.map(\.values))
        }
    }

    @Test func `a clip that cannot be read is left out with all of its frames`() async throws {
        try await withTemporaryFolder { folder in
            // A transfer syntax that is none, in the file meta information.
            let clip = try changed(
                "clip.dcm", in: folder,
                [(Data("UI\u{14}\01.2.840.10008.1.2.1\0".utf8), Data("UI\u{14}\01.2.840.10008.9.9.9\0".utf8))])
            let path = folder.appending(path: "seg.dcm").path
            guard case .segmented(let outcome) = try await segmented(good + [clip.path], path) else {
                Issue.record("not segmented")
                return
            }
            #expect(outcome.frames == 2 && outcome.leftOut == 1)
            #expect(outcome.notes.contains { $0.contains("1.2.840.10008.9.9.9") })
            guard case .unfit(let reason) = try await segmented([clip.path], path) else {
                Issue.record("segmented")
                return
            }
            #expect(reason.contains("1.2.840.10008.9.9.9"))
        }
    }

    @Test func `one frame of an instance that cannot be decoded is left out`() async throws {
        try await withTemporaryFolder { folder in
            let fixture = Checkout.root.appending(path: "Tests/DICOMTests/Fixtures/movie_jpeg_baseline.dcm")
            var bytes = try Data(contentsOf: fixture)
            // The second of three frames gets a kind of JPEG that is not decoded.
            let starts = bytes.indices.filter { bytes[$0...].starts(with: [0xFF, 0xC0, 0, 17]) }
            try #require(starts.count == 3)
            bytes[starts[1] + 1] = 0xCB
            let cut = folder.appending(path: "cut.dcm")
            try bytes.write(to: cut)
            guard
                case .segmented(let outcome) = try await segmented([cut.path], folder.appending(path: "s").path)
            else {
                Issue.record("not segmented")
                return
            }
            #expect(outcome.frames == 2 && outcome.leftOut == 1)
            #expect(outcome.notes.contains { $0.contains("left out 1 frame: could not decode frame 2") })
        }
    }
}
