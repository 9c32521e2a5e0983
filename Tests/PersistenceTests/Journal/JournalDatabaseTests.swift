// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `Journal database` {
    @Test func `has its application id, its version, incremental vacuum and a log`() async throws {
        try await blocking {
            let node = try TestNode()
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            try queue.read { (db: Database) throws -> Void in
                #expect(try Int.fetchOne(db, sql: "PRAGMA application_id") == 0x4B4E_5452)
                #expect(try Int.fetchOne(db, sql: "PRAGMA user_version") == JournalDatabase.schema)
                #expect(try Int.fetchOne(db, sql: "PRAGMA auto_vacuum") == 2)
                #expect(try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal")
            }
        }
    }

    @Test func `refuses the database of a newer version`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                let queue = try DatabaseQueue(path: node.spool.databasePath)
                try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 99") }
            }
            let error = #expect(throws: JournalError.self) { try TestNode(path: path) }
            let text = "\(try #require(error))"
            #expect(
                text.hasPrefix(
                    "the spool's database has schema 99, and this version of kontur knows \(JournalDatabase.schema); "))
        }
    }

    @Test func `refuses somebody else's database`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            let queue = try DatabaseQueue(path: path + "/kontur.sqlite")
            try queue.write { try $0.execute(sql: "CREATE TABLE recipe (id)") }
            try queue.close()
            #expect(throws: SpoolError.self) { try TestNode(path: path) }
            try Data("KONTUR-SPOOL 1\n".utf8).write(to: URL(fileURLWithPath: path + "/KONTUR-SPOOL"))
            let error = #expect(throws: JournalError.self) { try TestNode(path: path) }
            #expect("\(try #require(error))".hasSuffix("is not a Kontur database; choose another spool.path"))
            try Data("not a database at all, only text".utf8).write(to: URL(fileURLWithPath: path + "/kontur.sqlite"))
            #expect(throws: JournalError.self) { try TestNode(path: path) }
        }
    }

    @Test(arguments: 1..<JournalDatabase.schema)
    func `takes over a spool of an older schema with its content, and keeps a copy`(
        _ schema: Int
    ) async throws {
        try await blocking {
            let old = try OldSpool(schema: schema)
            let node = try TestNode(path: old.path)
            #expect(try node.delivery(DeliveryID(rawValue: 1))?.state == .pending)
            #expect(try node.journal.read { try $0.jobs() }.map(\.lowConfidence) == [false])
            let series = try #require(try node.journal.read { try $0.study("1.2") }).series
            #expect(series.map(\.state) == [.closed, .open] && series.map(\.instances) == [1, 1])
            #expect(try node.received().map(\.sopInstanceUID) == ["1.9"])
            #expect(FileManager.default.fileExists(atPath: old.path + "/kontur.sqlite.schema-\(schema)"))
            // The next series does not get the number of one that was deleted.
            try node.index(node.receive("1.10", [7]).id, series: "1.2.5")
            #expect(try node.journal.read { try $0.study("1.2") }?.series.last?.id == SeriesID(rawValue: 8))
        }
    }

    @Test func `opens again with everything in it`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { try TestNode(path: path).receive("1.1") }
            let node = try TestNode(path: path)
            #expect(try node.received().map(\.sopInstanceUID) == ["1.1"])
        }
    }

    @Test func `the command line writes beside a running node`() async throws {
        try await blocking {
            let node = try TestNode()
            let spool = try Spool(node.spool.configuration, access: .commandLine)
            let journal = try Journal(spool: spool)
            try node.receive("1.1")
            let weights = AuditedWeights(name: "ours", sha256: "feed")
            #expect(try journal.write { try $0.modelInstalled(weights, by: .user("admin")) })
            try node.receive("1.2")
            #expect(try node.events() == ["instancesReceived", "modelInstalled", "instancesReceived"])
            #expect(try AuditTrail(journal: journal).verify().isWhole)
        }
    }
}
