// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// An instance that is about to get a row.
final class ReceptionWork {
    /// The row that the instance got.
    enum Placement {
        /// A new row; a variant has the SOP Instance UID of another row.
        case new(Int64, isVariant: Bool)
        /// The row of the same data set, with the path and the size of its file.
        case existing(Int64, stored: String, size: Int64)
    }

    let instance: IncomingInstance
    let folder: String
    let file: String
    let size: Int64
    let headerSize: Int64
    let sha256: Data
    var placement: Placement?

    init(file: IncomingFile, instance: IncomingInstance) {
        self.instance = instance
        folder = file.folder
        self.file = file.name
        size = file.size
        headerSize = file.headerSize
        sha256 = file.digest()
    }
}

/// One transaction that a leader runs for all threads in its batch.
struct JournalBatch {
    let transaction: WriteTransaction
    let unsettled: UnsettledInstances
    let discards: RemovedFiles
    let timekeeper: NodeTimekeeper?
    /// The open file of the ``JournalHead``; `nil` if it cannot be opened.
    let head: FileDescriptor?

    private var db: Database { transaction.db }

    func run(_ batch: [GroupCommit<Journal.Work>.Submission]) throws {
        let confirmed = unsettled.takeConfirmed()
        let removed = discards.take()
        var noted: NodeTime?
        var placed: [Int64] = []
        do {
            // Cached, because `beginTransaction` and `commit` have SQLite compile their statements each time.
            try transaction.execute("BEGIN IMMEDIATE TRANSACTION")
            for id in confirmed { try transaction.execute("UPDATE instance SET confirmed = 1 WHERE id = ?", [id]) }
            for path in removed { try transaction.execute("DELETE FROM discard WHERE path = ?", [path]) }
            // The rows of this transaction get the wall clock's time, so the journal must know how far it has jumped.
            if let reading = timekeeper?.read(), timekeeper?.needsNote(at: reading) == true {
                noted = try transaction.clockNoted(reading, isStart: false)
            }
            var receptions: [ReceptionWork] = []
            for submission in batch {
                switch submission.work {
                case .reception(let work):
                    if let id = try place(work) { placed.append(id) }
                    receptions.append(work)
                case .transaction(let body): try perform(body, submission, alone: batch.count == 1)
                }
            }
            try record(receptions)
            try transaction.spool.calls.commit { try transaction.execute("COMMIT TRANSACTION") }
        } catch {
            if db.isInsideTransaction { try? db.rollback() }
            unsettled.giveBack(confirmed)
            discards.giveBack(removed)
            for id in placed { unsettled.end(id, confirmed: false) }
            throw error
        }
        if let noted { timekeeper?.adopt(noted) }
        if let head, let written = transaction.lastRecord { try? written.write(to: head) }
        discards.remove(transaction.discardAfterCommit, transaction.spool)
    }

    /// Inserts the row of an instance, unless the newest row of its UID holds the same data set.
    ///
    /// A data set that was stored before another variant of its UID gets a second row, because it is the newest one
    /// now.
    ///
    /// - Returns: the number of a new row.
    private func place(_ work: ReceptionWork) throws -> Int64? {
        let instance = work.instance
        let newest = try transaction.row(
            """
            SELECT id, transferSyntaxUID, sha256, folder, file, size,
                state = 'indexed' AND isCurrent = 0 AS isReplaced
            FROM instance WHERE sopInstanceUID = ? ORDER BY id DESC LIMIT 1
            """, [instance.sopInstanceUID])
        // The variant that replaced an indexed row may have been deleted since.
        if let newest, newest["transferSyntaxUID"] == instance.transferSyntaxUID, newest["sha256"] == work.sha256,
            newest["isReplaced"] == 0
        {
            try renew(newest["id"])
            let (folder, file): (String, String) = (newest["folder"], newest["file"])
            work.placement = .existing(newest["id"], stored: folder + "/" + file, size: newest["size"])
            return nil
        }
        if try !insert(work) {
            try insert(instance.association)
            guard try insert(work) else { preconditionFailure("the row of an association was not inserted") }
        }
        let id = db.lastInsertedRowID
        work.placement = .new(id, isVariant: newest != nil)
        unsettled.begin(id)
        return id
    }

