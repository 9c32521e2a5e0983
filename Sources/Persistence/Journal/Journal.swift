// SPDX-License-Identifier: Apache-2.0

import Platform
public import Foundation
import GRDB

/// The node's memory: what was received, what became of it, and the record of every step, in one SQLite file.
///
/// Every call blocks the calling thread, for a disk's time; none may come from Swift's cooperative pool. Writers share
/// commits: see ``write(_:)``.
public final class Journal: Sendable {
    public let spool: Spool
    let pool: DatabasePool
    let unsettled = UnsettledInstances()
    private let subjects: SubjectKey
    private let now: @Sendable () -> Date
    private let syncs = SyncThreads(most: 16)
    private let folderSync: FolderSync
    /// Set once, by `init`.
    private let group: GroupCommit<Work>

    /// What a thread brings to a batch.
    enum Work {
        case reception(ReceptionWork)
        /// Runs on the leader's thread while its own waits.
        case transaction((WriteTransaction) throws -> Void)
    }

    /// Opens the database in the spool and makes or migrates it.
    ///
    /// A node's spool is put in order first: rows whose files are missing or different were never acknowledged and go,
    /// and so do files that no row names.
    ///
    /// - Parameter now: the wall clock, for display, folder names and the trail.
    /// - Throws: ``JournalError`` and ``SpoolError``.
    public init(spool: Spool, now: @escaping @Sendable () -> Date = { Date() }) throws {
        self.spool = spool
        self.now = now
        do {
            subjects = try SubjectKey(path: spool.path + "/subject.key")
            pool = try JournalDatabase.open(spool.databasePath)
        } catch let error as DatabaseError {
            throw JournalError(error)
        }
        let calls = spool.calls
        folderSync = FolderSync { path throws(SystemCallError) in try calls.syncFolder(path) }
        let (pool, unsettled, subjects) = (pool, unsettled, subjects)
        group = GroupCommit(largestBatch: 64) { batch in
            try pool.writeWithoutTransaction { db in
                let transaction = WriteTransaction(
                    db: db, spool: spool, unsettled: unsettled, now: now(), subjects: subjects)
                try JournalBatch(transaction: transaction, unsettled: unsettled).run(batch)
            }
        }
        if spool.isNode { try Recovery(journal: self).run() }
    }

    deinit { syncs.close() }

    // MARK: - Reading and writing

    /// Runs `body` on a consistent view. Keep it short: pages, not whole tables.
    public func read<Result>(_ body: (ReadTransaction) throws -> Result) throws -> Result {
        do {
            return try pool.read { db in try body(ReadTransaction(db: db, spool: spool, unsettled: unsettled)) }
        } catch let error as DatabaseError {
            throw JournalError(error)
        }
    }

    /// Runs `body` in an immediate transaction and returns when it is on disk.
    ///
    /// Threads that come at the same time share the commit; one whose `body` throws changes nothing and does not hurt
    /// the others. `body` may run on another thread, while this one waits. Keep it under 50 ms, and never
    /// write or read the journal from within it.
    public func write<Result>(_ body: (WriteTransaction) throws -> Result) throws -> Result {
        var result: Result?
        do {
            try withoutActuallyEscaping(body) { body in
                try group.submit(.transaction { transaction in result = try body(transaction) })
            }
        } catch let error as DatabaseError {
            throw JournalError(error)
        }
        guard let result else { preconditionFailure("a batch that succeeded left a transaction out") }
        return result
    }

    /// Gives up to `pages` unused pages of the database back to the file system.
    public func vacuum(pages: Int = 1000) throws {
        try pool.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA incremental_vacuum(\(pages))") }
    }

    // MARK: - Receiving

