// SPDX-License-Identifier: Apache-2.0
//
// Shows, exports and drops the audit trail. Only the arrows of `WriteTransaction` write records.

public import Foundation
import GRDB

/// The audit trail of one journal, for reading.
///
/// The chain is not signed. It shows that records fit together, but it does not show who wrote them. A person who can
/// write to the database can compute a new chain. Only a head that was noted elsewhere reveals a new chain.
public struct AuditTrail: Sendable {
    let journal: Journal

    /// Reads the trail in `journal`.
    public init(journal: Journal) { self.journal = journal }

    // MARK: - Showing

    /// Conditions for records; a record has to meet all that are given.
    public struct Filter: Sendable, Equatable {
        /// Study Instance UID.
        public var study: String?
        /// The event.
        public var event: AuditEvent.Name?
        /// The job.
        public var job: JobID?
        /// The earliest time.
        public var since: Date?
        /// The time before which a record was written.
        public var until: Date?

        /// Makes a filter; without arguments every record meets it.
        public init(
            study: String? = nil, event: AuditEvent.Name? = nil, job: JobID? = nil, since: Date? = nil,
            until: Date? = nil
        ) {
            self.study = study
            self.event = event
            self.job = job
            self.since = since
            self.until = until
        }

        /// SQL that follows a WHERE clause, and its arguments.
        var condition: (sql: String, arguments: StatementArguments) {
            var sql = ""
            var arguments = StatementArguments()
            func add(_ part: String, _ value: (any DatabaseValueConvertible)?) {
                guard let value else { return }
                sql += " AND " + part
                arguments += [value]
            }
            add("study = ?", study)
            add("event = ?", event?.rawValue)
            add("job = ?", job?.rawValue)
            add("time >= ?", since?.microseconds)
            add("time < ?", until?.microseconds)
            return (sql, arguments)
        }
    }

    /// The newest records that meet the filter, newest first, at most `count`.
    public func latest(_ count: Int, _ filter: Filter = Filter()) throws -> [AuditRecord] {
        let condition = filter.condition
        return try journal.read { view in
            try view.rows(
                "SELECT * FROM audit WHERE number > 0" + condition.sql + " ORDER BY number DESC LIMIT ?",
                condition.arguments + [count]
            ).map(AuditRecord.init)
        }
    }

    /// The next page of records in the order of their numbers; an empty page is the end.
    func page(after number: Int64) throws -> [AuditRecord] {
        try journal.read { view in
            try view.rows(
                "SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", [number, view.pageSize]
            ).map(AuditRecord.init)
        }
    }

    // MARK: - Segments

    /// A month of the trail.
    public struct Segment: Sendable, Equatable, Codable {
        /// Row of the segment; grows in the order of the trail.
        public let id: Int64
        /// yyyy-mm, in UTC.
        ///
        /// Two segments have the same month if the clock jumped out of the month and back.
        public let month: String
        /// Number of its first record.
        public let firstNumber: Int64
        /// Hash of the last record of the segment before, or ``AuditRecord/origin``.
        public let previousHash: String
        /// Number of its last record; `nil` while the segment grows.
        public let lastNumber: Int64?
        /// Hash of its last record; `nil` while the segment grows.
        public let head: String?
        /// Whether the whole segment was exported.
        public let isExported: Bool
        /// Whether its records were deleted.
        public let isDropped: Bool
    }

    /// All segments in their order, dropped ones included.
    public func segments() throws -> [Segment] {
        try journal.read(Self.segments)
    }

    static func segments(_ view: ReadTransaction) throws -> [Segment] {
        try view.rows("SELECT * FROM auditSegment ORDER BY id").map { row in
            Segment(
                id: row.number("id") ?? 0, month: row.text("month") ?? "",
                firstNumber: row.number("firstNumber") ?? 0,
                previousHash: row.text("previousHash") ?? "", lastNumber: row.number("lastNumber"),
                head: row.text("head"), isExported: row.number("exportedAt") != nil,
                isDropped: row.number("droppedAt") != nil)
        }
    }

    /// Deletes the records of the oldest segment, if it is closed and was exported.
    ///
    /// The rest of the chain stays provable, because the row of the segment keeps its head. A call for a segment that
    /// is already dropped finishes a deletion that was cut off.
    ///
    /// - Parameters:
    ///   - id: the segment.
    ///   - actor: the operator.
    /// - Returns: the number of records that the segment had.
    /// - Throws: ``AuditTrailError`` if the segment must stay.
    @discardableResult
    public func drop(segment id: Int64, by actor: AuditActor) throws -> Int64 {
        let all = try segments()
        guard let segment = all.first(where: { $0.id == id }) else { throw AuditTrailError.unknownSegment }
        guard let last = segment.lastNumber else { throw AuditTrailError.growing(month: segment.month) }
        guard segment.isExported else { throw AuditTrailError.notExported(month: segment.month) }
        let count = last - segment.firstNumber + 1
        if !segment.isDropped {
            if let oldest = all.first(where: { !$0.isDropped }), oldest.id != id {
                throw AuditTrailError.notOldest(month: segment.month, oldest: oldest.month)
            }
            try journal.write { transaction in
                let changes = try transaction.changes(
                    "UPDATE auditSegment SET droppedAt = ? WHERE id = ? AND droppedAt IS NULL", [transaction.now, id])
                guard changes == 1 else { return }
                try transaction.record(
                    .auditSegmentDropped, AuditEvent(by: actor, reason: segment.month), AuditSubject(count: count))
            }
        }
        try deleteRecords(segment.firstNumber, last)
        return count
    }

