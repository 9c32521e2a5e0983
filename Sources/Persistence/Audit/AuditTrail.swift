// SPDX-License-Identifier: Apache-2.0
//
// The trail as it is read: shown, verified, exported, and its old segments dropped. Records are written by the arrows
// of `WriteTransaction` alone.

public import Foundation
import GRDB

/// Reads the audit trail.
///
/// The chain is not signed: it shows that no record was changed, removed or put in since somebody noted the head, not
/// who wrote it. Whoever can write the database can make another whole chain; only a head noted elsewhere tells.
public struct AuditTrail: Sendable {
    private let journal: Journal
    private static let page = 500

    public init(journal: Journal) { self.journal = journal }

    // MARK: - Showing

    /// Which records to show; everything that is given must hold.
    public struct Filter: Sendable, Equatable {
        public var study: String?
        public var event: AuditEvent.Name?
        public var job: JobID?
        public var since: Date?
        public var until: Date?

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

    /// A page of records in their order.
    public func records(after: Int64 = 0, limit: Int = 100, _ filter: Filter = Filter()) throws -> [AuditRecord] {
        let condition = filter.condition
        return try journal.read { view in
            try view.rows(
                "SELECT * FROM audit WHERE number > ?" + condition.sql + " ORDER BY number LIMIT ?",
                [after] + condition.arguments + [limit]
            ).map(AuditRecord.init)
        }
    }

    /// The newest records, in their order.
    public func latest(_ count: Int, _ filter: Filter = Filter()) throws -> [AuditRecord] {
        let condition = filter.condition
        return try journal.read { view in
            try view.rows(
                "SELECT * FROM audit WHERE number > 0" + condition.sql + " ORDER BY number DESC LIMIT ?",
                condition.arguments + [count]
            ).map(AuditRecord.init).reversed()
        }
    }

    // MARK: - Segments

    /// A month of the trail.
    public struct Segment: Sendable, Equatable, Codable {
        public let id: Int64
        /// yyyy-mm, in UTC.
        public let month: String
        public let firstNumber: Int64
        /// The head of the segment before.
        public let previousHash: String
        /// `nil` while the segment grows.
        public let lastNumber: Int64?
        public let head: String?
        public let isExported: Bool
        public let isDropped: Bool
    }

    /// The segments in their order, dropped ones included.
    public func segments() throws -> [Segment] {
        try journal.read(Self.segments)
    }

    private static func segments(_ view: ReadTransaction) throws -> [Segment] {
        try view.rows("SELECT * FROM auditSegment ORDER BY id").map { row in
            Segment(
                id: row.number("id") ?? 0, month: row.text("month") ?? "",
                firstNumber: row.number("firstNumber") ?? 0,
                previousHash: row.text("previousHash") ?? "", lastNumber: row.number("lastNumber"),
                head: row.text("head"), isExported: row.number("exportedAt") != nil,
                isDropped: row.number("droppedAt") != nil)
        }
    }

    /// Deletes the records of a closed segment that was exported. The chain stays provable from its head on.
    public func drop(segment id: Int64, by actor: AuditActor) throws {
        guard let segment = try segments().first(where: { $0.id == id }) else {
            throw StateError.unknown("audit segment", id)
        }
        guard let last = segment.lastNumber, segment.isExported else {
            throw StateError.wrongState(
                "audit segment", id, found: segment.isExported ? "still growing" : "not exported")
        }
        try journal.write { transaction in
            try transaction.execute(
                "UPDATE auditSegment SET droppedAt = ? WHERE id = ? AND droppedAt IS NULL", [transaction.now, id])
            try transaction.record(
                .auditSegmentDropped, AuditEvent(by: actor, reason: segment.month),
                AuditSubject(count: last - segment.firstNumber + 1))
        }
        var from = segment.firstNumber
        while from <= last {
            let upTo = min(from + Int64(Self.page) - 1, last)
            try journal.write { try $0.execute("DELETE FROM audit WHERE number BETWEEN ? AND ?", [from, upTo]) }
            from = upTo + 1
        }
    }

    // MARK: - Verifying

    /// Recomputes the chain.
    ///
    /// - Parameter head: a head noted earlier. It must be the hash of a record, else the end of the trail is missing.
    public func verify(head: String? = nil) throws -> AuditVerification {
        // What is written meanwhile is not looked at.
        let (all, newest): ([Segment], Int64) = try journal.read { view in
            (try Self.segments(view), try view.row("SELECT max(number) AS number FROM audit")?.number("number") ?? 0)
        }
        var chain = AuditChain(next: 1, head: AuditRecord.origin, wanted: head)
        func result(_ problem: AuditProblem?) -> AuditVerification {
            AuditVerification(records: chain.records, head: chain.head, problem: problem)
        }
        let dropped = all.prefix { $0.isDropped }
        if let last = dropped.last {
            chain = AuditChain(next: (last.lastNumber ?? 0) + 1, head: last.head ?? "", wanted: head)
            for segment in dropped { chain.skipped(segment.head ?? "") }
        }
        for (index, segment) in all.enumerated().dropFirst(dropped.count) {
            guard segment.firstNumber == chain.next, segment.previousHash == chain.head, !segment.isDropped else {
                return result(
                    AuditProblem(number: chain.next, what: "segment \(segment.month) does not follow the one before it")
                )
            }
            let isLast = index == all.count - 1
            guard isLast == (segment.lastNumber == nil) else {
                return result(AuditProblem(number: chain.next, what: "segment \(segment.month) has a wrong end"))
            }
            if let problem = try follow(segment, upTo: newest, &chain) { return result(problem) }
        }
        if let stray = try records(after: chain.next - 1, limit: 1).first, stray.number <= newest {
            return result(AuditProblem(number: stray.number, what: "it is in no segment"))
        }
        return result(chain.ended())
    }

