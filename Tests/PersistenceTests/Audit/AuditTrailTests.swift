// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `The audit trail` {
    /// A trail of twelve records in which every field is used.
    private static func trail() throws -> (TestNode, AuditTrail) {
        let node = try TestNode()
        try node.fill(["1.1", "1.2"])
        let job = try node.close()
        var output = try node.derived("2.25.1")
        output.predecessors = ["2.25.0"]
        let delivery = try node.finish(job, [output])[0]
        try node.journal.write { transaction in
            try transaction.dead(
                delivery,
                AuditEvent(
                    by: AuditActor(aeTitle: "ORTHANC", address: "10.0.0.1", certificate: "CN=archive", user: "admin"),
                    how: AuditMethod(
                        route: "r", configurationHash: "aa", segmenter: "s", segmenterVersion: "1", weightsHash: "bb",
                        confidence: 0.5), reason: "status C000"))
            try transaction.nodeStopped(AuditEvent())
            try transaction.associationRejected(AuditEvent())
        }
        return (node, AuditTrail(journal: node.journal))
    }

    /// Changes the database without the program.
    private static func tamper(_ node: TestNode, _ sql: String...) throws {
        let queue = try DatabaseQueue(path: node.spool.databasePath)
        try queue.write { db in
            try db.execute(sql: "DROP TRIGGER IF EXISTS auditNoUpdate; DROP TRIGGER IF EXISTS auditNoDelete")
            for statement in sql { try db.execute(sql: statement) }
        }
    }

    @Test func `is whole as it was written, and its head proves its end`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            let found = try trail.verify()
            let status = try node.journal.status()
            #expect(found.isWhole && found.records == status.auditRecords && found.head == status.auditHead)
            #expect(try trail.verify(head: found.head).isWhole)
            try node.journal.write { try $0.nodeStopped(AuditEvent()) }
            #expect(try trail.verify(head: found.head).isWhole, "a head noted earlier stays provable")
        }
    }

    @Test func `names the first bad record for a change of any field`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            let columns = try DatabaseQueue(path: node.spool.databasePath).read { db in
                try db.columns(in: "audit").map { ($0.name, $0.type) }
            }
            #expect(columns.count == 26)
            let last = try trail.verify().records
            for (column, type) in columns where column != "number" {
                let queue = try DatabaseQueue(path: node.spool.databasePath)
                let row = try #require(
                    try queue.read { db in
                        try Row.fetchOne(
                            db, sql: "SELECT number, \(column) AS value FROM audit WHERE \(column) IS NOT NULL")
                    }, "no record uses \(column)")
                let (number, value): (Int64, DatabaseValue) = (row["number"], row["value"])
                let changes =
                    type == "TEXT"
                    ? [
                        "char(unicode(\(column)) + 1) || substr(\(column), 2)", "\(column) || ' '",
                        "substr(\(column), 1, length(\(column)) - 1)",
                    ] : ["\(column) + 1"]
                for change in changes {
                    try Self.tamper(node, "UPDATE audit SET \(column) = \(change) WHERE number = \(number)")
                    #expect(try trail.verify().problem?.number == number, "\(column) = \(change)")
                    try queue.write { db in
                        try db.execute(
                            sql: "UPDATE audit SET \(column) = ? WHERE number = ?", arguments: [value, number])
                    }
                }
                if !["format", "time", "event", "outcome", "previousHash", "hash"].contains(column) {
                    try Self.tamper(node, "UPDATE audit SET \(column) = NULL WHERE number = \(number)")
                    #expect(try trail.verify().problem?.number == number, "\(column) = NULL")
                    try queue.write { db in
                        try db.execute(
                            sql: "UPDATE audit SET \(column) = ? WHERE number = ?", arguments: [value, number])
                    }
                }
            }
            let restored = try trail.verify()
            #expect(restored.isWhole && restored.records == last)
        }
    }

    @Test func `names the first bad record when one is removed`() async throws {
        try await blocking {
            let last = try Self.trail().1.verify().records
            for number in 1..<last {
                let (node, trail) = try Self.trail()
                try Self.tamper(node, "DELETE FROM audit WHERE number = \(number)")
                #expect(try trail.verify().problem?.number == number)
            }
        }
    }

    @Test func `names the first of two that are swapped`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            try Self.tamper(
                node, "UPDATE audit SET number = -1 WHERE number = 4", "UPDATE audit SET number = 4 WHERE number = 7",
                "UPDATE audit SET number = 7 WHERE number = -1")
            #expect(try trail.verify().problem?.number == 4)
        }
    }

    @Test func `misses the last record only by its head`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            let whole = try trail.verify()
            try Self.tamper(node, "DELETE FROM audit WHERE number = \(whole.records)")
            #expect(try trail.verify().isWhole)
            #expect(try trail.verify(head: whole.head).problem?.number == whole.records)
        }
    }

    @Test func `sees a record whose hash was made to fit by the one after it`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            var record = try node.records()[2]
            record.outcome = "failure"
            try Self.tamper(
                node,
                "UPDATE audit SET outcome = 'failure', hash = '\(record.computedHash())' WHERE number = 3")
            #expect(try trail.verify().problem?.number == 4)
        }
    }

    @Test func `sees records before the first and after the last`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            try Self.tamper(node, "UPDATE audit SET number = 0 WHERE number = 3")
            #expect(try trail.verify().problem?.number == 3)
        }
    }

    @Test func `takes no update and no deletion`() async throws {
        try await blocking {
            let (node, _) = try Self.trail()
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            for sql in ["UPDATE audit SET reason = NULL", "DELETE FROM audit", "DELETE FROM auditSegment"] {
                let error = #expect(throws: DatabaseError.self) { try queue.write { try $0.execute(sql: sql) } }
                #expect(error?.message == "the audit trail is append-only")
            }
        }
    }

    @Test func `shows the newest records first and answers filters`() async throws {
        try await blocking {
            let (_, trail) = try Self.trail()
            let all = try trail.latest(1000)
            #expect(all.map(\.number) == (1...Int64(all.count)).reversed())
            #expect(try trail.latest(3) == Array(all.prefix(3)))
            #expect(try trail.latest(10, .init(event: .jobDone)).map(\.event) == ["jobDone"])
            #expect(try trail.latest(10, .init(study: "1.2")).allSatisfy { $0.study == "1.2" })
            #expect(try trail.latest(10, .init(job: JobID(rawValue: 1))).count == 4)
            #expect(try trail.latest(10, .init(until: Date(timeIntervalSince1970: 0))).isEmpty)
            #expect(try trail.latest(1000, .init(since: Date(timeIntervalSince1970: 0))) == all)
        }
    }

    @Test func `says nothing about the patient, and forgets who it was`() async throws {
        try await blocking {
            let (node, trail) = try Self.trail()
            let encoder = JSONEncoder()
            let text = try node.records().map { String(decoding: try encoder.encode($0), as: UTF8.self) }.joined()
            #expect(!text.contains("patient\""))
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            func subject() throws -> String? {
                try queue.read { try String.fetchOne($0, sql: "SELECT subject FROM studySubject") }
            }
            let hash = try #require(try subject())
            #expect(hash.count == 64)
            #expect(try node.journal.eraseSubject(study: "1.2", AuditEvent(by: .user("admin"))))
            #expect(try subject() == nil)
            for file in ["kontur.sqlite", "kontur.sqlite-wal"] {
                let bytes = FileManager.default.contents(atPath: node.path + "/" + file) ?? Data()
                #expect(bytes.range(of: Data(hash.utf8)) == nil, "the hash is still in \(file)")
            }
            #expect(try trail.latest(1).first?.event == "subjectErased" && trail.latest(1).first?.study == "1.2")
            #expect(try trail.verify().isWhole)
            #expect(try !node.journal.eraseSubject(study: "1.2", AuditEvent()))
        }
    }
}
