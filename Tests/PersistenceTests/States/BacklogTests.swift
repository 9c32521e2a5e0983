// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

/// Lists of waiting work, and rows in them that are damaged.
@Suite struct `A backlog` {
    /// Changes rows behind the journal's back, as damage would.
    private static func damage(_ node: TestNode, _ sql: String) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: node.spool.databasePath, configuration: configuration)
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA ignore_check_constraints = ON; " + sql) }
        try queue.close()
    }

    @Test func `lists of jobs do not read payloads`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let job = try node.close()
            #expect(try node.journal.read { try $0.job(job)?.payload } == Data("work".utf8))
            try Self.damage(node, "DELETE FROM jobPayload")
            #expect(try node.journal.read { try $0.queuedJobs() } == [job])
            #expect(try node.journal.read { try $0.jobs() }.map(\.id) == [job])
            #expect(try node.journal.read { try $0.job(job) } == nil)
            // The job can be given up all the same.
            try node.journal.write { try $0.dead(job, AuditEvent(reason: "its payload is missing")) }
            #expect(try node.journal.read { try $0.queuedJobs() }.isEmpty)
        }
    }

    @Test func `payloads of an older schema are kept`() async throws {
        try await blocking {
            let old = try OldSpool(schema: 3)
            let queue = try DatabaseQueue(path: old.path + "/kontur.sqlite")
            try queue.write { try $0.execute(sql: "UPDATE job SET payload = x'CAFE'") }
            try queue.close()
            let node = try TestNode(path: old.path)
            #expect(try node.journal.read { try $0.job(JobID(rawValue: 1))?.payload } == Data([0xCA, 0xFE]))
        }
    }

    @Test func `waiting deliveries are found by peer`() async throws {
        try await blocking {
            let node = try TestNode(pageSize: 2)
            #expect(try node.journal.read { try $0.waitingPeers() }.isEmpty)
            var all: [DeliveryID] = []
            for number in 1...3 {
                try node.fill(["1.\(number)"], series: "1.2.\(number)")
                all += try node.finish(node.close(), [node.derived("2.25.\(number)", peers: ["b", "a"])])
            }
            let toB = [all[0], all[2], all[4]]
            try node.journal.write { try $0.sent(all[5], status: 0, AuditEvent()) }
            let peers = try node.journal.read { try $0.waitingPeers() }
            #expect(peers.map(\.name) == ["a", "b"] && peers.map(\.newest) == [all[3], all[4]])
            let first = try node.journal.read { try $0.pendingDeliveries(to: "b") }
            let second = try node.journal.read { try $0.pendingDeliveries(to: "b", after: first.last?.id) }
            #expect(first.map(\.id) == Array(toB.prefix(2)) && second.map(\.id) == [toB[2]])
            #expect(try node.journal.read { try $0.pendingDeliveries(among: [all[5], all[1]]) }.map(\.id) == [all[1]])
        }
    }

    @Test func `a row that cannot be read does not hide the others`() async throws {
        try await blocking {
            let node = try TestNode()
            for number in 1...2 {
                try node.fill(["1.\(number)"], series: "1.2.\(number)")
                try node.finish(node.close(), [node.derived("2.25.\(number)")])
            }
            try node.receive("1.8")
            try node.receive("1.9")
            try Self.damage(
                node,
                """
                UPDATE job SET state = 'of another version' WHERE id = 1;
                UPDATE stack SET state = 'of another version' WHERE id = 1;
                UPDATE delivery SET state = 'of another version' WHERE id = 1;
                UPDATE series SET state = 'of another version' WHERE id = 1;
                UPDATE association SET uuid = 'no uuid' WHERE id = (SELECT associationId FROM instance WHERE id = 3);
                """)
            let jobs = try node.journal.read { try $0.jobs() }
            #expect(jobs.map(\.state) == [.dead, .done])
            #expect(jobs.flatMap(\.deliveries).map(\.state) == [.dead, .pending])
            let study = try #require(try node.journal.read { try $0.study("1.2") })
            #expect(study.series.map(\.state) == [.setAside, .closed])
            let received = try node.received()
            #expect(received.map(\.sopInstanceUID) == ["1.8", "1.9"])
            #expect(received[0].association == nil && received[1].association != nil)
        }
    }

    @Test func `errors of the disk pass, and errors of a row do not`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let series = try node.openSeries()
            let stack = NewStack(series: series.id, revision: 1, key: "key", instances: [])
            let twice = #expect(throws: JournalError.self) {
                try node.journal.write { transaction in
                    try transaction.unmatched(stack, AuditEvent())
                    try transaction.unmatched(stack, AuditEvent())
                }
            }
            #expect(twice?.isTemporary == false)
            // The text names the columns and not the values.
            #expect(twice.map { "\($0)" }?.contains("stack.key") == true)
            #expect(try node.openSeries() == series)
            for error in [JournalError.full(cause: ""), .failing(cause: "")] { #expect(error.isTemporary) }
            #expect(!JournalError.newerSchema(found: 9, known: 1).isTemporary)
            #expect(SpoolError.full(cause: "").isTemporary)
            #expect(!SpoolError.tooLarge(limit: 1).isTemporary)
        }
    }
}
