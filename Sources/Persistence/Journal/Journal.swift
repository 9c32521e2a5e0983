// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB
import Platform
import Synchronization

/// The persistent record of the node in one SQLite file: received instances, their states, and the audit trail.
///
/// Every call blocks the calling thread while the disk works, so a call must not come from Swift's cooperative pool.
/// Writers share commits: see ``write(_:)``.
public final class Journal: Sendable {
    /// The folder that holds the database and the files.
    public let spool: Spool
    let pool: any DatabaseWriter
    /// The clocks of the node; `nil` if this process is not the node.
    let timekeeper: NodeTimekeeper?
    let unsettled = UnsettledInstances()
    private let discards = RemovedFiles()
    /// Whether the disk was full when the node started, so that files have to be deleted first.
    public let isShortOfRoom: Bool
    private let pageSize: Int
    let subjects: SubjectKey
    private let now: @Sendable () -> Date
    private let syncs = SyncThreads(most: 16)
    private let found = Mutex(RecoveryReport())
    private let folderSync: FolderSync
    /// Set once, by `init`.
    private let group: GroupCommit<Work>

    /// One thread's work in a batch.
    enum Work {
        case reception(ReceptionWork)
        /// Runs on the leader's thread while its own thread waits.
        case transaction((WriteTransaction) throws -> Void)
    }

    /// Opens the database in the spool, and makes or migrates it first if necessary.
    ///
    /// The call also puts the spool of a node in order; ``recovery`` says what it found. It removes each row whose file
    /// is missing or different, because that instance was never acknowledged. Files that no row names get a row again,
    /// or go to `quarantine/`.
    ///
    /// - Parameters:
    ///   - spool: the folder; only a spool that was opened by a node is put in order.
    ///   - facts: reads the File Meta Information of files without a row; without it, such files stay as they are.
    ///   - now: the wall clock, for display, folder names and the trail.
    ///   - sinceBoot: the time since the machine started, on which a node's keep times count; `nil` asks the kernel.
    /// - Throws: ``JournalError`` and ``SpoolError``.
    public convenience init(
        spool: Spool, facts: StoredFileFacts.Reader? = nil, now: @escaping @Sendable () -> Date = { Date() },
        sinceBoot: (@Sendable () -> Duration)? = nil
    ) throws {
        try self.init(
            spool: spool, facts: facts, now: now, sinceBoot: sinceBoot ?? MonotonicClock.sinceBoot, pageSize: 200)
    }

    /// Opens the database with another page size, so that a test can read small lists in several pages.
    ///
    /// - Parameters:
    ///   - spool: the folder.
    ///   - facts: reads the File Meta Information of files without a row.
    ///   - now: the wall clock.
    ///   - sinceBoot: the time since the machine started; `nil` lets keep times count on the wall clock alone.
    ///   - boot: names the present run of the machine; `nil` asks the kernel.
    ///   - pageSize: number of rows that one read of a list returns.
    /// - Throws: ``JournalError`` and ``SpoolError``.
    package init(
        spool: Spool, facts: StoredFileFacts.Reader? = nil, now: @escaping @Sendable () -> Date,
        sinceBoot: (@Sendable () -> Duration)? = nil, boot: String? = nil, pageSize: Int
    ) throws {
        self.spool = spool
        self.now = now
        self.pageSize = pageSize
        isShortOfRoom = spool.isNode && spool.makesRoomAtStart()
        do {
            subjects = try SubjectKey(path: spool.path + "/subject.key", isReadOnly: spool.isReadOnly)
            pool =
                try spool.isReadOnly
                ? JournalDatabase.openForReading(spool.databasePath, isNodeRunning: spool.isHeld)
                : JournalDatabase.open(spool.databasePath)
        } catch let error as DatabaseError {
            throw JournalError(error)
        }
        let identifier = boot ?? MonotonicClock.bootIdentifier()
        timekeeper = spool.isNode ? sinceBoot.map { NodeTimekeeper(boot: identifier, sinceBoot: $0, now: now) } : nil
        let seen = JournalHead.read(spool.path)
        let standing = try pool.read { db in try JournalHead.standing(seen, of: db) }
        // An older head only proves less, so a spool without one can be used as well.
        let headPath = spool.path + "/" + JournalHead.name
        let head = spool.isReadOnly ? nil : try? FileDescriptor(path: headPath, for: .updating)
        let calls = spool.calls
        folderSync = FolderSync { path throws(SystemCallError) in try calls.syncFolder(path) }
        let (pool, unsettled, subjects, timekeeper, discards) = (pool, unsettled, subjects, timekeeper, discards)
        group = GroupCommit(largestBatch: 64) { batch in
            try pool.writeWithoutTransaction { db in
                let transaction = WriteTransaction(
                    db: db, spool: spool, unsettled: unsettled, pageSize: pageSize, now: now(), subjects: subjects)
                try JournalBatch(
                    transaction: transaction, unsettled: unsettled, discards: discards, timekeeper: timekeeper,
                    head: head
                ).run(batch)
            }
        }
        if spool.isNode {
            try startTime()
            let report = try Recovery(journal: self, facts: facts, standing: standing).run()
            found.withLock { $0 = report }
        }
    }