    /// Makes a received instance durable; when this returns, Success may be answered.
    ///
    /// The file, its folder and the row are synced at the same time. A recovery treats a row whose file is missing or
    /// different as never acknowledged, which is why their order does not matter.
    ///
    /// - Parameter file: closed by this call; on an error, and when the instance is there already, it is removed.
    /// - Throws: ``JournalError``; the instance is then not acknowledged, and nothing is left behind.
    public func commit(_ file: IncomingFile, _ instance: IncomingInstance) throws(JournalError) -> Reception {
        let descriptor = file.descriptor
        let path = file.path
        let folder = spool.absolute(file.folder)
        let calls = spool.calls
        let fileTicket = syncs.start { () throws(SystemCallError) in try calls.syncFile(descriptor, path) }
        let folderTicket = syncs.start { [folderSync] () throws(SystemCallError) in try folderSync.wait(folder) }
        let work = ReceptionWork(file: file, instance: instance)
        while true {
            var failure: (any Error)?
            do { try group.submit(.reception(work)) } catch { failure = error }
            let synced = Self.first(failing: fileTicket, folderTicket)
            if let failure {
                file.discard()
                throw JournalError(failure)
            }
            switch work.placement {
            case .new(let id, let isVariant):
                if let synced {
                    // The file goes before those who wait for it are told, or they would take it for durable.
                    file.discard()
                    withdraw(id, instance)
                    throw JournalError(synced)
                }
                file.settle()
                unsettled.end(id, confirmed: true)
                return isVariant ? .variant(InstanceID(rawValue: id)) : .stored(InstanceID(rawValue: id))
            case .existing(let id, let stored, let size):
                unsettled.wait(id)
                if Self.size(spool.absolute(stored)) == size {
                    file.discard()
                    return .duplicate(of: InstanceID(rawValue: id))
                }
                // Its file is gone: this one takes its place, or the row is gone too and this one is the first.
                if let synced {
                    file.discard()
                    throw JournalError(synced)
                }
                if try adopt(file, id) { return .duplicate(of: InstanceID(rawValue: id)) }
            case nil: preconditionFailure("a batch that succeeded left an instance out")
            }
        }
    }

    private static func first(
        failing file: SyncThreads.Ticket, _ folder: SyncThreads.Ticket
    ) -> SystemCallError? {
        let results = [file.wait(), folder.wait()]
        for case .failure(let error) in results { return error }
        return nil
    }

    static func size(_ path: String) -> Int64? {
        var facts = stat()
        return stat(path, &facts) == 0 ? Int64(facts.st_size) : nil
    }

    /// Takes a row back whose file could not be synced.
    private func withdraw(_ id: Int64, _ instance: IncomingInstance) {
        do {
            try write { transaction in
                try transaction.neverAcknowledged(
                    id, AuditEvent(by: instance.association.actor, reason: "its file could not be synced"))
            }
            // A reader whose view is older still sees the row.
            unsettled.end(id, confirmed: false, withdrawn: true)
        } catch {
            // The disk is failing for the database as well. The row is not confirmed, so the next start removes it.
            unsettled.end(id, confirmed: false, withdrawn: true)
        }
    }

    /// Puts a synced file in the place of a row's missing one; `false` when the row is gone.
    private func adopt(_ file: IncomingFile, _ id: Int64) throws(JournalError) -> Bool {
        do {
            let adopted = try write { transaction in
                try transaction.changes(
                    "UPDATE instance SET folder = ?, file = ?, headerSize = ?, size = ? WHERE id = ?",
                    [file.folder, file.name, file.headerSize, file.size, id]) == 1
            }
            if adopted {
                file.settle()
                unsettled.end(id, confirmed: true)
            }
            return adopted
        } catch {
            file.discard()
            throw JournalError(error)
        }
    }

    // MARK: - Quarantine

    /// received or indexed -> quarantined: moves the file into `quarantine/`, where it stays longer.
    public func quarantine(_ id: InstanceID, _ event: AuditEvent) throws {
        let from: (folder: String, file: String)? = try read { view in
            try view.row("SELECT folder, file FROM instance WHERE id = ?", [id.rawValue]).map {
                ($0["folder"], $0["file"])
            }
        }
        guard let from else { throw StateError.unknown("instance", id.rawValue) }
        let folder = try spool.folder(.quarantine, now: now(), hours: false)
        let (old, new) = (spool.absolute(from.folder + "/" + from.file), spool.absolute(folder + "/" + from.file))
        // Two names until the row names the new one: a crash leaves one file too many, which the next start removes.
        do throws(SystemCallError) {
            if access(new, F_OK) != 0 { try spool.calls.link(old, new) }
            try spool.calls.syncFolder(spool.absolute(folder))
        } catch {
            if error.code != ENOENT { throw SpoolError(error) }
        }
        do {
            try write { try $0.quarantined(id, folder: folder, event) }
        } catch {
            try? spool.calls.remove(new)
            throw error
        }
        if old != new { try? spool.calls.remove(old) }
    }

    /// The wall clock.
    var date: Date { now() }
}

extension JournalError {
    init(_ error: any Error) {
        switch error {
        case let error as JournalError: self = error
        case let error as SystemCallError where error.isFull: self = .full(cause: error.description)
        case let error as DatabaseError where error.resultCode == .SQLITE_FULL:
            self = .full(cause: "SQLite: \(error.message ?? "database or disk is full")")
        case let error as DatabaseError:
            self = .failing(cause: "SQLite \(error.extendedResultCode.rawValue): \(error.message ?? "no message")")
        default: self = .failing(cause: "\(error)")
        }
    }
}
