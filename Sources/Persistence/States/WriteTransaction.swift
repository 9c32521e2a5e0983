// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB

/// The only place where a state changes.
///
/// Every arrow of the state diagram (`States.swift`) is one method with the arrow's name, takes the ``AuditEvent`` of
/// what caused it, and writes its record in this same transaction: either both are there afterwards or neither.
public final class WriteTransaction: ReadTransaction {
    /// The wall clock when the transaction began, in microseconds: for display and for the trail, never to decide.
    let now: Int64
    private let subjects: SubjectKey
    /// Stored paths that no row names any more once this transaction is committed.
    var discardAfterCommit: [String] = []

    init(db: Database, spool: Spool, unsettled: UnsettledInstances, now: Date, subjects: SubjectKey) {
        self.now = now.microseconds
        self.subjects = subjects
        super.init(db: db, spool: spool, unsettled: unsettled)
    }

    func execute(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws {
        try db.cachedStatement(sql: sql).execute(arguments: arguments)
    }

    /// As ``execute(_:_:)``, and says how many rows it changed.
    func changes(_ sql: String, _ arguments: StatementArguments) throws -> Int {
        try execute(sql, arguments)
        return db.changesCount
    }

    /// Moves one row from one of the given states, and throws when it is in none of them.
    func move(_ table: String, _ id: Int64, from: [String], to: String, why: String? = nil) throws {
        let found: String? = try row("SELECT state FROM \(table) WHERE id = ?", [id])?["state"]
        guard let found else { throw StateError.unknown(table, id) }
        guard from.contains(found) else { throw StateError.wrongState(table, id, found: found) }
        try execute("UPDATE \(table) SET state = ?, why = ?, changedAt = ? WHERE id = ?", [to, why, now, id])
    }

    // MARK: - Records that change no state

    /// Records the start of the node and the configuration that it runs with.
    ///
    /// - Parameter configuration: the text of the file, kept once for each hash, so that decisions stay explained.
    public func nodeStarted(configuration: Data, hash: String, _ event: AuditEvent) throws {
        let isFirstUse =
            try changes(
                "INSERT INTO configuration (hash, text, firstUsedAt) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING",
                [hash, configuration, now]) == 1
        var event = event
        event.how.configurationHash = hash
        try record(.nodeStarted, event)
        if isFirstUse { try record(.configurationUsed, event) }
    }

    /// Records an event that changes no state: a start, a stop, a rejection.
    public func record(_ name: AuditEvent.Name, _ event: AuditEvent) throws {
        try record(name, event, AuditSubject())
    }

    // MARK: - The patient of a study

    /// Keeps a keyed hash of the patient's id for the study, in a table apart from the trail.
    func subject(study: String, patientID: String) throws {
        try execute(
            """
            INSERT INTO studySubject (studyInstanceUID, subject) VALUES (?, ?)
            ON CONFLICT (studyInstanceUID) DO UPDATE SET subject = excluded.subject
            """, [study, try subjects.hash(patientID)])
    }

    /// Forgets who the patient of a study is: only the trail's UIDs remain.
    ///
    /// - Returns: whether anything was known.
    @discardableResult
    public func eraseSubject(study: String, _ event: AuditEvent) throws -> Bool {
        guard try changes("DELETE FROM studySubject WHERE studyInstanceUID = ?", [study]) > 0 else { return false }
        try record(.subjectErased, event, AuditSubject(study: study))
        return true
    }
}