    deinit { syncs.close() }

    /// The wall clock.
    var date: Date { now() }

    /// What the start of the node found in the spool; empty for a program that is not a node.
    public var recovery: RecoveryReport { found.withLock { $0 } }

    // MARK: - Reading and writing

    /// Runs `body` on one consistent view; keep it short and read pages, not whole tables.
    public func read<Result>(_ body: (ReadTransaction) throws -> Result) throws -> Result {
        do {
            return try pool.read { db in
                try body(ReadTransaction(db: db, spool: spool, unsettled: unsettled, pageSize: pageSize))
            }
        } catch let error as DatabaseError {
            throw JournalError(error)
        }
    }

    /// Runs `body` in an immediate transaction and returns when its changes are on disk.
    ///
    /// Threads that write at the same time share the commit. If one `body` throws, its changes are undone and the other
    /// threads are not affected. `body` may run on another thread while this one waits. It should take less than 50 ms
    /// and must not call ``read(_:)`` or ``write(_:)``.
    public func write<Result>(_ body: (WriteTransaction) throws -> Result) throws -> Result {
        var result: Result?
        do {
            try withoutActuallyEscaping(body) { body in
                try group.submit(.transaction { transaction in result = try body(transaction) })
            }
        } catch let error where error is DatabaseError || error is SystemCallError {
            throw JournalError(error)
        }
        guard let result else { preconditionFailure("a batch that succeeded left a transaction out") }
        return result
    }

    /// Removes files that ``WriteTransaction/noteDiscards(_:)`` named, after the commit.
    func remove(_ stored: [String]) { discards.remove(stored, spool) }

    /// Gives up to 1000 unused pages of the database back to the file system.
    func vacuum() throws {
        try pool.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA incremental_vacuum(1000)") }
    }

    /// Writes everything that is in the write-ahead log into the database file.
    ///
    /// A copy of the file alone is then whole, as long as the node does not run. A program that reads the database at
    /// this moment can delay the call by a second; the log then stays as it is.
    public func checkpoint() {
        for _ in 0..<5 {
            let done = try? pool.writeWithoutTransaction { db in
                try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)").map { $0[0] as Int == 0 } ?? false
            }
            if done == true { return }
            Thread.sleep(forTimeInterval: 0.2)
        }
    }

    // MARK: - Receiving

    /// Makes a received instance durable; the node may answer Success when this returns.
    ///
    /// The file gets its seal first. Then the file, its folder and the row are synced at the same time. Their order does
    /// not matter, because the recovery removes a row whose file is missing or different, and a seal without its data
    /// does not count.
    ///
    /// - Parameters:
    ///   - file: the file, which this call closes. It is removed after an error, and if the instance was stored before.
    ///   - instance: the command's description of the instance.
    /// - Returns: whether the instance is new.
    /// - Throws: ``JournalError``. In this case the instance must not be acknowledged. Its file is removed, and its row
    ///   too: at once, or at the next start if the database fails.
    public func commit(_ file: IncomingFile, _ instance: IncomingInstance) throws(JournalError) -> Reception {
        guard let descriptor = file.descriptor else { preconditionFailure("a file is committed once") }
        let path = file.path
        let folder = spool.absolute(file.folder)
        let calls = spool.calls
        let work = ReceptionWork(file: file, instance: instance)
        do { try file.seal(sha256: work.sha256, receivedAt: now().microseconds) } catch {
            file.discard()
            throw JournalError(error)
        }
        let fileTicket = syncs.start { () throws(SystemCallError) in try calls.syncFile(descriptor, path) }
        let folderTicket = syncs.start { [folderSync] () throws(SystemCallError) in try folderSync.wait(folder) }
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
                    // Threads that wait for the file must not find it after this call has failed.
                    file.discard()
                    withdraw(id, instance)
                    throw JournalError(synced)
                }
                file.settle()
                unsettled.end(id, confirmed: true)
                return isVariant ? .variant(InstanceID(rawValue: id)) : .stored(InstanceID(rawValue: id))
            case .existing(let id, let stored, let size):
                unsettled.wait(id)
                // A row that is withheld has a file that could not be read at the start.
                if !unsettled.contains(id), FileSystem.size(spool.absolute(stored)) == size {
                    file.discard()
                    return .duplicate(of: InstanceID(rawValue: id))
                }
                // The stored file is gone. This file takes its place, or it is the first if the row is gone, too.
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

    /// Removes a row, because its file could not be synced.
    private func withdraw(_ id: Int64, _ instance: IncomingInstance) {
        do {
            try write { transaction in
                try transaction.neverAcknowledged(
                    id, AuditEvent(by: instance.association.actor, reason: "its file could not be synced"))
            }
            // A reader with an older view still sees the row.
            unsettled.end(id, confirmed: false, withdrawn: true)
        } catch {
            // The disk fails for the database as well. The row is not confirmed, so the next start removes it.
            unsettled.end(id, confirmed: false, withdrawn: true)
        }
    }

    /// Puts a synced file in the place of a row's missing file; `false` if the row is gone.
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
    ///
    /// - Throws: ``StateError`` if the instance is in another state, ``JournalError`` and ``SpoolError``.
    public func quarantine(_ id: InstanceID, _ event: AuditEvent) throws {
        let from: (folder: String, file: String)? = try read { view in
            try view.row("SELECT folder, file FROM instance WHERE id = ?", [id.rawValue]).map {
                ($0["folder"], $0["file"])
            }
        }
        guard let from else { throw StateError.unknown("instance", id.rawValue) }
        let folder = try spool.folder(.quarantine, now: now(), hours: false)
        let (old, new) = (spool.absolute(from.folder + "/" + from.file), spool.absolute(folder + "/" + from.file))
        // The file has two names until the row names the new one. After a crash the next start removes the other name.
        do throws(SystemCallError) {
            if !FileSystem.exists(new) { try spool.calls.link(old, new) }
            try spool.calls.syncFolder(spool.absolute(folder))
        } catch {
            if !error.isMissing { throw SpoolError(error) }
        }
        do {
            try write { transaction in
                try transaction.quarantined(id, folder: folder, event)
                if old != new { try transaction.discard(from.folder + "/" + from.file) }
            }
        } catch {
            if old != new { try? spool.calls.remove(new) }
            throw error
        }
    }
}

