// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `What retention deletes` {
    private static let hour = Duration.seconds(3600)
    private static let day = Duration.seconds(86_400)

    private static func node() throws -> (TestNode, Retention, TestClock) {
        let clock = TestClock()
        let node = try TestNode(now: { clock.wall }, sinceBoot: { clock.sinceBoot })
        return (node, Retention(journal: node.journal), clock)
    }

    @Test func `deletes what no route took, after its time, as a whole folder`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.fill(["1.1", "1.2"])
            let series = try node.openSeries()
            try node.journal.write { transaction in
                try transaction.closed(series, AuditEvent())
                try transaction.unmatched(
                    NewStack(series: series.id, revision: 1, key: "", instances: []), AuditEvent())
            }
            try clock.pass(node, Self.hour * 0.9)
            #expect(try retention.run() == Retention.Deletions())
            try clock.pass(node, Self.day * 2)
            let report = try retention.run()
            #expect(report.folders == 1 && report.instances == 2 && report.series == 1)
            #expect(node.files("instances").isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: node.path + "/instances").isEmpty)
            let deleted = try node.records(.init(event: .filesDeleted))
            #expect(deleted.first?.instancesIn == "1.1 1.2")
        }
    }

    @Test func `a row that the database does not let go does not keep the others`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            for number in 1...3 {
                try node.fill(["1.\(number)"], series: "1.2.\(number)")
                let series = try node.openSeries()
                try node.journal.write { try $0.closed(series, AuditEvent()) }
            }
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            try queue.write { db in
                for (table, column) in [
                    ("instance", "sopInstanceUID = '1.1'"), ("series", "seriesInstanceUID = '1.2.2'"),
                ] {
                    try db.execute(
                        sql: """
                            CREATE TRIGGER planted_\(table) BEFORE DELETE ON \(table) WHEN OLD.\(column)
                            BEGIN SELECT RAISE(ABORT, 'a planted error'); END
                            """)
                }
            }
            try queue.close()
            try clock.pass(node, Self.day * 2)
            let report = try retention.run()
            #expect(report.instances == 2 && report.series == 1 && report.refused == 2)
            let left = try #require(try node.journal.read { try $0.study("1.2") }).series
            #expect(left.map(\.seriesInstanceUID) == ["1.2.1", "1.2.2"] && left.map(\.instances) == [1, 0])
            #expect(node.files("instances").count == 1)
        }
    }

    @Test func `keeps what waits, is open, or belongs to an open job or delivery`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.receive("1.0")
            try node.fill(["1.1"], series: "1.2.1")
            try clock.pass(node, Self.day * 365)
            #expect(try retention.run() == Retention.Deletions())
            let job = try node.close()
            #expect(try retention.run() == Retention.Deletions())
            let deliveries = try node.finish(job, [node.derived("2.25.1")])
            #expect(try retention.run() == Retention.Deletions())
            try node.journal.write { try $0.sent(deliveries[0], status: 0, AuditEvent()) }
            try clock.pass(node, Self.day * 8)
            #expect(try retention.run().derived == 1)
            #expect(node.files("instances").count == 2, "another instance in the folder still waits")
            try node.index(node.received()[0].id, series: "1.2.9")
            #expect(try retention.run().instances == 0, "its series is open")
        }
    }

    @Test func `a done study goes after its time, and is still known as ours`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.fill(["1.1"])
            let deliveries = try node.finish(node.close(), [node.derived("2.25.1")])
            try node.journal.write { try $0.sent(deliveries[0], status: 0, AuditEvent()) }
            try clock.pass(node, Self.day * 6)
            #expect(try retention.run() == Retention.Deletions())
            try clock.pass(node, Self.day * 2)
            let report = try retention.run()
            #expect(report == Retention.Deletions(folders: 1, instances: 1, derived: 1, series: 1))
            #expect(node.files("instances").isEmpty && node.files("derived").isEmpty)
            #expect(try node.journal.read { try $0.isOurs("2.25.1") })
            #expect(try node.index(node.receive("2.25.1").id) == .own)
        }
    }

    @Test func `a dead letter keeps its file and can be revived`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.fill(["1.1"])
            let deliveries = try node.finish(node.close(), [node.derived("2.25.1")])
            try node.journal.write { try $0.dead(deliveries[0], AuditEvent()) }
            try clock.pass(node, Self.day * 400)
            let report = try retention.run()
            #expect(report.instances == 1 && report.derived == 0 && report.series == 0)
            try node.journal.write { try $0.revived(deliveries[0], AuditEvent()) }
            let path = try #require(try node.journal.read { try $0.pendingDeliveries()[0].object.path })
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func `the sources of a dead job stay as long as quarantined files`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.fill(["1.1"])
            let job = try node.close()
            try node.journal.write { try $0.dead(job, AuditEvent()) }
            try node.journal.quarantine(node.receive("1.7").id, AuditEvent(reason: "malformed"))
            try clock.pass(node, Self.day * 29)
            #expect(try retention.run() == Retention.Deletions())
            try clock.pass(node, Self.day * 2)
            #expect(try retention.run().instances == 2)
            #expect(node.files("quarantine").isEmpty)
        }
    }

    @Test func `a study that comes again after its time is received anew`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            try node.fill(["1.1"])
            try node.finish(node.close(), [])
            try clock.pass(node, Self.day * 8)
            #expect(try retention.run().instances == 1)
            try node.fill(["1.1"])
            #expect(try node.openSeries().revision == 1)
        }
    }

    @Test func `a series goes from all its folders at once, even from those that something else keeps`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            let later = Date(timeIntervalSinceNow: 7200)
            try node.index(node.receive("1.1").id)
            try node.index(node.receive("1.2", now: later).id)
            try node.finish(node.close(), [])
            try node.receive("9.9", now: later)
            try clock.pass(node, Self.day * 8)
            #expect(try retention.run().instances == 2)
            #expect(node.files("instances").count == 1, "the one that waits stays")
            try node.fill(["1.1", "1.2"])
            #expect(try node.openSeries().revision == 1)
        }
    }

    @Test func `an instance that is acknowledged again is kept anew, with its whole series`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            let ids = try node.fill(["1.1", "1.2", "1.3"])
            try node.finish(node.close(), [])
            try clock.pass(node, Self.day * 6.9)
            #expect(try node.receive("1.2", Array("1.2".utf8)) == .duplicate(of: ids[1]))
            try clock.pass(node, Self.day * 6.9)
            #expect(try retention.run() == Retention.Deletions())
            #expect(node.files("instances").count == 3)
            try clock.pass(node, Self.day * 0.2)
            #expect(try retention.run().instances == 3)
        }
    }

    @Test func `an object that was acknowledged again is kept, although it has no series`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            let id = try node.receive("1.1").id
            try node.journal.write { try $0.notAnImage(id, AuditEvent()) }
            try clock.pass(node, Self.hour * 0.9)
            try node.receive("1.1")
            try clock.pass(node, Self.hour * 0.9)
            #expect(try retention.run() == Retention.Deletions())
            try clock.pass(node, Self.hour * 0.2)
            #expect(try retention.run().instances == 1)
        }
    }

    @Test func `an acknowledgement and a deletion do not cross`() async throws {
        try await blocking {
            let (node, retention, clock) = try Self.node()
            let uids = (0..<40).map { "1.\($0)" }
            for round in 0..<5 {
                for uid in uids {
                    guard case .stored(let id) = try node.receive(uid, Array(uid.utf8)) else { continue }
                    try node.journal.write { try $0.notAnImage(id, AuditEvent()) }
                }
                try clock.pass(node, Self.hour * 1.1)
                let answers = Answers()
                concurrently(2) { index in
                    if index == 0 {
                        _ = try? retention.run()
                    } else {
                        for (number, uid) in uids.enumerated() {
                            answers.add(number, Result { try node.receive(uid, Array(uid.utf8)) })
                        }
                    }
                }
                #expect(try answers.all.map { try $0.get() }.count == uids.count)
                #expect(node.files("instances").count == uids.count, "round \(round)")
                for id in try node.received().map(\.id) {
                    try node.journal.write { try $0.notAnImage(id, AuditEvent()) }
                }
            }
        }
    }

    @Test func `a series of many instances goes in one transaction`() async throws {
        try await blocking {
            let clock = TestClock()
            let node = try TestNode(pageSize: 10, now: { clock.wall }, sinceBoot: { clock.sinceBoot })
            try node.fill((0..<450).map { "1.\($0)" })
            try node.finish(node.close(), [])
            try clock.pass(node, Self.day * 8)
            #expect(try Retention(journal: node.journal).run().instances == 450)
            let records = try node.records(.init(event: .filesDeleted)).filter { $0.count != nil }
            #expect(records.map(\.count) == [200, 200, 50])
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }

    @Test func `a crash between the rows and the files leaves nothing for ever`() async throws {
        try await blocking {
            let watched = WatchedCalls()
            let clock = TestClock()
            let node = try TestNode(calls: watched.calls, now: { clock.wall }, sinceBoot: { clock.sinceBoot })
            let id = try node.receive("1.1").id
            try node.journal.write { try $0.notAnImage(id, AuditEvent()) }
            let copy = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: copy) }
            watched.watch(before: { kind, _ in if kind == .remove { snapshot(node.path, copy) } })
            let retention = Retention(journal: node.journal)
            try clock.pass(node, Self.day)
            try retention.run()
            let again = try TestNode(path: copy)
            #expect(again.files("instances").isEmpty)
        }
    }
}
