// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

/// Invariant 2.
@Suite struct `State and audit together` {
    /// Every arrow, with the steps that bring a node into the state from which it starts.
    private static let arrows:
        [(name: String, prepare: @Sendable (TestNode) throws -> (WriteTransaction) throws -> Void)] = [
            (
                "instancesIndexed",
                { node in
                    let id = try node.receive("1.9").id
                    return { _ = try $0.indexed([TestNode.indexed(id)], AuditEvent()) }
                }
            ),
            (
                "instanceOwn",
                { node in
                    let id = try node.receive("1.9").id
                    return { try $0.own(id, AuditEvent()) }
                }
            ),
            (
                "instanceNotAnImage",
                { node in
                    let id = try node.receive("1.9").id
                    return { try $0.notAnImage(id, AuditEvent()) }
                }
            ),
            (
                "seriesClosed",
                { node in
                    try node.fill(["1.1"])
                    let series = try node.openSeries()
                    return { try $0.closed(series, AuditEvent()) }
                }
            ),
            (
                "stackUnmatched",
                { node in
                    try node.fill(["1.1"])
                    let series = try node.openSeries()
                    return {
                        try $0.unmatched(
                            NewStack(series: series.id, revision: 1, key: "other", instances: []), AuditEvent())
                    }
                }
            ),
            (
                "jobQueued",
                { node in
                    try node.fill(["1.1"])
                    let job = try node.close()
                    let stack = try node.journal.read { try $0.job(job)?.stack }
                    return { transaction in
                        if let stack { _ = try transaction.queued(stack, kind: "k", payload: Data(), AuditEvent()) }
                    }
                }
            ),
            ("jobRunning", { node in { [job = try ready(node)] in try $0.running(job, run: "r", AuditEvent()) } }),
            (
                "jobDone",
                { node in
                    let (job, output) = (try started(node), try node.derived("2.25.1"))
                    return { try $0.done(job, JobResult(outputs: [output], outcome: "segmented"), AuditEvent()) }
                }
            ),
            (
                "jobQueuedAgain",
                { node in
                    { [job = try started(node)] in
                        try $0.queuedAgain(job, charged: true, AuditEvent())
                    }
                }
            ),
            (
                "jobRescued",
                { node in
                    _ = try started(node)
                    return { _ = try $0.rescued(AuditEvent()) }
                }
            ),
            ("jobDead", { node in { [job = try ready(node)] in try $0.dead(job, AuditEvent()) } }),
            ("stackUnfit", { node in { [job = try started(node)] in try $0.unfit(job, AuditEvent()) } }),
            ("deliverySent", { node in { [id = try pending(node)] in try $0.sent(id, status: 0, AuditEvent()) } }),
            (
                "deliveryPendingAgain",
                { node in
                    { [id = try pending(node)] in
                        try $0.pendingAgain(id, spent: .seconds(1), AuditEvent())
                    }
                }
            ),
            ("deliveryDead", { node in { [id = try pending(node)] in try $0.dead(id, AuditEvent()) } }),
            (
                "deliveryRevived",
                { node in
                    let id = try pending(node)
                    try node.journal.write { try $0.dead(id, AuditEvent()) }
                    return { try $0.revived(id, AuditEvent()) }
                }
            ),
            (
                "commitmentAsked",
                { node in
                    let id = try uncommitted(node)
                    return { view in
                        guard let peer = try view.uncommitted(id)?.peer else { return }
                        _ = try view.commitmentAsked("7.1", of: peer, [id], deadline: .zero, AuditEvent())
                    }
                }
            ),
            (
                "commitmentAnswered",
                { node in
                    { [id = try node.ask("7.1", about: pending(node))] in
                        try $0.commitmentAnswered(id, committed: 0, AuditEvent())
                    }
                }
            ),
            (
                "commitmentExpired",
                { node in
                    { [id = try node.ask("7.1", about: pending(node))] in
                        _ = try $0.commitmentExpired(id, AuditEvent())
                    }
                }
            ),
            ("deliveryCommitted", { node in { [id = try uncommitted(node)] in try $0.committed(id, AuditEvent()) } }),
            ("deliveryLost", { node in { [id = try uncommitted(node)] in try $0.lost(id, AuditEvent()) } }),
            ("deliveryDead", { node in { [id = try uncommitted(node)] in try $0.notCommitted(id, AuditEvent()) } }),
            ("commitmentWaived", { node in { [id = try uncommitted(node)] in try $0.waived(id, AuditEvent()) } }),
            (
                "commitmentReceived",
                { _ in
                    {
                        _ = try $0.commitmentReceived(
                            "8.1", from: "scope", [CommitmentItem(sopClassUID: "1.2", sopInstanceUID: "1.3")],
                            mostOpen: 1, dueAfter: .zero, giveUpAfter: .zero, AuditEvent())
                    }
                }
            ),
            (
                "commitmentReportAnswered",
                { node in
                    { [id = try node.receiveRequest("8.1", [("1.2", "1.3")])] in
                        try $0.commitmentReportAnswered(id, AuditEvent())
                    }
                }
            ),
            (
                "commitmentReported",
                { node in { [id = try answered(node)] in try $0.commitmentReported(id, AuditEvent()) } }
            ),
            (
                "commitmentReportDelayed",
                { node in
                    { [id = try answered(node)] in
                        try $0.commitmentReportDelayed(id, dueAfter: .zero, AuditEvent())
                    }
                }
            ),
            (
                "commitmentReportUndeliverable",
                { node in { [id = try answered(node)] in try $0.commitmentReportUndeliverable(id, AuditEvent()) } }
            ),
            (
                "jobRevived",
                { node in
                    let job = try ready(node)
                    try node.journal.write { try $0.dead(job, AuditEvent()) }
                    return { try $0.revived(job, AuditEvent()) }
                }
            ),
        ]

