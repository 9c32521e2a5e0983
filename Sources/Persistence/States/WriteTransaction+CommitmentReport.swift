// SPDX-License-Identifier: Apache-2.0
//
// Arrows of reports, which answer peers that ask the node for storage commitment.

import Foundation
import GRDB
import Platform

extension WriteTransaction {
    /// Number of instances that one record names.
    private static let recordPage = 200

    /// New report -> received: a peer asks whether the node keeps instances.
    ///
    /// The request may be acknowledged once the transaction is on disk. A peer that makes the same request again gets
    /// the report again: reported or undeliverable -> received.
    ///
    /// - Parameters:
    ///   - transactionUID: the peer's Transaction UID.
    ///   - peer: name of the peer.
    ///   - items: the instances.
    ///   - mostOpen: open requests that one peer may have.
    ///   - dueAfter: time lived before which the report is not delivered.
    ///   - giveUpAfter: time lived after which the next failure gives the report up.
    ///   - event: the cause.
    /// - Returns: what became of the request.
    /// - Throws: the errors of the database.
    public func commitmentReceived(
        _ transactionUID: String, from peer: String, _ items: [CommitmentItem], mostOpen: Int, dueAfter: Duration,
        giveUpAfter: Duration, _ event: AuditEvent
    ) throws -> CommitmentReception {
        let digest = Self.digest(items)
        let known = try row(
            "SELECT id, state, digest FROM commitmentReport WHERE peer = ? AND transactionUID = ?",
            [peer, transactionUID])
        if let known, known["digest"] != digest { return .duplicateTransactionUID }
        if let known {
            let found: CommitmentReportState = try state(known)
            if found == .received || found == .answered {
                // The peer can be reached again.
                try execute(
                    "UPDATE commitmentReport SET dueAfter = min(dueAfter, ?) WHERE id = ?",
                    [dueAfter.microseconds, known["id"] as Int64])
                return .open(CommitmentReportID(rawValue: known["id"]))
            }
        }
        let open = try row(
            "SELECT count(*) AS count FROM commitmentReport WHERE state IN ('received', 'answered') AND peer = ?",
            [peer])
        if open?["count"] ?? 0 >= mostOpen { return .tooMany }
        if let known {
            try execute(
                """
                UPDATE commitmentReport SET state = 'received', why = NULL, attempts = 0, dueAfter = ?, giveUpAfter = ?,
                    changedAt = ?
                WHERE id = ?
                """, [dueAfter.microseconds, giveUpAfter.microseconds, now, known["id"] as Int64])
        } else {
            try execute(
                """
                INSERT INTO commitmentReport (transactionUID, peer, state, digest, attempts, dueAfter, giveUpAfter,
                    receivedAt, changedAt)
                VALUES (?, ?, 'received', ?, 0, ?, ?, ?, ?)
                """, [transactionUID, peer, digest, dueAfter.microseconds, giveUpAfter.microseconds, now, now])
        }
        let id = CommitmentReportID(rawValue: known?["id"] ?? db.lastInsertedRowID)
        for (position, item) in items.enumerated() {
            try execute(
                """
                INSERT INTO commitmentReportItem (reportId, position, sopClassUID, sopInstanceUID) VALUES (?, ?, ?, ?)
                """, [id.rawValue, position, item.sopClassUID, item.sopInstanceUID])
        }
        try record(.commitmentReceived, event.about(transactionUID), AuditSubject(count: Int64(items.count)))
        return .received(id)
    }

    /// Records that the node did not take a peer's request for commitment, or a result that it did not ask for.
    ///
    /// - Parameters:
    ///   - event: the cause.
    ///   - count: the number of refusals, if the record stands for several.
    /// - Throws: the error of the database.
    public func commitmentRefused(_ event: AuditEvent, count: Int? = nil) throws {
        try record(.commitmentRefused, event, AuditSubject(count: count.map(Int64.init)))
    }

    /// SHA-256 of the references; each text is hashed after its length.
    private static func digest(_ items: [CommitmentItem]) -> Data {
        var hash = SHA256()
        for text in items.flatMap({ [$0.sopClassUID, $0.sopInstanceUID] }) {
            let bytes = Array(text.utf8)
            withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
        }
        return Data(hash.finalize())
    }

