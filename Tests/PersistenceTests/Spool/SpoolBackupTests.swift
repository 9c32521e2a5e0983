// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Platform
import Testing

@Suite struct `A copy of the spool` {
    private static func folders() -> (source: String, copy: String) {
        let path = TestNode.temporary()
        return (path, path + ".copy")
    }

    @Test func `is made with a journal that was opened for reading`() async throws {
        try await blocking {
            let (source, copy) = Self.folders()
            defer { for path in [source, copy] { try? FileManager.default.removeItem(atPath: path) } }
            let node = try TestNode(path: source)
            try node.receivePart10("1.1")
            let before = try node.events()
            let reader = try Journal(
                spool: Spool(SpoolConfiguration(path: source, minimumFree: 0), access: .reader), now: { Date() })
            #expect(try SpoolBackup(journal: reader, to: copy).copy().instances == 1)
            #expect(try node.events() == before)
            #expect(try TestNode(path: copy).received().map(\.sopInstanceUID) == ["1.1"])
        }
    }

    @Test func `made while instances arrive and go starts clean`() async throws {
        try await blocking {
            let (source, copy) = Self.folders()
            defer { for path in [source, copy] { try? FileManager.default.removeItem(atPath: path) } }
            let node = try TestNode(path: source)
            for number in 0..<40 { try node.receivePart10("1.0.\(number)", [UInt8(number)]) }
            try node.fill(["1.9"], series: "1.2.9")
            let object = try node.derived("2.25.1")
            _ = try node.finish(node.close(), [object])
            let done = DispatchGroup()
            let copied = Answers()
            for thread in 1...3 {
                done.enter()
                Thread {
                    for number in 0..<200 {
                        let uid = "1.\(thread).\(number)"
                        guard let reception = try? node.receivePart10(uid, [1, UInt8(number)]) else { break }
                        copied.add(thread * 1000 + number, .success(reception))
                        try? node.journal.quarantine(reception.id, AuditEvent(reason: "test"))
                    }
                    done.leave()
                }.start()
            }
            let summary = try SpoolBackup(journal: node.journal, to: copy).run(AuditEvent(by: .user("admin")))
            done.wait()
            #expect(summary.missing == 0 && summary.instances >= 41 && summary.objects == 1)
            #expect(try node.events().contains("spoolCopied"))

            let again = try TestNode(path: copy)
            let report = again.journal.recovery
            #expect(report.adopted == 0 && report.lost == 0 && report.neverAcknowledged == 0)
            #expect(report.quarantined == 0 && report.databaseBehind == nil && report.unreadable == 0)
            let files = again.files("instances").count + again.files("quarantine").count
            #expect(files == summary.instances)
            #expect(again.files("derived").count == 1)
            #expect(try AuditTrail(journal: again.journal).verify().isWhole)
            try again.receivePart10("1.8")
        }
    }

    @Test func `is refused in a folder that holds something, or in a spool`() async throws {
        try await blocking {
            let (source, copy) = Self.folders()
            defer { for path in [source, copy] { try? FileManager.default.removeItem(atPath: path) } }
            let node = try TestNode(path: source)
            try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
            try Data("precious".utf8).write(to: URL(fileURLWithPath: copy + "/file"))
            #expect(throws: SpoolBackup.Failure.notEmpty(path: copy)) {
                try SpoolBackup(journal: node.journal, to: copy).run(AuditEvent())
            }
            let inside = source + "/work/backup"
            #expect(throws: SpoolBackup.Failure.insideSpool(path: inside)) {
                try SpoolBackup(journal: node.journal, to: inside).run(AuditEvent())
            }
            #expect(!FileManager.default.fileExists(atPath: inside))
        }
    }

    @Test func `that was cut off is not a spool`() async throws {
        try await blocking {
            let (source, copy) = Self.folders()
            defer { for path in [source, copy] { try? FileManager.default.removeItem(atPath: path) } }
            do { try TestNode(path: source).receivePart10("1.1") }
            try FileManager.default.copyItem(atPath: source, toPath: copy)
            try FileSystem.remove(copy + "/KONTUR-SPOOL")
            try FileSystem.rename(copy + "/kontur.sqlite", to: copy + "/kontur.sqlite.part")
            #expect(throws: SpoolError.self) { try TestNode(path: copy) }
        }
    }
}