    private func follow(_ segment: Segment, upTo newest: Int64, _ chain: inout AuditChain) throws -> AuditProblem? {
        let last = segment.lastNumber ?? newest
        while chain.next <= last {
            let page = try records(after: chain.next - 1, limit: Self.page)
            for record in page where record.number <= last {
                if let problem = chain.check(record) { return problem }
                guard AuditWriter.month(record.time) == segment.month else {
                    return AuditProblem(number: record.number, what: "it is in the segment of another month")
                }
            }
            guard page.count == Self.page else { break }
        }
        guard let end = segment.lastNumber else { return nil }
        guard chain.next == end + 1 else { return AuditProblem(number: chain.next, what: "it is missing") }
        guard chain.head == segment.head else {
            return AuditProblem(number: end, what: "the head of segment \(segment.month) is another")
        }
        return nil
    }

    // MARK: - Exporting

    /// The last line of an export.
    public struct ExportEnd: Sendable, Equatable, Codable {
        /// What the first record names as the one before.
        public var previousHash: String
        /// The hash of the last record.
        public var head: String
        public var records: Int64
    }

    /// Writes records as JSON lines, one a record, and an ``ExportEnd`` as the last; then records that it did.
    ///
    /// - Parameters:
    ///   - segment: one segment, or `nil` for all that is there.
    ///   - write: takes one line, without its end.
    /// - Throws: ``AuditTrailError/broken(_:)`` before a record that does not fit.
    @discardableResult
    public func export(
        segment: Int64? = nil, by actor: AuditActor, _ write: (Data) throws -> Void
    ) throws -> ExportEnd {
        let chosen = try segments().filter { !$0.isDropped && (segment == nil || $0.id == segment) }
        guard let first = chosen.first else { throw StateError.unknown("audit segment", segment ?? 0) }
        let upTo = try chosen.last?.lastNumber ?? latest(1).last?.number ?? 0
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var chain = AuditChain(next: first.firstNumber, head: first.previousHash, wanted: nil)
        while chain.next <= upTo {
            let page = try records(after: chain.next - 1, limit: Self.page).filter { $0.number <= upTo }
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

    /// Verifies an export on its own, without the node that made it.
    ///
    /// - Parameter lines: the lines in their order.
    public static func verify(export lines: some Sequence<Data>, head: String? = nil) throws -> AuditVerification {
        let decoder = JSONDecoder()
        var chain: AuditChain?
        var end: ExportEnd?
        func result(_ problem: AuditProblem?) -> AuditVerification {
            AuditVerification(records: chain?.records ?? 0, head: chain?.head ?? AuditRecord.origin, problem: problem)
        }
        for line in lines where !line.isEmpty {
            let next = chain?.next ?? 1
            if end != nil { return result(AuditProblem(number: next, what: "a line follows the last")) }
            guard let record = try? decoder.decode(AuditRecord.self, from: line) else {
                end = try? decoder.decode(ExportEnd.self, from: line)
                if end == nil { return result(AuditProblem(number: next, what: "its line cannot be read")) }
                continue
            }
            if chain == nil { chain = AuditChain(next: record.number, head: record.previousHash, wanted: head) }
            if let problem = chain?.check(record) { return result(problem) }
        }
        guard let end else {
            return result(AuditProblem(number: chain?.next ?? 1, what: "the export has no last line: it was cut off"))
        }
        guard end.head == chain?.head ?? end.head, end.records == chain?.records ?? 0 else {
            return result(AuditProblem(number: chain?.next ?? 1, what: "the last line tells of other records"))
        }
        return result(chain?.ended())
    }
}

/// What ends an export.
public enum AuditTrailError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The chain does not hold.
    case broken(AuditProblem)

    public var description: String {
        switch self {
        case .broken(let problem): "the audit trail is broken: \(problem): run `kontur audit verify`"
        }
    }
}

extension Row {
    /// The column's integer; `nil` too when a tampered file holds something else.
    func number(_ column: String) -> Int64? { Int64.fromDatabaseValue(self[column] as DatabaseValue) }
    /// The column's text; `nil` too when a tampered file holds something else.
    func text(_ column: String) -> String? { String.fromDatabaseValue(self[column] as DatabaseValue) }
}
