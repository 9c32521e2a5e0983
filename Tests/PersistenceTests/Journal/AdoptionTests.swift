// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Platform
import Testing

@Suite struct `Files without rows are adopted or quarantined, never deleted` {
    /// Removes the database of a spool, and puts another one in its place.
    private static func replaceDatabase(_ path: String, by copy: String? = nil) throws {
        for suffix in ["", "-wal", "-shm"] { try FileSystem.remove(path + "/kontur.sqlite" + suffix) }
        if let copy { try FileManager.default.copyItem(atPath: copy, toPath: path + "/kontur.sqlite") }
    }

    @Test func `a lost database is made anew with every received file, and says so`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                for number in 1...5 { try node.receivePart10("1.\(number)", [UInt8(number)]) }
            }
            try Self.replaceDatabase(path)
            let node = try TestNode(path: path)
            #expect(try node.received().map(\.sopInstanceUID) == (1...5).map { "1.\($0)" })
            #expect(try node.received().allSatisfy { $0.callingAETitle == "ENDO1" })
            #expect(node.journal.recovery.adopted == 5)
            let reason = try #require(try node.journal.status().databaseBehind).reason
            #expect(reason.hasPrefix("the database was missing, and this spool had seen audit record "))
            #expect(try node.events().prefix(2) == ["databaseBehind", "instancesAdopted"])
            guard case .duplicate = try node.receivePart10("1.3", [3]) else {
                Issue.record("an adopted instance was stored twice")
                return
            }
        }
    }

    @Test func `an older copy of the database is noticed, and the newer files are adopted`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                try node.receivePart10("1.1")
                node.journal.checkpoint()
                try FileManager.default.copyItem(atPath: path + "/kontur.sqlite", toPath: path + ".copy")
                try node.receivePart10("1.2")
                // A newer variant of a stored instance must become the current one.
                try node.receivePart10("1.1", [9, 9])
            }
            defer { try? FileManager.default.removeItem(atPath: path + ".copy") }
            try Self.replaceDatabase(path, by: path + ".copy")
            let node = try TestNode(path: path)
            #expect(try node.received().map(\.sopInstanceUID) == ["1.1", "1.2", "1.1"])
            #expect(node.journal.recovery.databaseBehind?.contains("an older copy was put back") == true)
            #expect(node.journal.recovery.adopted == 2)
        }
    }

    @Test func `the database of a stopped node is whole in its file alone`() async throws {
        try await blocking {
            let node = try TestNode()
            for number in 1...5 { try node.receivePart10("1.\(number)") }
            node.journal.checkpoint()
            let copy = TestNode.temporary() + ".sqlite"
            defer { try? FileManager.default.removeItem(atPath: copy) }
            try FileManager.default.copyItem(atPath: node.spool.databasePath, toPath: copy)
            let count = try DatabaseQueue(path: copy).read { db in
                try Int.fetchOne(db, sql: "SELECT count(*) FROM instance")
            }
            #expect(count == 5)
        }
    }

    @Test func `a file whose receipt was not finished, or that was altered, is quarantined with a record`()
        async throws
    {
        try await blocking {
            let path = TestNode.temporary()
            let copy = path + ".copy"
            defer { for folder in [path, copy] { try? FileManager.default.removeItem(atPath: folder) } }
            let node = try TestNode(path: path)
            try node.receivePart10("1.1")
            let altered = try node.receivePart10("1.2", [2])
            let arriving = try node.part10("1.3", [3, 3])
            let stored = try #require(try node.received().first { $0.id == altered.id }).path
            snapshot(path, copy)
            arriving.discard()
            let queue = try DatabaseQueue(path: copy + "/kontur.sqlite")
            try queue.write { try $0.execute(sql: "DELETE FROM instance WHERE sopInstanceUID = '1.2'") }
            try queue.close()
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: copy + stored.dropFirst(path.count)))
            try file.seekToEnd()
            file.write(Data([7]))
            try file.close()

            let again = try TestNode(path: copy)
            #expect(try again.received().map(\.sopInstanceUID) == ["1.1"])
            #expect(again.journal.recovery.quarantined == 2)
            #expect(again.files("quarantine").count == 2 && again.files("instances").count == 1)
            #expect(try again.instances(.quarantined).count == 2)
            let records = try again.records(.init(event: .fileQuarantined))
            #expect(records.compactMap(\.instancesIn).sorted() == ["1.2", "1.3"])
            guard case .variant = try again.receivePart10("1.3", [3, 3]) else {
                Issue.record("a file that was never acknowledged was taken for a stored instance")
                return
            }
        }
    }

    @Test func `a copy of a stored instance, or an older variant, does not become current`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                try node.receivePart10("1.1", [1])
                try node.receivePart10("1.1", [2])
                try node.receivePart10("1.2")
                let first = try #require(node.files("instances").first { $0.hasSuffix(".dcm") })
                let folder = path + "/instances/" + (first as NSString).deletingLastPathComponent
                for file in node.files("instances") {
                    let copy = folder + "/" + UUID().uuidString.lowercased() + ".dcm"
                    try FileManager.default.copyItem(atPath: path + "/instances/" + file, toPath: copy)
                }
                // The row of the older variant goes, and with it the proof that its copies are known.
                let queue = try DatabaseQueue(path: node.spool.databasePath)
                try queue.write { try $0.execute(sql: "DELETE FROM instance WHERE id = 1") }
            }
            let node = try TestNode(path: path)
            #expect(node.journal.recovery.adopted == 0)
            #expect(node.journal.recovery.quarantined == 4)
            #expect(try node.received().map(\.sopInstanceUID) == ["1.1", "1.2"])
        }
    }

    @Test func `a data set that came again after another one is still the newest after the database was lost`()
        async throws
    {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                for content in [1, 2, 1] as [UInt8] { try node.receivePart10("1.1", [content]) }
            }
            try Self.replaceDatabase(path)
            let node = try TestNode(path: path)
            let contents = try node.received().map { try Data(contentsOf: URL(fileURLWithPath: $0.path)).last }
            #expect(contents == [1, 2, 1])
        }
    }

    @Test func `an object that no row names gets a row again`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                let written = node.spool.workPath + "/" + UUID().uuidString + "-strict.dcm"
                try Data(TestNode.header("2.25.1") + [1, 2]).write(to: URL(fileURLWithPath: written))
                _ = try node.spool.acceptDerived(written, now: Date())
            }
            let node = try TestNode(path: path)
            #expect(node.journal.recovery.adoptedObjects == 1)
            #expect(node.files("derived").count == 1)
            let object = try #require(try node.journal.read { try $0.derivedInstance("2.25.1") })
            #expect(object.path != nil && object.sha256.count == 64)
            #expect(try node.journal.read { try $0.isOurs("2.25.1") })
        }
    }

    @Test func `a move to quarantine that was cut off leaves one file`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            let copy = path + ".copy"
            defer { for folder in [path, copy] { try? FileManager.default.removeItem(atPath: folder) } }
            let watched = WatchedCalls()
            let node = try TestNode(path: path, calls: watched.calls)
            let id = try node.receivePart10("1.1").id
            let day = "2026-01-31"
            let name = try #require(node.files("instances").first).suffix(40)
            try FileSystem.makeFolder(path + "/quarantine/" + day)
            try FileSystem.link(node.received()[0].path, to: path + "/quarantine/\(day)/\(name)")
            let again = try Self.restarted(path)
            #expect(again.quarantine.isEmpty && again.received == [id])
        }
    }

    private static func restarted(_ path: String) throws -> (quarantine: [String], received: [InstanceID]) {
        // The first node still holds its lock, so the second one has another lock file.
        try FileSystem.remove(path + "/lock")
        let node = try TestNode(path: path)
        return (node.files("quarantine"), try node.received().map(\.id))
    }
}

