// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `Segments of the audit trail` {
    private static func trail() throws -> (TestNode, AuditTrail, WallClock) {
        let clock = WallClock()
        let node = try TestNode(pageSize: 2, now: { clock.now })
        for days in [0, 31, 31.0] {
            clock.jump(days: days)
            for _ in 0..<3 { try node.journal.write { try $0.nodeStopped(AuditEvent()) } }
        }
        return (node, AuditTrail(journal: node.journal), clock)
    }

    @Test func `are months, each starting from the head of the one before`() async throws {
        try await blocking {
            let (_, trail, _) = try Self.trail()
            let segments = try trail.segments()
            #expect(segments.map(\.month) == ["2026-01", "2026-02", "2026-03"])
            #expect(segments.map(\.firstNumber) == [1, 4, 7])
            #expect(segments.map(\.lastNumber) == [3, 6, nil])
            #expect(segments[0].previousHash == AuditRecord.origin)
            #expect(segments[1].previousHash == segments[0].head)
            #expect(segments[2].previousHash == segments[1].head)
            #expect(try trail.verify().records == 9)
        }
    }

    @Test func `bear a clock that jumps by a year in both directions`() async throws {
        try await blocking {
            let (node, trail, clock) = try Self.trail()
            for days in [365.0, -730, 365] {
                clock.jump(days: days)
                try node.journal.write { try $0.nodeStopped(AuditEvent()) }
            }
            #expect(try trail.segments().map(\.month).count == 6)
            #expect(try trail.verify().isWhole)
        }
    }

    @Test func `are exported as lines that prove themselves`() async throws {
        try await blocking {
            let (_, trail, _) = try Self.trail()
            var lines: [Data] = []
            let end = try trail.export(by: .user("auditor")) { lines.append($0) }
            #expect(lines.count == 10 && end.records == 9)
            #expect(try AuditTrail.verify(export: lines, head: end.head).isWhole)
            for number in 0..<9 {
                var cut = lines
                cut.remove(at: number)
                #expect(try !AuditTrail.verify(export: cut).isWhole, "without line \(number)")
            }
            #expect(try !AuditTrail.verify(export: lines.dropLast()).isWhole)
            let altered = lines.map {
                Data(String(decoding: $0, as: UTF8.self).replacing("nodeStopped", with: "nodeStarted").utf8)
            }
            #expect(try AuditTrail.verify(export: altered).problem?.number == 1)
            #expect(try trail.latest(1)[0].event == "auditExported")
            #expect(try trail.verify().isWhole)
        }
    }

    @Test func `are dropped only when closed and exported, and the rest stays provable`() async throws {
        try await blocking {
            let (_, trail, _) = try Self.trail()
            let head = try trail.verify().head
            #expect(throws: AuditTrailError.notExported(month: "2026-01")) {
                try trail.drop(segment: 1, by: .user("admin"))
            }
            let first = try #require(try trail.segments().first?.head)
            try trail.export(segment: 1, by: .user("admin")) { _ in }
            #expect(try trail.drop(segment: 1, by: .user("admin")) == 3)
            #expect(try trail.latest(10_000).last?.number == 4)
            #expect(try trail.latest(1)[0].event == "auditSegmentDropped")
            let records = try trail.latest(1)[0].number
            try trail.drop(segment: 1, by: .user("admin"))
            #expect(try trail.latest(1)[0].number == records, "a segment is dropped once")
            #expect(try trail.verify(head: head).isWhole)
            #expect(try trail.verify(head: first).isWhole, "the head of a dropped segment is known")
            #expect(throws: AuditTrailError.growing(month: "2026-03")) {
                try trail.drop(segment: 3, by: .user("admin"))
            }
            #expect(throws: AuditTrailError.unknownSegment) { try trail.drop(segment: 9, by: .user("admin")) }
        }
    }

    @Test func `are dropped from the oldest on`() async throws {
        try await blocking {
            let (_, trail, _) = try Self.trail()
            try trail.export(by: .user("admin")) { _ in }
            #expect(throws: AuditTrailError.notOldest(month: "2026-02", oldest: "2026-01")) {
                try trail.drop(segment: 2, by: .user("admin"))
            }
            try trail.drop(segment: 1, by: .user("admin"))
            try trail.drop(segment: 2, by: .user("admin"))
            #expect(try trail.verify().isWhole)
            #expect(try trail.segments().map(\.isDropped) == [true, true, false])
        }
    }

    @Test func `count as exported only if every line was written and made durable`() async throws {
        try await blocking {
            let (_, trail, _) = try Self.trail()
            #expect(throws: CancellationError.self) {
                try trail.export(segment: 1, by: .user("admin")) { _ in throw CancellationError() }
            }
            #expect(try !trail.segments()[0].isExported)
            #expect(throws: CancellationError.self) {
                try trail.export(segment: 1, by: .user("admin")) { _ in
                } finish: {
                    throw CancellationError()
                }
            }
            #expect(try !trail.segments()[0].isExported)
            #expect(try !trail.latest(100).contains { $0.event == "auditExported" })
        }
    }

    @Test func `are checked themselves`() async throws {
        try await blocking {
            for (sql, number) in [
                ("UPDATE auditSegment SET month = '2025-01' WHERE id = 2", 4),
                ("UPDATE auditSegment SET previousHash = 'x' WHERE id = 3", 7),
                ("UPDATE auditSegment SET head = 'x' WHERE id = 1", 3),
                ("UPDATE auditSegment SET firstNumber = 5 WHERE id = 2", 4),
                ("UPDATE auditSegment SET lastNumber = 2 WHERE id = 1", 2),
            ] {
                let (node, trail, _) = try Self.trail()
                let queue = try DatabaseQueue(path: node.spool.databasePath)
                try queue.write { try $0.execute(sql: sql) }
                #expect(try trail.verify().problem?.number == Int64(number), "\(sql)")
            }
        }
    }
}
