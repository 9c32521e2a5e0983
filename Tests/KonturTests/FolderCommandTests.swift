// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import TestSupport
import Testing

/// `kontur segment` on folders as people have them.
@Suite(.serialized) struct FolderCommandTests {
    private struct Outcome {
        let status: Int
        let errors: String
        /// The reason of each file without a stack, by outcome and name.
        let files: [String: String]
        let instances: Int
        let found: Int
    }

    /// Runs `kontur segment` on `paths` of a folder that `prepare` fills.
    private func segment(
        _ paths: [String] = [""], prepare: (URL) throws -> Void, check: (Outcome) throws -> Void
    ) async throws {
        try await withTemporaryFolder { folder in
            let study = folder.appending(path: "study")
            try FileManager.default.createDirectory(at: study, withIntermediateDirectories: true)
            try prepare(study)
            let output = folder.appending(path: "out").path
            let named = paths.map { $0.isEmpty ? study.path : study.appending(path: $0).path }
            let result = try await runExternal(
                Executables.kontur, ["segment"] + named + ["--output", output, "--json"], within: 120)
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            let files = try #require(object?["files"] as? [[String: Any]])
            let stacks = try #require(object?["stacks"] as? [[String: Any]])
            try check(
                Outcome(
                    status: Int(result.status), errors: result.errors,
                    files: Dictionary(
                        files.map { file in
                            let name = URL(fileURLWithPath: file["path"] as? String ?? "").lastPathComponent
                            return ("\(file["outcome"] ?? "") \(name)", file["reason"] as? String ?? "")
                        }, uniquingKeysWith: { $0 + $1 }),
                    instances: stacks.reduce(0) { $0 + ($1["instances"] as? Int ?? 0) },
                    found: stacks.reduce(0) { $0 + ($1["foundFrames"] as? Int ?? 0) }))
        }
    }

    private func frame(_ name: String) throws -> Data {
        try Data(contentsOf: Checkout.samples.appending(path: "colonoscopy/\(name).dcm"))
    }

    /// A DICOMDIR: its class stands in its File Meta Information alone.
    private static var directory: Data {
        let meta = FileMeta(
            sopClassUID: "1.2.840.10008.1.3.10", sopInstanceUID: "2.25.1", transferSyntaxUID: "1.2.840.10008.1.2.1")
        let fileSetID: [UInt8] = [0x04, 0x00, 0x30, 0x11] + Array("CS".utf8) + [4, 0] + Array("DISC".utf8)
        return Data(meta.encoded + fileSetID)
    }

    @Test func `a CD is segmented, and everything beside its images is passed over in words`() async throws {
        try await segment(prepare: { cd in
            let images = cd.appending(path: "IMAGES")
            try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
            try frame("frame-5-rgb-small").write(to: images.appending(path: "IM000001"))
            try Self.directory.write(to: cd.appending(path: "DICOMDIR"))
            try Data("[autorun]\r\nopen=viewer.exe\r\n".utf8).write(to: cd.appending(path: "AUTORUN.INF"))
            try Data([0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 500)).write(to: cd.appending(path: "all.zip"))
            try Data([0x1F, 0x8B, 8] + [UInt8](repeating: 0, count: 500)).write(to: cd.appending(path: "all.tar.gz"))
            try Data().write(to: cd.appending(path: "LOCKFILE"))
            try FileManager.default.createSymbolicLink(
                atPath: cd.appending(path: "gone").path, withDestinationPath: "/dev/null")
            for (name, target) in [("dangling", "nowhere"), ("itself", "itself")] {
                try FileManager.default.createSymbolicLink(
                    atPath: cd.appending(path: name).path, withDestinationPath: target)
            }
        }) { outcome in
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.instances == 1 && outcome.found == 1)
            #expect(outcome.files["notAnImage DICOMDIR"]?.contains("Media Storage Directory") == true)
            #expect(outcome.files["passedOver all.zip"]?.contains("a ZIP archive") == true)
            #expect(outcome.files["passedOver all.tar.gz"]?.contains("gzip") == true)
            #expect(outcome.files["passedOver gone"] == "neither a file nor a folder")
            #expect(outcome.files["passedOver dangling"]?.contains("leads to no file") == true)
            #expect(outcome.files["passedOver itself"]?.contains("leads to no file") == true)
            #expect(outcome.files.keys.contains("passedOver AUTORUN.INF"))
            #expect(outcome.files.count == 8)
        }
    }

    @Test(arguments: [("DICOMDIR", "name its folder"), ("all.zip", "unpack it")])
    func `a directory or an archive that is named itself is refused with the remedy`(
        name: String, remedy: String
    ) async throws {
        try await segment(
            [name],
            prepare: { cd in
                try Self.directory.write(to: cd.appending(path: "DICOMDIR"))
                try Data([0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 500)).write(
                    to: cd.appending(path: "all.zip"))
            }
        ) { outcome in
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains(remedy), "\(outcome.errors)")
        }
    }

    @Test func `names in other encodings and in both normal forms are read, each once`() async throws {
        let frames = ["frame-5-rgb-small", "frame-2-rgb", "frame-1-jpeg"]
        try await segment(prepare: { folder in
            // é as one and as two code points: one text to Swift, two files to the system.
            let names: [[UInt8]] = [[0xC3, 0xA9], [0x65, 0xCC, 0x81], [0xE9, 0x0A, 0x63]]
            let below = FilePath(folder.path).appending(FilePath(bytes: Array("B\u{301}\u{305}".utf8)))
            try FileManager.default.createDirectory(
                atPath: String(decoding: below.bytes, as: UTF8.self), withIntermediateDirectories: true)
            for (name, sample) in zip(names, frames) {
                let source = Checkout.samples.appending(path: "colonoscopy/\(sample).dcm")
                let target = below.appending(FilePath(bytes: name))
                let moved = target.bytes.map(CChar.init(bitPattern:)) + [0]
                #expect(link(source.path, moved) == 0 || symlink(source.path, moved) == 0)
            }
        }) { outcome in
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.instances == 3 && outcome.files.isEmpty, "\(outcome.files)")
        }
    }

    @Test func `a linked folder is read once, and a loop is noticed`() async throws {
        try await withTemporaryFolder { elsewhere in
            try frame("frame-5-rgb-small").write(to: elsewhere.appending(path: "one"))
            try await segment(prepare: { folder in
                let below = folder.appending(path: "a")
                try FileManager.default.createDirectory(at: below, withIntermediateDirectories: true)
                try frame("frame-2-rgb").write(to: below.appending(path: "two"))
                for (name, target) in [
                    ("0-again", below), ("1-other", elsewhere), ("2-other", elsewhere), ("a/loop", folder),
                ] {
                    try FileManager.default.createSymbolicLink(
                        at: folder.appending(path: name), withDestinationURL: target)
                }
            }) { outcome in
                #expect(outcome.status == 0, "\(outcome.errors)")
                #expect(outcome.instances == 2)
                let read = "a link to a folder that is read already"
                #expect(
                    outcome.files == ["passedOver 0-again": read, "passedOver 2-other": read, "passedOver loop": read])
            }
        }
    }
}
