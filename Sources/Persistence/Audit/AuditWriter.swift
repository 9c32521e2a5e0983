// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// The rows that an event is about; the arrow fills this in from the rows that it changes.
struct AuditSubject {
    var study: String?
    var series: String?
    var revision: Int64?
    var job: Int64?
    var instancesIn: [String] = []
    var instancesOut: [String] = []
    var predecessors: [String] = []
    var count: Int64?
    var route: String?
    var segmenter: String?
    var configurationHash: String?
}

/// Appends records to the chain, inside a transaction that holds the write lock.
enum AuditWriter {
    private static let insert =
        "INSERT INTO audit (" + AuditRecord.fields.map(\.name).joined(separator: ", ") + ") VALUES ("
        + AuditRecord.fields.map { _ in "?" }.joined(separator: ", ") + ")"

    /// The newest segment and the newest record; either may be missing.
    private static let newest = """
        SELECT s.id, s.month, s.firstNumber, s.previousHash, a.number, a.hash FROM (SELECT 1)
        LEFT JOIN auditSegment s ON s.id = (SELECT max(id) FROM auditSegment)
        LEFT JOIN audit a ON a.number = (SELECT max(number) FROM audit)
        """

    /// Appends one record.
    ///
    /// - Parameters:
    ///   - db: a connection inside an immediate transaction.
    ///   - name: the event.
    ///   - event: the caller's part of the record.
    ///   - subject: the arrow's part of the record; the event's route, segmenter and configuration take precedence.
    ///   - time: microseconds since 1970; decides the segment.
    /// - Returns: the number and the hash of the record.
    /// - Throws: the errors of the database.
    static func write(
        _ db: Database, _ name: AuditEvent.Name, _ event: AuditEvent, _ subject: AuditSubject, time: Int64
    ) throws -> JournalHead {
        var record = AuditRecord()
        (record.number, record.previousHash) = try place(db, time)
        record.format = AuditRecord.currentFormat
        record.time = time
        record.event = name.rawValue
        record.aeTitle = event.by.aeTitle
        record.address = event.by.address
        record.certificate = event.by.certificate
        record.user = event.by.user
        record.study = subject.study.map(uid)
        record.series = subject.series.map(uid)
        record.revision = subject.revision
        record.job = subject.job
        record.instancesIn = joined(subject.instancesIn)
        record.instancesOut = joined(subject.instancesOut)
        record.predecessors = joined(subject.predecessors)
        record.count = subject.count
        record.route = event.how.route ?? subject.route
        record.configurationHash = event.how.configurationHash ?? subject.configurationHash
        record.segmenter = event.how.segmenter ?? subject.segmenter
        record.segmenterVersion = event.how.segmenterVersion
        record.weightsHash = event.how.weightsHash
        record.confidence = event.how.confidence
        record.outcome = name.outcome
        record.reason = event.reason
        // Typed, because Swift would prefer an initializer that casts each value.
        let values: StatementArguments = StatementArguments(record.sealed())
        try db.cachedStatement(sql: insert).execute(arguments: values)
        return JournalHead(number: record.number, hash: record.hash)
    }

    /// The number and the previous hash of the next record; begins a segment if the month has changed.
    private static func place(_ db: Database, _ time: Int64) throws -> (number: Int64, previousHash: String) {
        let newest = try Row.fetchOne(db.cachedStatement(sql: newest))
        let segment: Int64? = newest?["id"]
        var number: Int64 = newest?["firstNumber"] ?? 1
        var previousHash: String = newest?["previousHash"] ?? AuditRecord.origin
        if let last: Int64 = newest?["number"], last >= number {
            number = last + 1
            previousHash = newest?["hash"] ?? AuditRecord.origin
        }
        let month = CalendarHour(microseconds: time).month
        guard newest?["month"] != month else { return (number, previousHash) }
        if let segment {
            try db.cachedStatement(sql: "UPDATE auditSegment SET lastNumber = ?, head = ? WHERE id = ?")
                .execute(arguments: [number - 1, previousHash, segment])
        }
        try db.cachedStatement(sql: "INSERT INTO auditSegment (month, firstNumber, previousHash) VALUES (?, ?, ?)")
            .execute(arguments: [month, number, previousHash])
        return (number, previousHash)
    }

    private static func joined(_ uids: [String]) -> String? {
        uids.isEmpty ? nil : uids.map(uid).joined(separator: " ")
    }

    /// The UID with every byte that is not a digit or a dot replaced by `?`.
    ///
    /// A peer chooses this text. A space in it would split the list, and it must not carry a name into the trail.
    static func uid(_ text: String) -> String {
        let isDigitOrDot = { (byte: UInt8) in (48...57).contains(byte) || byte == 46 }
        if text.utf8.allSatisfy(isDigitOrDot) { return text }
        return String(decoding: text.utf8.map { isDigitOrDot($0) ? $0 : 63 }, as: UTF8.self)
    }
}

extension WriteTransaction {
    /// Appends the record of an arrow to the trail.
    func record(_ name: AuditEvent.Name, _ event: AuditEvent, _ subject: AuditSubject = AuditSubject()) throws {
        lastRecord = try AuditWriter.write(db, name, event, subject, time: now)
    }
}
