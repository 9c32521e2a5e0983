// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import TestSupport
import Testing

/// `kontur segment` with PNG and JPEG files.
@Suite(.serialized) struct PictureCommandTests {
    /// A folder with a sample frame as a picture, `frame.png`, and what `body` makes of `kontur segment` there.
    private func segment(
        _ names: [String], _ more: [String] = ["--segmenter", "polyp-compact"],
        prepare: (URL) throws -> Void = { _ in }, check: (ExternalResult, [[String: Any]], URL) throws -> Void
    ) async throws {
        try await withTemporaryFolder { folder in
            let size = (rows: 120, columns: 160)
            let samples = (0..<size.rows * size.columns * 3).map { UInt8(truncatingIfNeeded: $0 * 31 / 7) }
            try Picture(rows: size.rows, columns: size.columns, channels: 3, samples: samples)
                .writePNG(to: folder.appending(path: "frame.png").path)
            try prepare(folder)
            let paths = names.map { folder.appending(path: $0).path }
            let output = folder.appending(path: "out")
            let result = try await runExternal(
                Executables.kontur, ["segment"] + paths + ["--output", output.path, "--json"] + more, within: 120)
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            try check(result, object?["pictures"] as? [[String: Any]] ?? [], output)
        }
    }

    @Test func `a picture gets a mask of its size in black and white, and nothing else stays`() async throws {
        for _ in 0..<2 {
            try await segment(["frame.png"]) { result, pictures, output in
                #expect(result.status == 0, "\(result.tail)")
                let line = try #require(pictures.first)
                let mask = try Picture(path: try #require(line["mask"] as? String))
                #expect(mask.rows == 120 && mask.columns == 160 && mask.channels == 1)
                #expect(Set(mask.samples).isSubset(of: [0, 255]))
                #expect((line["outcome"] as? String == "segmented") == mask.samples.contains(255))
                let overlay = line["overlay"] as? String
                #expect((overlay != nil) == mask.samples.contains(255))
                let names = try FileManager.default.contentsOfDirectory(atPath: output.path).sorted()
                #expect(names == (overlay == nil ? ["1-frame-mask.png"] : ["1-frame-mask.png", "1-frame-overlay.png"]))
            }
        }
    }

    @Test func `damaged and hostile files fail alone, each with its reason`() async throws {
        try await segment(
            ["cut.png", "frame.png", "cut.jpg", "huge.png"],
            prepare: { folder in
                let whole = try Data(contentsOf: folder.appending(path: "frame.png"))
                try whole.prefix(whole.count / 2).write(to: folder.appending(path: "cut.png"))
                try Data([0xff, 0xd8, 0xff, 0xe0, 0, 16]).write(to: folder.appending(path: "cut.jpg"))
                var huge = whole
                huge.replaceSubrange(16..<24, with: [0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff])
                try huge.write(to: folder.appending(path: "huge.png"))
            },
            check: { result, pictures, _ in
                #expect(result.status == 1)
                #expect(result.errors.contains("3 pictures failed"))
                let outcomes = pictures.map { $0["outcome"] as? String ?? "" }
                #expect(outcomes.filter { $0 == "failed" }.count == 3)
                #expect(["segmented", "nothingFound"].contains(outcomes[1]))
                for (line, outcome) in zip(pictures, outcomes) where outcome == "failed" {
                    #expect((line["reason"] as? String)?.hasPrefix("could not decode the ") == true)
                    #expect(line["mask"] == nil)
                }
            })
    }

    @Test func `what does not take pictures says so`() async throws {
        try await segment(["frame.png"], []) { result, pictures, _ in
            #expect(result.status == 1)
            #expect(pictures.first?["outcome"] as? String == "unmatched")
            #expect(result.errors.contains("give --segmenter NAME"))
        }
        try await segment(["frame.png"], ["--segmenter", "left-atrium-compact"]) { result, pictures, _ in
            #expect(result.status == 1)
            #expect(pictures.first?["outcome"] as? String == "unfit")
            #expect(result.errors.contains("give it DICOM files"))
        }
    }

    @Test func `pictures in a folder are passed over unless they are named themselves`() async throws {
        try await segment([""]) { result, pictures, _ in
            #expect(result.status == 1)
            #expect(pictures.isEmpty)
            #expect(result.errors.contains("name the file itself to segment it"))
        }
    }

    @Test func `a dump of a network that takes no prompts is said to be empty`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-dump-\(UUID().uuidString)").path
        try await segment(["frame.png"], ["--segmenter", "polyp-compact", "--dump", folder]) { result, pictures, _ in
            #expect(result.status == 0)
            #expect((pictures.first?["notes"] as? [String])?.contains { $0.contains("nothing was dumped") } == true)
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }
}