    /// Writes the answers about some instances of a report, before the arrow ``commitmentReportAnswered(_:_:)``.
    ///
    /// An instance that the node keeps begins its keep time anew, with its whole series, as if it had been received
    /// again. The row is compared with what the caller has seen, so that a deletion and a commitment do not cross.
    ///
    /// - Parameters:
    ///   - id: the report.
    ///   - answers: the answers by position.
    /// - Throws: ``StateError`` if the report is over.
    public func commitmentChecked(_ id: CommitmentReportID, _ answers: [Int: CommitmentAnswer]) throws {
        guard let report = try commitmentReport(id) else { throw StateError.unknown("commitmentReport", id.rawValue) }
        guard report.state == .received || report.state == .answered else {
            throw StateError.wrongState("commitmentReport", id.rawValue, found: report.state.rawValue)
        }
        var series: Set<Int64> = []
        for (position, answer) in answers.sorted(by: { $0.key < $1.key }) {
            var failure: UInt16 = 0
            switch answer {
            case .failed(let reason): failure = reason
            case .kept(let seen):
                let item = try row(
                    "SELECT sopInstanceUID FROM commitmentReportItem WHERE reportId = ? AND position = ?",
                    [id.rawValue, position])
                guard let uid: String = item?["sopInstanceUID"], try keptInstance(uid)?.isSameFile(as: seen) == true
                else {
                    failure = Self.changedMeanwhile
                    break
                }
                try execute("UPDATE instance SET renewedAt = ? WHERE id = ?", [now, seen.id.rawValue])
                let found = try row("SELECT seriesId FROM instance WHERE id = ?", [seen.id.rawValue])
                if let id: Int64 = found?["seriesId"] { series.insert(id) }
            }
            try execute(
                "UPDATE commitmentReportItem SET failure = ? WHERE reportId = ? AND position = ?",
                [Int64(failure), id.rawValue, position])
        }
        for id in series { try execute("UPDATE series SET renewedAt = ? WHERE id = ?", [now, id]) }
    }

    /// Failure Reason (0008,1197) "processing failure", for an instance whose row has changed since it was looked at.
    private static let changedMeanwhile: UInt16 = 0x0110

    /// received or answered -> answered: the answer about each instance is on disk, and is offered to the peer next.
    public func commitmentReportAnswered(_ id: CommitmentReportID, _ event: AuditEvent) throws {
        let (report, counts) = try moveReport(id, from: [.received, .answered], to: .answered, event)
        try record(
            .commitmentReportAnswered,
            AuditEvent(by: event.by, reason: "\(counts.failed) of \(counts.all) instances not committed").about(
                report.transactionUID), AuditSubject(count: Int64(counts.all - counts.failed)))
    }

    /// answered -> reported: the peer has the report.
    ///
    /// The trail names the instances that the node committed itself to.
    public func commitmentReported(_ id: CommitmentReportID, _ event: AuditEvent) throws {
        let (report, _) = try moveReport(id, from: [.answered], to: .reported, event)
        let kept = try rows(
            "SELECT sopInstanceUID FROM commitmentReportItem WHERE reportId = ? AND failure = 0 ORDER BY position",
            [id.rawValue]
        ).map { $0["sopInstanceUID"] as String }
        let event = event.about(report.transactionUID)
        for start in stride(from: 0, to: max(kept.count, 1), by: Self.recordPage) {
            let part = Array(kept[start..<min(start + Self.recordPage, kept.count)])
            try record(.commitmentReported, event, AuditSubject(instancesIn: part, count: Int64(part.count)))
        }
        try execute("UPDATE commitmentReport SET attempts = attempts + 1 WHERE id = ?", [id.rawValue])
        try execute("DELETE FROM commitmentReportItem WHERE reportId = ?", [id.rawValue])
    }

    /// answered -> answered: the report did not reach the peer, and is tried again after the time lived `dueAfter`.
    public func commitmentReportDelayed(_ id: CommitmentReportID, dueAfter: Duration, _ event: AuditEvent) throws {
        let (report, _) = try moveReport(id, from: [.answered], to: .answered, event)
        try execute(
            "UPDATE commitmentReport SET attempts = attempts + 1, dueAfter = ? WHERE id = ?",
            [dueAfter.microseconds, id.rawValue])
        try record(.commitmentReportDelayed, event.about(report.transactionUID))
    }

    /// received or answered -> undeliverable: the report is given up.
    public func commitmentReportUndeliverable(_ id: CommitmentReportID, _ event: AuditEvent) throws {
        let (report, _) = try moveReport(id, from: [.received, .answered], to: .undeliverable, event)
        try execute("UPDATE commitmentReport SET attempts = attempts + 1 WHERE id = ?", [id.rawValue])
        try execute("DELETE FROM commitmentReportItem WHERE reportId = ?", [id.rawValue])
        try record(.commitmentReportUndeliverable, event.about(report.transactionUID))
    }

    /// Moves a report, and counts its instances and those that are not committed.
    private func moveReport(
        _ id: CommitmentReportID, from: [CommitmentReportState], to: CommitmentReportState, _ event: AuditEvent
    ) throws -> (CommitmentReport, (all: Int, failed: Int)) {
        try move("commitmentReport", id.rawValue, from: from.map(\.rawValue), to: to.rawValue, why: event.reason)
        guard let report = try commitmentReport(id) else { throw StateError.unknown("commitmentReport", id.rawValue) }
        let counts = try row(
            """
            SELECT count(*) AS count, coalesce(sum(failure IS NOT 0), 0) AS failed FROM commitmentReportItem
            WHERE reportId = ?
            """, [id.rawValue])
        return (report, (counts?["count"] ?? 0, counts?["failed"] ?? 0))
    }
}
