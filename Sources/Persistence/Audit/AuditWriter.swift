// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// What an event was about: filled by the arrow from the rows that it touches.
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

/// Writes records at the head of the chain, inside a transaction that holds the write lock.
enum AuditWriter {
    private static let head = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
    private static let insert = """
        INSERT INTO audit (number, format, time, event, aeTitle, address, certificate, user, study, series, revision,
            job, instancesIn, instancesOut, predecessors, count, route, configurationHash, segmenter, segmenterVersion,
            weightsHash, confidence, outcome, reason, previousHash, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """

    static func write(
        _ db: Database, _ name: AuditEvent.Name, _ event: AuditEvent, _ subject: AuditSubject, outcome: String,
        time: Int64
    ) throws {
        let month = Self.month(time)
        let segment = try Row.fetchOne(
            db.cachedStatement(
                sql: "SELECT id, month, firstNumber, previousHash FROM auditSegment ORDER BY id DESC LIMIT 1"))
        var number: Int64 = segment?["firstNumber"] ?? 1
        var previousHash: String = segment?["previousHash"] ?? AuditRecord.origin
        if let last = try Row.fetchOne(db.cachedStatement(sql: head)), last["number"] as Int64 >= number {
            number = last["number"] as Int64 + 1
            previousHash = last["hash"]
        }
        if segment?["month"] != month {
            if let id: Int64 = segment?["id"] {
                try db.cachedStatement(sql: "UPDATE auditSegment SET lastNumber = ?, head = ? WHERE id = ?")
                    .execute(arguments: [number - 1, previousHash, id])
            }
            try db.cachedStatement(
                sql: "INSERT INTO auditSegment (month, firstNumber, previousHash) VALUES (?, ?, ?)"
            ).execute(arguments: [month, number, previousHash])
        }
        var record = AuditRecord(
            number: number, format: AuditRecord.currentFormat, time: time, event: name.rawValue,
            aeTitle: event.by.aeTitle, address: event.by.address, certificate: event.by.certificate,
            user: event.by.user, study: subject.study.map(uid), series: subject.series.map(uid),
            revision: subject.revision,
            job: subject.job, instancesIn: joined(subject.instancesIn), instancesOut: joined(subject.instancesOut),
            predecessors: joined(subject.predecessors), count: subject.count,
            route: event.how.route ?? subject.route,
            configurationHash: event.how.configurationHash ?? subject.configurationHash,
            segmenter: event.how.segmenter ?? subject.segmenter, segmenterVersion: event.how.segmenterVersion,
            weightsHash: event.how.weightsHash, confidence: event.how.confidence, outcome: outcome,
            reason: event.reason, previousHash: previousHash, hash: "")
        record.hash = record.computedHash()
        try db.cachedStatement(sql: insert).execute(arguments: record.columns)
    }

    private static func joined(_ uids: [String]) -> String? {
        uids.isEmpty ? nil : uids.map(uid).joined(separator: " ")
    }

    /// A UID as a peer sent it, without what no UID holds: a space would split it, a name has no place here.
    private static func uid(_ text: String) -> String {
        let isDigitOrDot = { (byte: UInt8) in (48...57).contains(byte) || byte == 46 }
        if text.utf8.allSatisfy(isDigitOrDot) { return text }
        return String(decoding: text.utf8.map { isDigitOrDot($0) ? $0 : 63 }, as: UTF8.self)
    }

    /// yyyy-mm of a time in microseconds, in UTC.
    static func month(_ time: Int64) -> String {
        CalendarHour(Date(timeIntervalSince1970: Double(time / 1_000_000))).month
    }
}

extension AuditRecord {
    /// In the order of the table's columns.
    var columns: StatementArguments {
        [
            number, format, time, event, aeTitle, address, certificate, user, study, series, revision, job,
            instancesIn, instancesOut, predecessors, count, route, configurationHash, segmenter, segmenterVersion,
            weightsHash, confidence, outcome, reason, previousHash, hash,
        ]
    }

    init(row: Row) {
        self.init(
            number: row.number("number") ?? 0, format: Int(row.number("format") ?? 0), time: row.number("time") ?? 0,
            event: row.text("event") ?? "", aeTitle: row.text("aeTitle"), address: row.text("address"),
            certificate: row.text("certificate"), user: row.text("user"), study: row.text("study"),
            series: row.text("series"), revision: row.number("revision"), job: row.number("job"),
            instancesIn: row.text("instancesIn"), instancesOut: row.text("instancesOut"),
            predecessors: row.text("predecessors"), count: row.number("count"), route: row.text("route"),
            configurationHash: row.text("configurationHash"), segmenter: row.text("segmenter"),
            segmenterVersion: row.text("segmenterVersion"), weightsHash: row.text("weightsHash"),
            confidence: Double.fromDatabaseValue(row["confidence"] as DatabaseValue),
            outcome: row.text("outcome") ?? "", reason: row.text("reason"),
            previousHash: row.text("previousHash") ?? "", hash: row.text("hash") ?? "")
    }
}

extension WriteTransaction {
    /// Adds the record of an arrow.
    func record(_ name: AuditEvent.Name, _ event: AuditEvent, _ subject: AuditSubject) throws {
        try AuditWriter.write(db, name, event, subject, outcome: name.outcome, time: now)
    }
}

extension AuditEvent.Name {
    /// How the event ended for what it was about.
    var outcome: String {
        switch self {
        case .instanceQuarantined, .jobDead, .deliveryDead, .associationRejected, .instancesNeverAcknowledged: "failure"
        case .jobQueuedAgain, .deliveryPendingAgain: "retry"
        default: "success"
        }
    }
}