    /// Inserts the row of an instance; `false` if its association does not have a row yet.
    private func insert(_ work: ReceptionWork) throws -> Bool {
        let instance = work.instance
        return try transaction.changes(
            """
            INSERT INTO instance (associationId, sopClassUID, sopInstanceUID, transferSyntaxUID, sha256, size,
                headerSize, folder, file, receivedAt, changedAt, state)
            SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'received' FROM association WHERE uuid = ?
            """,
            [
                instance.sopClassUID, instance.sopInstanceUID, instance.transferSyntaxUID, work.sha256, work.size,
                work.headerSize, work.folder, work.file, transaction.now, transaction.now,
                instance.association.id.uuidString,
            ]) == 1
    }

    /// Begins the keep time of an instance anew, and that of its whole series, because the node acknowledges the
    /// instance again.
    private func renew(_ id: Int64) throws {
        try transaction.execute("UPDATE instance SET renewedAt = ? WHERE id = ?", [transaction.now, id])
        try transaction.execute(
            "UPDATE series SET renewedAt = ? WHERE id = (SELECT seriesId FROM instance WHERE id = ?)",
            [transaction.now, id])
    }

    /// Inserts the row of an association, with its first instance.
    private func insert(_ facts: AssociationFacts) throws {
        try transaction.execute(
            """
            INSERT INTO association (uuid, callingAETitle, calledAETitle, address, peer, openedAt)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            [
                facts.id.uuidString, facts.callingAETitle, facts.calledAETitle, facts.address, facts.peer,
                transaction.now,
            ])
    }

    /// Writes one record per association: the instances that this commit acknowledges.
    private func record(_ receptions: [ReceptionWork]) throws {
        var order: [UUID] = []
        var groups: [UUID: [ReceptionWork]] = [:]
        for work in receptions {
            let id = work.instance.association.id
            if groups[id] == nil { order.append(id) }
            groups[id, default: []].append(work)
        }
        for id in order {
            guard let group = groups[id], let first = group.first else { continue }
            var known = 0
            for work in group { if case .existing = work.placement { known += 1 } }
            try transaction.record(
                .instancesReceived,
                AuditEvent(
                    by: first.instance.association.actor,
                    reason: known == 0 ? nil : "\(known) of them were stored before"),
                AuditSubject(instancesIn: group.map(\.instance.sopInstanceUID), count: Int64(group.count)))
        }
    }

    /// Runs one thread's changes in a savepoint, so that they fail alone.
    private func perform(
        _ body: (WriteTransaction) throws -> Void, _ submission: GroupCommit<Journal.Work>.Submission, alone: Bool
    ) throws {
        if alone { return try body(transaction) }
        let discards = transaction.discardAfterCommit.count
        let record = transaction.lastRecord
        do {
            try db.inSavepoint {
                try body(transaction)
                return .commit
            }
        } catch {
            // A full or failing disk ends the whole transaction, so the error concerns every thread of the batch.
            guard db.isInsideTransaction else { throw error }
            transaction.discardAfterCommit.removeSubrange(discards...)
            transaction.lastRecord = record
            submission.fail(error)
        }
    }
}

extension AssociationFacts {
    /// The peer, for an audit record.
    var actor: AuditActor { AuditActor(aeTitle: callingAETitle, address: address, certificate: certificate) }
}

extension WriteTransaction {
    /// Removes the row of an instance that was never acknowledged, because its file is missing or different.
    func neverAcknowledged(_ id: Int64, _ event: AuditEvent) throws {
        try removed(id, .instancesNeverAcknowledged, event)
    }

    /// Removes the row of an instance that was acknowledged, and whose file somebody removed or changed.
    func lost(_ id: Int64, _ event: AuditEvent) throws { try removed(id, .instancesLost, event) }

    private func removed(_ id: Int64, _ name: AuditEvent.Name, _ event: AuditEvent) throws {
        guard let row = try row("SELECT sopInstanceUID FROM instance WHERE id = ?", [id]) else { return }
        let uid: String = row["sopInstanceUID"]
        try execute("DELETE FROM instance WHERE id = ?", [id])
        try record(name, event, AuditSubject(instancesIn: [uid], count: 1))
    }
}
