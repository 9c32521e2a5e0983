// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Pipeline
import Testing
import TestSupport

/// Studies that come again changed, in a running node with real index workers.
@Suite(
    .serialized, .enabled(if: NodeFolder.hasKontur, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(5)))
struct IdentityTests {
    /// The patient of the samples, and another one.
    private static let (patient, other) = ("SYN-0002", "SYN-0003")

    /// Copies of files in which a text is replaced by another one of the same length.
    private static func copies(
        _ files: some Sequence<String>, in folder: URL, _ text: String, _ new: String
    ) throws -> [String] {
        precondition(text.utf8.count == new.utf8.count, "lengths in the files stay as they are")
        let folder = folder.appending(path: "\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return try files.map { path in
            var data = try Data(contentsOf: URL(fileURLWithPath: path))
            while let place = data.firstRange(of: Data(text.utf8)) { data.replaceSubrange(place, with: Data(new.utf8)) }
            let copy = folder.appending(path: URL(fileURLWithPath: path).lastPathComponent)
            try data.write(to: copy)
            return copy.path
        }
    }

    private static func settled(_ node: Node, jobs: Int) async throws -> Bool {
        try await NodeFolder.eventually {
            let status = try node.journal.status()
            return status.count(\.jobs, "done") == jobs && status.count(\.series, "open") == 0
                && status.count(\.instances, "received") == 0
        }
    }

    @Test func `a series that names both sexes is set aside, and is segmented if a person accepts it`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let files = try NodeFolder.samples("lge")
            func sex(_ letter: String) -> String { "\u{10}\0@\0CS\u{2}\0\(letter) " }
            let female = try Self.copies(files.prefix(9), in: here.folder, sex("O"), sex("F"))
            let male = try Self.copies(files.dropFirst(9), in: here.folder, sex("O"), sex("M"))
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(female + male, to: node.port)
                #expect(
                    try await NodeFolder.eventually { try node.journal.status().count(\.series, "setAside") == 1 })
                let status = try node.journal.status()
                #expect(status.setAside.map(\.reason) == ["its instances name two patients: PatientSex differs"])
                let series = try #require(try node.journal.read { try $0.seriesToReview() }.first)
                try node.journal.write { try $0.released(series.id, AuditEvent(by: .user("admin"))) }
                #expect(try await Self.settled(node, jobs: 1))
            }
        }
    }

    @Test func `a series that names two patients is set aside until the rest of the correction arrives`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let files = try NodeFolder.samples("lge")
            let corrected = try Self.copies(files, in: here.folder, Self.patient, Self.other)
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(Array(files.prefix(3)) + corrected.dropFirst(3), to: node.port)
                #expect(
                    try await NodeFolder.eventually { try node.journal.status().count(\.series, "setAside") == 1 })
                let status = try node.journal.status()
                #expect(status.setAside.map(\.reason) == ["its instances name two patients: PatientID differs"])
                #expect(status.count(\.jobs, "queued") + status.count(\.jobs, "done") == 0)
                try await NodeFolder.send(Array(corrected.prefix(3)), to: node.port)
                #expect(try await Self.settled(node, jobs: 1))
                #expect(try node.journal.status().setAside.isEmpty)
            }
        }
    }

    @Test func `a person accepts a series that names two patients`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let files = try NodeFolder.samples("lge")
            let corrected = try Self.copies(files, in: here.folder, Self.patient, Self.other)
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(Array(files.prefix(3)) + corrected.dropFirst(3), to: node.port)
                #expect(
                    try await NodeFolder.eventually { try node.journal.status().count(\.series, "setAside") == 1 })
                _ = try await NodeFolder.eventually {
                    let series = try node.journal.read { try $0.seriesToReview() }[0]
                    try node.journal.write { try $0.released(series.id, AuditEvent(by: .user("test"))) }
                    return true
                }
                #expect(try await Self.settled(node, jobs: 1))
            }
        }
    }

    @Test func `a moved study is segmented in its new place, and the old one closes without instances`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let files = try NodeFolder.samples("lge")
            let study = try InstanceFile(path: files[0]).header.studyInstanceUID
            let newStudy = String(study.dropLast()) + "8"
            let moved = try Self.copies(files, in: here.folder, study, newStudy)
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(files, to: node.port)
                #expect(try await Self.settled(node, jobs: 1))
                try await NodeFolder.send(moved, to: node.port)
                #expect(try await Self.settled(node, jobs: 2))
                let old = try node.journal.read { try $0.study(study) }
                let new = try node.journal.read { try $0.study(newStudy) }
                #expect(old?.series.map(\.instances) == [0] && old?.series.map(\.state) == [.closed])
                #expect(new?.series.map(\.instances) == [files.count])
                #expect(old?.jobs.count == 1 && new?.jobs.count == 1)
            }
        }
    }

    @Test func `the same images without loss in another encoding start no work`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let files = try NodeFolder.samples("lge")
            let packed = try files.map { path in
                let copy = here.folder.appending(path: "rle-" + URL(fileURLWithPath: path).lastPathComponent)
                try Self.runLengthEncoded(Data(contentsOf: URL(fileURLWithPath: path))).write(to: copy)
                return copy.path
            }
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(files, to: node.port)
                #expect(try await Self.settled(node, jobs: 1))
                try await NodeFolder.send(packed, to: node.port)
                let indexed = 2 * files.count
                #expect(
                    try await NodeFolder.eventually {
                        try node.journal.status().count(\.instances, "indexed") == indexed
                    })
                #expect(try await Self.settled(node, jobs: 1))
                #expect(try node.journal.read { try $0.jobs() }.map(\.revision) == [1])
            }
        }
    }

    /// A native file of 16-bit images as RLE Lossless (PS3.5 annex G), with literal runs only.
    private static func runLengthEncoded(_ native: Data) throws -> Data {
        let header = Data([0xE0, 0x7F, 0x10, 0x00]) + Data("OW".utf8) + Data([0, 0])
        let place = try #require(native.lastRange(of: header))
        let pixels = Array(native[(place.upperBound + 4)...])
        func packed(_ bytes: [UInt8]) -> [UInt8] {
            var runs = stride(from: 0, to: bytes.count, by: 128).flatMap { start in
                let run = bytes[start..<min(start + 128, bytes.count)]
                return [UInt8(run.count - 1)] + run
            }
            if runs.count % 2 == 1 { runs.append(0) }
            return runs
        }
        func words(_ values: UInt32...) -> [UInt8] {
            values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        }
        let high = packed(stride(from: 1, to: pixels.count, by: 2).map { pixels[$0] })
        let low = packed(stride(from: 0, to: pixels.count, by: 2).map { pixels[$0] })
        let table = words(2, 64, 64 + UInt32(high.count)) + [UInt8](repeating: 0, count: 52)
        let fragment = table + high + low
        var file = Data(native[..<place.lowerBound])
        let syntax = try #require(file.firstRange(of: Data("1.2.840.10008.1.2.1\0".utf8)))
        file.replaceSubrange(syntax, with: Data("1.2.840.10008.1.2.5\0".utf8))
        file += Data([0xE0, 0x7F, 0x10, 0x00]) + Data("OB".utf8) + Data([0, 0] + words(0xFFFF_FFFF))
        file += Data([0xFE, 0xFF, 0x00, 0xE0] + words(0) + [0xFE, 0xFF, 0x00, 0xE0] + words(UInt32(fragment.count)))
        return file + Data(fragment) + Data([0xFE, 0xFF, 0xDD, 0xE0] + words(0))
    }
}