/// The reason why the journal cannot be used.
///
/// After a failed commit, the instance is not stored and the node must not acknowledge it.
public enum JournalError: Error, Sendable, CustomStringConvertible {
    /// The disk is full, for the file or for the database.
    case full(cause: String)
    /// The disk failed, or the database cannot be reached for the moment.
    case failing(cause: String)
    /// The database does not accept the change, or cannot read a row. Another attempt would fail, too.
    ///
    /// The disk is not at fault, and other rows are not affected.
    case rejected(cause: String)
    /// A newer version of Kontur made the database.
    case newerSchema(found: Int, known: Int)
    /// Another program made the database.
    case foreignDatabase(path: String)

    init(_ error: any Error) {
        switch error {
        case let error as JournalError: self = error
        case let error as SystemCallError where error.isFull: self = .full(cause: error.description)
        case let error as SystemCallError where error.isTemporary: self = .failing(cause: error.description)
        case let error as DatabaseError where error.resultCode == .SQLITE_FULL:
            self = .full(cause: "SQLite: \(error.message ?? "database or disk is full")")
        case let error as DatabaseError:
            // The message names tables and columns, and does not hold values.
            let cause = "SQLite \(error.extendedResultCode.rawValue): \(error.message ?? "no message")"
            self = Self.isTemporary(error.resultCode) ? .failing(cause: cause) : .rejected(cause: cause)
        default: self = .rejected(cause: "\(error)")
        }
    }

    /// Whether a result of SQLite concerns the disk, the memory or another process, and not the row.
    private static func isTemporary(_ code: ResultCode) -> Bool {
        switch code {
        case .SQLITE_FULL, .SQLITE_IOERR, .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_CANTOPEN, .SQLITE_NOMEM,
            .SQLITE_PROTOCOL, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_INTERRUPT, .SQLITE_ABORT:
            true
        default: false
        }
    }

    /// Whether the same call may succeed later, without a change to the row or to the program.
    public var isTemporary: Bool {
        switch self {
        case .full, .failing: true
        case .rejected, .newerSchema, .foreignDatabase: false
        }
    }

    public var description: String {
        switch self {
        case .full(let cause): "could not write the journal, the disk is full: \(cause); free disk space"
        case .failing(let cause): "could not use the journal: \(cause); check the disk that holds the spool"
        case .rejected(let cause):
            "the journal does not accept the change: \(cause); the disk is not at fault, so report this error"
        case .newerSchema(let found, let known):
            "the spool's database has schema \(found), and this version of kontur knows \(known); install the newer "
                + "kontur again, or choose another spool.path"
        case .foreignDatabase(let path): "\(path) is not a Kontur database; choose another spool.path"
        }
    }
}
