// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation
import GRDB

/// Puts the spool in order when the node starts, before anything else sees it.
struct Recovery {
    let journal: Journal

    private var spool: Spool { journal.spool }

    func run() throws {
        try settle()
        try removeOrphans()
    }

    private struct Suspect {
        let id: Int64
        let path: String
        let size: Int64
        let headerSize: Int64
        let sha256: Data
        let confirmed: Bool
    }

    /// Rows that a crash left unconfirmed are hashed and synced, or removed; of others that wait, the size must fit.
    private func settle() throws {
        var after: Int64 = 0
        while true {
            let page = try journal.read { view in
                try view.rows(
                    """
                    SELECT id, folder, file, size, headerSize, sha256, confirmed FROM instance
                    WHERE id > ? AND (confirmed = 0 OR state = 'received') ORDER BY id LIMIT 500
                    """, [after]
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
        guard Journal.size(suspect.path) == suspect.size else { return false }
        if suspect.confirmed { return true }
        guard let file = FileHandle(forReadingAtPath: suspect.path) else { return false }
        defer { try? file.close() }
        var hasher = SHA256()
        do {
            try file.seek(toOffset: UInt64(suspect.headerSize))
            while let part = try file.read(upToCount: 1 << 20), !part.isEmpty { hasher.update(data: part) }
            guard Data(hasher.finalize()) == suspect.sha256 else { return false }
            try spool.calls.syncFile(file.fileDescriptor, suspect.path)
            return true
        } catch {
            return false
        }
    }

    private func sync(folder: String) throws {
        do { try spool.calls.syncFolder(folder) } catch { throw SpoolError(error) }
    }

    // MARK: - Files without rows

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

extension Spool {
    /// The folders that hold files, relative: hours of `instances/`, days of `quarantine/` and `derived/`.
    func fileFolders() throws -> [String] {
        func names(_ folder: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: absolute(folder)).sorted().map { folder + "/" + $0 }
        }
        return try names(Folder.instances.rawValue).flatMap(names) + names(Folder.quarantine.rawValue)
            + names(Folder.derived.rawValue)
    }
}
