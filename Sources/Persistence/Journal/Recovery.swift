// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// Puts the spool in order when the node starts, before any service reads it.
struct Recovery {
    let journal: Journal

    private var spool: Spool { journal.spool }

    func run() throws {
        try finishDiscards()
        try settle()
        try removeOrphans()
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
        let path: String
        let size: Int64
        let headerSize: Int64
        let sha256: Data
        let confirmed: Bool
    }

    /// Confirms or removes each row if its file may not be on disk.
    ///
    /// The file of an unconfirmed row is hashed and synced. The file of a confirmed row that waits to be indexed only
    /// needs the right size.
    private func settle() throws {
        var after: Int64 = 0
        while true {
            let page = try journal.read { view in
                try view.rows(
                    """
                    SELECT id, folder, file, size, headerSize, sha256, confirmed FROM instance
                    WHERE id > ? AND (confirmed = 0 OR state = 'received') ORDER BY id LIMIT ?
                    """, [after, view.pageSize]
                ).map { row in
                    Suspect(
                        id: row["id"], path: view.path(row), size: row["size"], headerSize: row["headerSize"],
                        sha256: row["sha256"], confirmed: row["confirmed"])
                }
            }
            guard let last = page.last else { return }
            after = last.id
            let lost = page.filter { !isWhole($0) }
            let found = Set(page.filter { !$0.confirmed }.map(\.id)).subtracting(lost.map(\.id))
            for folder in Set(
                page.filter { found.contains($0.id) }.map { ($0.path as NSString).deletingLastPathComponent })
            {
                try sync(folder: folder)
            }
            if lost.isEmpty && found.isEmpty { continue }
            try journal.write { transaction in
                for suspect in lost {
                    try transaction.neverAcknowledged(
                        suspect.id, AuditEvent(reason: "its file was missing or different when the node started"))
                }
                for id in found {
                    try transaction.execute("UPDATE instance SET confirmed = 1 WHERE id = ?", [id])
                }
            }
            for suspect in lost { try? spool.calls.remove(suspect.path) }
        }
    }

    private func isWhole(_ suspect: Suspect) -> Bool {
        guard FileSystem.size(suspect.path) == suspect.size else { return false }
        if suspect.confirmed { return true }
        do throws(SystemCallError) {
            let file = try FileDescriptor(path: suspect.path, for: .reading)
            guard try hash(file, from: Int(suspect.headerSize)) == suspect.sha256 else { return false }
            try spool.calls.syncFile(file, suspect.path)
            return true
        } catch {
            return false
        }
    }

    /// SHA-256 of a file from a byte offset on.
    private func hash(_ file: FileDescriptor, from offset: Int) throws(SystemCallError) -> Data {
        var hasher = SHA256()
        var skipped = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while case .bytes(let count) = try file.read(into: buffer) {
            let skip = min(offset - skipped, count)
            skipped += skip
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[skip..<count]))
        }
        return Data(hasher.finalize())
    }

    private func sync(folder: String) throws {
        do { try spool.calls.syncFolder(folder) } catch { throw SpoolError(error) }
    }

    // MARK: - Files without rows

    /// Removes unfinished work, and every file that no row names.
    private func removeOrphans() throws {
        for name in try files(spool.workPath) {
            try? FileManager.default.removeItem(atPath: spool.workPath + "/" + name)
        }
        for folder in try spool.fileFolders() {
            let known: Set<String> = try journal.read { view in
                let rows =
                    folder.hasPrefix(Spool.Folder.derived.rawValue + "/")
                    ? try view.rows(
                        "SELECT path FROM derivedInstance WHERE path >= ? AND path < ?", [folder + "/", folder + "0"])
                    : try view.rows("SELECT folder || '/' || file AS path FROM instance WHERE folder = ?", [folder])
                return Set(rows.map { $0["path"] as String })
            }
            for name in try files(spool.absolute(folder)) where !known.contains(folder + "/" + name) {
                spool.discard(folder + "/" + name)
            }
        }
    }

    private func files(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path)
    }
}
