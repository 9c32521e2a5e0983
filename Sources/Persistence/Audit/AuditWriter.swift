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
        record.hash = record.computedHash()
        try db.cachedStatement(sql: insert)
            .execute(arguments: StatementArguments(AuditRecord.fields.map { $0.databaseValue(record) }))
        return JournalHead(number: record.number, hash: record.hash)
    }

    /// The number and the previous hash of the next record; begins a segment if the month has changed.
    private static func place(_ db: Database, _ time: Int64) throws -> (number: Int64, previousHash: String) {
        let segment = try Row.fetchOne(
            db.cachedStatement(
                sql: "SELECT id, month, firstNumber, previousHash FROM auditSegment ORDER BY id DESC LIMIT 1"))
        var number: Int64 = segment?["firstNumber"] ?? 1
        var previousHash: String = segment?["previousHash"] ?? AuditRecord.origin
        let head = try db.cachedStatement(sql: "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        if let last = try Row.fetchOne(head), last["number"] as Int64 >= number {
            number = last["number"] as Int64 + 1
            previousHash = last["hash"]
        }
        let month = CalendarHour(microseconds: time).month
        guard segment?["month"] != month else { return (number, previousHash) }
        if let id: Int64 = segment?["id"] {
            try db.cachedStatement(sql: "UPDATE auditSegment SET lastNumber = ?, head = ? WHERE id = ?")
                .execute(arguments: [number - 1, previousHash, id])
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