    /// Deletes records in short transactions; a trigger refuses a record whose segment is not dropped.
    private func deleteRecords(_ first: Int64, _ last: Int64) throws {
        while true {
            let deleted = try journal.write { transaction in
                try transaction.changes(
                    """
                    DELETE FROM audit WHERE number IN (
                        SELECT number FROM audit WHERE number BETWEEN ? AND ? ORDER BY number LIMIT ?)
                    """, [first, last, transaction.pageSize])
            }
            if deleted == 0 { return }
        }
    }

    // MARK: - Exporting

    /// The last line of an export.
    public struct ExportEnd: Sendable, Equatable, Codable {
        /// The `previousHash` of the first exported record.
        public var previousHash: String
        /// Hash of the last exported record.
        public var head: String
        /// Number of exported records.
        public var records: Int64
    }

    /// Writes one JSON line per record and an ``ExportEnd`` as the last line, then records the export in the trail.
    ///
    /// - Parameters:
    ///   - segment: one segment, or `nil` for every segment that is not dropped.
    ///   - actor: the operator.
    ///   - write: takes one line without its line end.
    ///   - finish: makes the lines durable after the last one. The segments count as exported only if it does not
    ///     throw.
    /// - Returns: the last line.
    /// - Throws: ``AuditTrailError/broken(_:)`` before a record that does not fit, and the errors of `write` and
    ///   `finish`.
    @discardableResult
    public func export(
        segment: Int64? = nil, by actor: AuditActor, _ write: (Data) throws -> Void,
        finish: () throws -> Void = {}
    ) throws -> ExportEnd {
        let chosen = try segments().filter { !$0.isDropped && (segment == nil || $0.id == segment) }
        guard let first = chosen.first else { throw AuditTrailError.unknownSegment }
        let upTo = try chosen.last?.lastNumber ?? latest(1).first?.number ?? 0
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var chain = AuditChain(next: first.firstNumber, head: first.previousHash, wanted: nil)
        while chain.next <= upTo {
            let page = try page(after: chain.next - 1).filter { $0.number <= upTo }
            guard !page.isEmpty else {
                throw AuditTrailError.broken(AuditProblem(number: chain.next, what: "it is missing"))
            }
            for record in page {
                if let problem = chain.check(record) { throw AuditTrailError.broken(problem) }
                try write(encoder.encode(record))
            }
        }
        let end = ExportEnd(previousHash: first.previousHash, head: chain.head, records: chain.records)
        try write(encoder.encode(end))
        try finish()
        try journal.write { transaction in
            for closed in chosen where closed.lastNumber != nil {
                try transaction.execute(
                    "UPDATE auditSegment SET exportedAt = ? WHERE id = ?", [transaction.now, closed.id])
            }
            try transaction.record(
                .auditExported, AuditEvent(by: actor, reason: "head \(end.head)"), AuditSubject(count: end.records))
        }
        return end
    }
}

/// The reason why a trail was not exported, or a segment not dropped.
public enum AuditTrailError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A record does not fit into the chain.
    case broken(AuditProblem)
    /// The trail does not have the segment, or the segment was dropped.
    case unknownSegment
    /// The segment is the newest one.
    case growing(month: String)
    /// The whole segment has not been exported.
    case notExported(month: String)
    /// An older segment is still in the trail.
    case notOldest(month: String, oldest: String)

    public var description: String {
        switch self {
        case .broken(let problem): "the audit trail is broken at \(problem); run 'kontur audit verify'"
        case .unknownSegment: "the audit trail does not have this segment"
        case .growing(let month): "the segment \(month) still grows; wait until the next month begins"
        case .notExported(let month): "the segment \(month) was not exported; run 'kontur audit export' first"
        case .notOldest(let month, let oldest):
            "the segment \(month) follows \(oldest), which is still in the trail; drop \(oldest) first"
        }
    }
}

extension Row {
    /// The column's integer; `nil` if a tampered file holds something else.
    func number(_ column: String) -> Int64? { Int64.fromDatabaseValue(self[column] as DatabaseValue) }
    /// The column's text; `nil` if a tampered file holds something else.
    func text(_ column: String) -> String? { String.fromDatabaseValue(self[column] as DatabaseValue) }
}
