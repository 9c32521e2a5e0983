// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB

/// The only way to change a state.
///
/// Each arrow of the state diagram in `States.swift` is one method that bears the arrow's name. The method takes an
/// ``AuditEvent`` and writes its record in the same transaction. So a state change and its record exist together, or
/// neither exists.
public final class WriteTransaction: ReadTransaction {
    /// Wall-clock time at which the transaction began, in microseconds since 1970.
    ///
    /// The time is for display and for the trail. It does not decide anything.
    let now: Int64
    /// The key that hashes patient identifiers.
    let subjects: SubjectKey
    /// Stored paths of files that no row names after the commit, and that are removed then.
    var discardAfterCommit: [String] = []
    /// The newest audit record that this transaction has written.
    var lastRecord: JournalHead?

    init(
        db: Database, spool: Spool, unsettled: UnsettledInstances, pageSize: Int, now: Date, subjects: SubjectKey
    ) {
        self.now = now.microseconds
        self.subjects = subjects
        super.init(db: db, spool: spool, unsettled: unsettled, pageSize: pageSize)
    }

    /// Has a file removed after the commit, because its row is gone or names another file.
    ///
    /// If the node ends before that, the next start removes the file.
    func discard(_ stored: String) throws {
        try noteDiscards([stored])
        discardAfterCommit.append(stored)
    }

    /// Notes files that the caller removes by ``Journal/remove(_:)`` after the commit.
    func noteDiscards(_ stored: [String]) throws {
        for path in stored {
            try execute("INSERT INTO discard (path) VALUES (?) ON CONFLICT (path) DO NOTHING", [path])
        }
    }

    /// Runs a statement that does not return rows.
    func execute(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws {
        try db.cachedStatement(sql: sql).execute(arguments: arguments)
    }

    /// Runs a statement and returns the number of rows that it changed.
    func changes(_ sql: String, _ arguments: StatementArguments) throws -> Int {
        try execute(sql, arguments)
        return db.changesCount
    }

    /// Runs changes in a savepoint, so that one row that the database refuses does not undo the others.
    ///
    /// - Returns: `false` if the database refused the changes of `body`, which are undone then.
    /// - Throws: the other errors of `body`, such as those of the disk.
    package func attempt(_ body: () throws -> Void) throws -> Bool {
        do {
            try db.inSavepoint {
                try body()
                return .commit
            }
            return true
        } catch let error as DatabaseError where db.isInsideTransaction && !JournalError(error).isTemporary {
            return false
        }
    }

    /// Moves one row to a new state.
    ///
    /// - Parameters:
    ///   - table: name of the table.
    ///   - id: number of the row.
    ///   - from: the states from which the arrow starts.
    ///   - to: the new state.
    ///   - why: the reason, for display.
    /// - Throws: ``StateError`` if the row is missing or in another state.
    func move(_ table: String, _ id: Int64, from: [String], to: String, why: String? = nil) throws {
        let found: String? = try row("SELECT state FROM \(table) WHERE id = ?", [id])?["state"]
        guard let found else { throw StateError.unknown(table, id) }
        guard from.contains(found) else { throw StateError.wrongState(table, id, found: found) }
        try execute("UPDATE \(table) SET state = ?, why = ?, changedAt = ? WHERE id = ?", [to, why, now, id])
    }

    // MARK: - Events that do not change a state

    /// Records the start of the node and the configuration that it runs with.
    ///
    /// The text of the configuration is kept once per hash (SHA-256 in hexadecimal digits), so that decisions stay
    /// explained.
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

    /// Records the orderly end of the node.
    public func nodeStopped(_ event: AuditEvent) throws { try record(.nodeStopped, event) }

    /// Records that an operator copied the spool, with the number of instances in the copy.
    public func spoolCopied(instances: Int, _ event: AuditEvent) throws {
        try record(.spoolCopied, event, AuditSubject(count: Int64(instances)))
    }

    /// Records that the node refused an association; the event names the caller and the reason.
    ///
    /// - Parameters:
    ///   - event: the cause.
    ///   - count: the number of refusals, if the record stands for several.
    /// - Throws: the error of the database.
    public func associationRejected(_ event: AuditEvent, count: Int? = nil) throws {
        try record(.associationRejected, event, AuditSubject(count: count.map(Int64.init)))
    }

    /// Records that an association ended because the process that spoke with the peer died or was killed.
    ///
    /// - Parameters:
    ///   - event: the cause; it names the peer.
    ///   - count: the number of associations, if the record stands for several.
    /// - Throws: the error of the database.
    public func associationLost(_ event: AuditEvent, count: Int? = nil) throws {
        try record(.associationLost, event, AuditSubject(count: count.map(Int64.init)))
    }

    /// Records that weights were added to the node's folder of models.
    ///
    /// - Returns: `false` if the trail names these weights as installed already, and nothing was recorded.
    @discardableResult
    public func modelInstalled(_ weights: AuditedWeights, by actor: AuditActor) throws -> Bool {
        let last = try row(
            """
            SELECT event FROM audit WHERE event IN ('modelInstalled', 'modelRemoved') AND weightsHash = ? AND reason = ?
            ORDER BY number DESC LIMIT 1
            """, [weights.sha256, weights.event(by: actor).reason])
        guard last?.text("event") != AuditEvent.Name.modelInstalled.rawValue else { return false }
        try record(.modelInstalled, weights.event(by: actor))
        return true
    }

    /// Records that weights were removed from the node's folder of models, or that others took their place.
    public func modelRemoved(_ weights: AuditedWeights, by actor: AuditActor) throws {
        try record(.modelRemoved, weights.event(by: actor))
    }
}

/// A file of weights, as the trail names it.
public struct AuditedWeights: Sendable, Equatable {
    /// Name of the weights in the folder of models.
    public let name: String
    /// SHA-256 of the stored file, in hexadecimal digits.
    public let sha256: String

    /// Names a file of weights.
    public init(name: String, sha256: String) {
        self.name = name
        self.sha256 = sha256
    }

    fileprivate func event(by actor: AuditActor) -> AuditEvent {
        AuditEvent(by: actor, how: AuditMethod(weightsHash: sha256), reason: name)
    }
}
