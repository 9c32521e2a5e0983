// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// Puts the spool in order when the node starts, before any service reads it.
///
/// A file is never deleted because its row is missing, and a row is never removed because its file cannot be read: only
/// a file that is provably absent or different counts as lost. See ``Adoption`` for files without rows.
struct Recovery {
    let journal: Journal
    /// Reads the File Meta Information of files without rows.
    let facts: StoredFileFacts.Reader?
    /// How the database relates to the newest record that the spool had seen before this start.
    let standing: JournalHead.Standing

    private var spool: Spool { journal.spool }

    func run() throws -> RecoveryReport {
        var report = RecoveryReport()
        if let reason = standing.reason {
            report.databaseBehind = reason
            try journal.write { try $0.record(.databaseBehind, AuditEvent(reason: reason)) }
        }
        try finishDiscards()
        // An older database may name files that retention has deleted since.
        try settle(all: standing != .whole, &report)
        try Adoption(journal: journal, facts: facts).run(&report)
        try journal.write { try $0.offersInterrupted() }
        spool.emptyWork()
        return report
    }

    /// Removes the files whose rows were deleted just before the node ended.
    private func finishDiscards() throws {
        var last = ""
        while true {
            let page = try journal.read { view in
                try view.rows(
                    "SELECT path FROM discard WHERE path > ? ORDER BY path LIMIT ?", [last, view.pageSize]
                ).map { $0["path"] as String }
            }
            guard let end = page.last else { return }
            last = end
            // A file that cannot be removed now keeps its row for the next start.
            journal.remove(page)
        }
    }

    private struct Suspect {
        let id: Int64
        let stored: String
        let size: Int64
        let headerSize: Int64
        let sha256: Data
        let confirmed: Bool
        /// Whether the instance may have been acknowledged although its row does not say that its file is on disk: a
        /// row of an older database.
        let isFromOlder: Bool
        let isReceived: Bool
    }

    /// The state of the file of a row.
    private enum Finding: Equatable {
        case whole, absent, different
        /// The file may be whole; it cannot be read now.
        case unreadable(String)
    }

    /// Confirms or removes each row if its file may not be on disk.
    ///
    /// The file of an unconfirmed row is hashed and synced. The file of a confirmed row only needs the right size.
    ///
    /// - Parameters:
    ///   - all: whether the rows of indexed instances are examined, too.
    ///   - report: counts what was found.
    /// - Throws: the errors of the journal.
    private func settle(all: Bool, _ report: inout RecoveryReport) throws {
        var after: Int64 = 0
        let waiting = all ? "state IN ('received', 'indexed')" : "state = 'received'"
        while true {
            let page = try journal.read { view in
                try view.rows(
                    """
                    SELECT id, folder, file, size, headerSize, sha256, confirmed, state FROM instance
                    WHERE id > ? AND (confirmed = 0 AND state <> 'quarantined' OR \(waiting)) ORDER BY id LIMIT ?
                    """, [after, view.pageSize]
                ).map { row in
                    let (folder, file, state): (String, String, String) = (row["folder"], row["file"], row["state"])
                    return Suspect(
                        id: row["id"], stored: folder + "/" + file, size: row["size"], headerSize: row["headerSize"],
                        sha256: row["sha256"], confirmed: row["confirmed"], isFromOlder: all,
                        isReceived: state == "received")
                }
            }
            guard let last = page.last else { return }
            after = last.id
            try settle(page.map { ($0, examine($0)) }, &report)
        }
    }

    private func settle(_ page: [(suspect: Suspect, finding: Finding)], _ report: inout RecoveryReport) throws {
        var found: [Suspect] = []
        var gone: [Suspect] = []
        for (suspect, finding) in page {
            switch finding {
            case .whole: if !suspect.confirmed { found.append(suspect) }
            case .absent, .different: gone.append(suspect)
            case .unreadable(let cause): withhold(suspect, cause, &report)
            }
        }
        let folders = Dictionary(grouping: found) { ($0.stored as NSString).deletingLastPathComponent }
        for (folder, suspects) in folders {
            do throws(SystemCallError) {
                try spool.patiently { () throws(SystemCallError) in try spool.calls.syncFolder(spool.absolute(folder)) }
            } catch {
                let ids = Set(suspects.map(\.id))
                found.removeAll { ids.contains($0.id) }
                for suspect in suspects { withhold(suspect, "\(error)", &report) }
            }
        }
        if gone.isEmpty && found.isEmpty { return }
        try journal.write { transaction in
            for suspect in gone {
                if suspect.confirmed || suspect.isFromOlder {
                    try transaction.lost(
                        suspect.id, AuditEvent(reason: "its file is missing or different, although it was stored"))
                } else {
                    try transaction.neverAcknowledged(
                        suspect.id, AuditEvent(reason: "its file was missing or different when the node started"))
                }
            }
            for suspect in found {
                try transaction.execute("UPDATE instance SET confirmed = 1 WHERE id = ?", [suspect.id])
            }
        }
        let lost = gone.count { $0.confirmed || $0.isFromOlder }
        report.lost += lost
        report.neverAcknowledged += gone.count - lost
    }

    /// Leaves a row as it is, and keeps it from the indexer, because its file cannot be read now.
    private func withhold(_ suspect: Suspect, _ cause: String, _ report: inout RecoveryReport) {
        if suspect.isReceived { journal.unsettled.end(suspect.id, confirmed: false, withdrawn: true) }
        report.unreadable += 1
        report.readError = report.readError ?? cause
    }

    private func examine(_ suspect: Suspect) -> Finding {
        let path = spool.absolute(suspect.stored)
        do throws(SystemCallError) {
            switch spool.way(to: suspect.stored) {
            case .clear: break
            case .absent: return .absent
            case .blocked: return .unreadable("a folder on the way is a symbolic link, or cannot be read")
            }
            let status = try spool.patiently { () throws(SystemCallError) in try spool.calls.status(path) }
            guard status.kind == .file, status.size == suspect.size else { return .different }
            if suspect.confirmed { return .whole }
            let hash = try spool.patiently { () throws(SystemCallError) in
                try StoredFile.hash(path, from: suspect.headerSize, calls: spool.calls)
            }
            guard hash == suspect.sha256 else { return .different }
            let file = try spool.calls.open(path)
            try spool.patiently { () throws(SystemCallError) in try spool.calls.syncFile(file, path) }
            return .whole
        } catch {
            return error.isMissing ? .absent : .unreadable("\(error)")
        }
    }
}

/// Reads a stored file through the table of calls.
enum StoredFile {
    /// SHA-256 of a file from a byte offset on, 32 bytes.
    static func hash(_ path: String, from offset: Int64, calls: DurableCalls) throws(SystemCallError) -> Data {
        let file = try calls.open(path)
        var hasher = SHA256()
        var skipped: Int64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while case .bytes(let count) = try calls.read(file, buffer) {
            let skip = Int(min(offset - skipped, Int64(count)))
            skipped += Int64(skip)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[skip..<count]))
        }
        return Data(hasher.finalize())
    }

    /// The first bytes of a file, at most `count`.
    static func head(_ path: String, _ count: Int, calls: DurableCalls) throws(SystemCallError) -> [UInt8] {
        let file = try calls.open(path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < count,
            case .bytes(let read) = try calls.read(file, UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
        { done += read }
        return Array(buffer[..<done])
    }
}