    private static func ready(_ node: TestNode) throws -> JobID {
        try node.fill(["1.1"])
        return try node.close()
    }

    private static func started(_ node: TestNode) throws -> JobID {
        let job = try ready(node)
        try node.journal.write { try $0.running(job, run: "run", AuditEvent()) }
        return job
    }

    private static func pending(_ node: TestNode) throws -> DeliveryID {
        try node.finish(ready(node), [node.derived("2.25.1")])[0]
    }

    private static func uncommitted(_ node: TestNode) throws -> DeliveryID {
        let id = try pending(node)
        try node.journal.write { try $0.sent(id, status: 0, commitBy: .seconds(1), AuditEvent()) }
        return id
    }

    private static func answered(_ node: TestNode) throws -> CommitmentReportID {
        let id = try node.receiveRequest("8.1", [("1.2", "1.3")])
        try node.journal.write { try $0.commitmentReportAnswered(id, AuditEvent()) }
        return id
    }

    @Test(arguments: arrows.indices)
    func `an arrow leaves its record, or neither it nor its state is there`(_ index: Int) async throws {
        try await blocking {
            let arrow = Self.arrows[index]
            let node = try TestNode()
            let take = try arrow.prepare(node)
            let (events, before) = (try node.events(), try Self.states(node))
            let queue = try DatabaseQueue(path: node.spool.databasePath)

            try queue.write { db in
                try db.execute(
                    sql: """
                        CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no record'); END
                        """)
            }
            #expect(throws: JournalError.self) { try node.journal.write(take) }
            #expect(try node.events() == events)
            #expect(try Self.states(node) == before)

            try queue.write { try $0.execute(sql: "DROP TRIGGER refuse") }
            try node.journal.write(take)
            #expect(try node.events() == events + [arrow.name])
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }

    @Test func `an instance is not acknowledged when its record cannot be written`() async throws {
        try await blocking {
            let node = try TestNode()
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            try queue.write { db in
                try db.execute(
                    sql: """
                        CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no record'); END
                        """)
            }
            #expect(throws: JournalError.self) { try node.receive("1.1") }
            #expect(try node.count(.received) == 0)
            #expect(node.files("instances").isEmpty)
        }
    }

    /// All rows that an arrow may change.
    private static func states(_ node: TestNode) throws -> [String] {
        let queue = try DatabaseQueue(path: node.spool.databasePath)
        return try queue.read { db in
            try [
                "instance", "series", "stack", "job", "delivery", "derivedInstance", "studySubject",
                "commitmentRequest", "commitmentReference", "commitmentReport", "commitmentReportItem",
            ].flatMap { table in
                try Row.fetchAll(db, sql: "SELECT * FROM \(table)").map { "\(table) \($0)" }
            }
        }
    }
}