@Suite struct `A read error is not a missing file` {
    /// A spool whose last row does not say yet that its file is on disk.
    private static func unconfirmed(_ body: (_ path: String) throws -> Void) throws {
        let path = TestNode.temporary()
        let copy = path + ".copy"
        defer { for folder in [path, copy] { try? FileManager.default.removeItem(atPath: folder) } }
        let node = try TestNode(path: path)
        try node.receivePart10("1.1")
        try node.receivePart10("1.2")
        snapshot(path, copy)
        try body(copy)
    }

    @Test(arguments: [WatchedCalls.Kind.open, .read, .status, .names])
    func `an error that comes once is tried again, and nothing is lost`(_ kind: WatchedCalls.Kind) async throws {
        try await blocking {
            try Self.unconfirmed { path in
                let watched = WatchedCalls()
                let once = Flag()
                watched.watch(before: { found, _ in
                    if found == kind, once.lower() { throw SystemCallError(call: "read", code: EIO) }
                })
                let node = try TestNode(path: path, calls: watched.calls)
                #expect(try node.received().count == 2)
                #expect(node.journal.recovery.unreadable == 0)
                #expect(try !node.events().contains("instancesNeverAcknowledged"))
            }
        }
    }

    @Test func `while an error lasts the instance stays as it is, and the next start finds it`() async throws {
        try await blocking {
            try Self.unconfirmed { path in
                let watched = WatchedCalls()
                watched.watch(before: { kind, _ in
                    if kind == .read { throw SystemCallError(call: "read", code: EIO) }
                })
                do {
                    let node = try TestNode(path: path, calls: watched.calls)
                    #expect(node.journal.recovery.unreadable == 1)
                    #expect(node.journal.recovery.readError == "read failed: Input/output error")
                    #expect(try node.received().map(\.sopInstanceUID) == ["1.1"], "the indexer must not see it")
                    #expect(node.files("instances").count == 2)
                    #expect(try !node.events().contains("instancesNeverAcknowledged"))
                }
                let node = try TestNode(path: path)
                #expect(try node.received().count == 2)
            }
        }
    }

    @Test func `an instance that cannot be read is stored anew when it comes again`() async throws {
        try await blocking {
            try Self.unconfirmed { path in
                let watched = WatchedCalls()
                watched.watch(before: { kind, _ in
                    if kind == .read { throw SystemCallError(call: "read", code: EIO) }
                })
                let node = try TestNode(path: path, calls: watched.calls)
                guard case .duplicate = try node.receivePart10("1.2") else {
                    Issue.record("it was stored as another instance")
                    return
                }
                #expect(try node.received().count == 2)
                #expect(node.files("instances").count == 3, "the file that cannot be read stays")
            }
        }
    }

    @Test func `the file of an acknowledged instance that somebody removed is said to be lost`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                try node.receivePart10("1.1")
                try node.receivePart10("1.2")
                try FileSystem.remove(node.received()[0].path)
            }
            let node = try TestNode(path: path)
            #expect(node.journal.recovery.lost == 1)
            #expect(try node.events().last == "instancesLost")
        }
    }
}
