// SPDX-License-Identifier: Apache-2.0
//
// Copies a spool whose node may be running. Files come first, then the database, and then the files that arrived in
// between. Files of the copy that its database does not name are removed at the end. A file that retention deletes after
// the first step is thus in the copy already, and a file that arrives later is young, so that retention leaves it alone.
// The mark comes last: a copy that was cut off is not a spool.

import Foundation
import GRDB
import Platform

/// A copy of a spool: a database, and the files that fit it.
public struct SpoolBackup {
    /// The content of a copy.
    public struct Summary: Sendable, Equatable, Codable {
        /// Number of received instances.
        public var instances = 0
        /// Number of objects that Kontur made.
        public var objects = 0
        /// Size of all these files, in bytes.
        public var bytes: Int64 = 0
        /// Number of files that share their blocks with the spool, because both lie on one file system.
        public var linked = 0
        /// Number of files that the database names and that the spool does not have.
        public var missing = 0
    }

    /// The reason why a spool cannot be copied.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// The folder holds something.
        case notEmpty(path: String)
        /// The folder lies inside a spool.
        case insideSpool(path: String)
        /// The disk fails or is full.
        case failing(path: String, cause: String)

        public var description: String {
            switch self {
            case .notEmpty(let path): "\(path) is not an empty folder; name a new one, or delete an unfinished copy"
            case .insideSpool(let path): "\(path) lies inside a spool; name a folder outside"
            case .failing(let path, let cause): "could not copy the spool to \(path): \(cause)"
            }
        }
    }

    private let journal: Journal
    private let path: String

    /// - Parameters:
    ///   - journal: the journal to copy; its node may be running.
    ///   - path: a folder that does not exist or is empty.
    public init(journal: Journal, to path: String) {
        self.journal = journal
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// Makes the copy and records it in the trail of the copied spool.
    ///
    /// - Throws: ``Failure``, ``SpoolError`` and ``JournalError``.
    public func run(_ event: AuditEvent) throws -> Summary {
        let summary = try copy()
        try journal.write { try $0.spoolCopied(instances: summary.instances, event) }
        return summary
    }

    /// Makes the copy alone, for which a journal that was opened for reading is enough.
    ///
    /// The disk of the spool may be full.
    ///
    /// - Throws: ``Failure``, ``SpoolError`` and ``JournalError``.
    public func copy() throws -> Summary {
        let target = try makeFolder()
        do {
            return try Copy(journal: journal, path: target).run()
        } catch let error as SystemCallError {
            throw Failure.failing(path: path, cause: error.description)
        } catch let error as DatabaseError {
            throw Failure.failing(path: path, cause: "SQLite: \(error.message ?? "no message")")
        }
    }

    /// Makes the folder, or checks that it is empty; returns its path without symbolic links.
    private func makeFolder() throws -> String {
        let isThere = (try? FileSystem.status(path)) != nil
        if !isThere {
            do {
                try FileManager.default.createDirectory(
                    atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            } catch {
                throw Failure.failing(path: path, cause: "the folder cannot be made")
            }
        }
        guard let target = try? FileSystem.resolved(path), let names = try? FileSystem.names(in: target),
            names.isEmpty || names == ["lost+found"]
        else { throw Failure.notEmpty(path: path) }
        if SpoolMark.spool(around: target) != nil {
            if !isThere { FileSystem.removeEmptyFolder(target) }
            throw Failure.insideSpool(path: path)
        }
        return target
    }
}

/// One copy under way.
private struct Copy {
    let journal: Journal
    /// The folder of the copy, without symbolic links.
    let path: String
    private var spool: Spool { journal.spool }
    private static let attempts = 5

    func run() throws -> SpoolBackup.Summary {
        FileSystem.setMode(0o700, of: path)
        for folder in Spool.Folder.allCases { try FileSystem.makeFolder(path + "/" + folder.rawValue) }
        var folders: Set<String> = []
        for folder in spool.survey().folders {
            for name in (try? FileSystem.names(in: spool.absolute(folder))) ?? [] where Spool.isFileName(name) {
                _ = try place(folder, name, &folders)
            }
        }
        var summary = SpoolBackup.Summary()
        for attempt in 1...Self.attempts {
            let database = try snapshot()
            defer { try? database.close() }
            summary = try complete(database, &folders)
            // A file that was deleted in between has no row in the next snapshot.
            if summary.missing == 0 || attempt == Self.attempts { break }
        }
        try copyModels()
        try copyWhole("subject.key")
        for folder in folders.sorted() + Spool.Folder.allCases.map(\.rawValue) {
            try FileSystem.syncFolder(path + "/" + folder)
        }
        try FileDescriptor(path: part, for: .readingWithoutLinks).syncAll()
        try FileSystem.rename(part, to: path + "/kontur.sqlite")
        try SpoolMark.write(path, calls: .real)
        return summary
    }

    private var part: String { path + "/kontur.sqlite.part" }

    // MARK: - Database

    /// Copies the database as it is now.
    private func snapshot() throws -> DatabaseQueue {
        for suffix in ["", "-wal", "-shm", "-journal"] { try FileSystem.remove(part + suffix) }
        _ = try FileDescriptor(path: part, for: .creating)
        let database = try DatabaseQueue(path: part)
        try journal.pool.backup(to: database)
        return database
    }

    /// Copies the files that a snapshot names and that the copy lacks, and removes the others.
    private func complete(_ database: DatabaseQueue, _ folders: inout Set<String>) throws -> SpoolBackup.Summary {
        var summary = SpoolBackup.Summary()
        var named: Set<String> = []
        let lists = [
            "SELECT id, folder, file, size FROM instance WHERE id > ? ORDER BY id LIMIT 1000",
            """
            SELECT id, substr(path, 1, length(path) - 41) AS folder, substr(path, -40) AS file, size
            FROM derivedInstance WHERE id > ? AND path IS NOT NULL ORDER BY id LIMIT 1000
            """,
        ]
        for (index, list) in lists.enumerated() {
            var after: Int64 = 0
            while true {
                let page = try database.read { try Row.fetchAll($0, sql: list, arguments: [after]) }
                guard let last = page.last else { break }
                after = last["id"]
                for row in page {
                    let (folder, file, size): (String, String, Int64) = (row["folder"], row["file"], row["size"])
                    let stored = folder + "/" + file
                    guard try isPlaced(folder, file, size: size, &folders) else {
                        summary.missing += 1
                        continue
                    }
                    named.insert(stored)
                    summary.bytes += size
                    if index == 0 { summary.instances += 1 } else { summary.objects += 1 }
                    if ((try? FileSystem.status(path + "/" + stored))?.names ?? 1) > 1 { summary.linked += 1 }
                }
            }
        }
        for folder in folders {
            for name in try FileSystem.names(in: path + "/" + folder) where !named.contains(folder + "/" + name) {
                try FileSystem.remove(path + "/" + folder + "/" + name)
            }
        }
        try write(head: database.read { try JournalHead.newest($0) })
        return summary
    }

    private func write(head: JournalHead) throws {
        try head.write(to: FileDescriptor(path: path + "/" + JournalHead.name, for: .updating))
    }

    // MARK: - Files

    /// Whether the copy has a file with this size, copied now if necessary.
    private func isPlaced(
        _ folder: String, _ name: String, size: Int64, _ folders: inout Set<String>
    ) throws -> Bool {
        let new = path + "/" + folder + "/" + name
        if (try? FileSystem.status(new))?.size == size { return true }
        // The file was still being received when it was copied, or the spool's file does not fit its row either.
        try FileSystem.remove(new)
        guard try place(folder, name, &folders) || placeMoved(folder, name, &folders) else { return false }
        let source = try? FileSystem.status(spool.absolute(folder + "/" + name))
        return source.map { $0.size == (try? FileSystem.status(new))?.size } ?? true
    }

    /// Gives a file of the spool a name in the copy, or copies it to another file system.
    ///
    /// - Returns: `false` if the spool does not have the file any more.
    private func place(_ folder: String, _ name: String, _ folders: inout Set<String>) throws -> Bool {
        let stored = folder + "/" + name
        guard spool.isInside(stored), (try? FileSystem.status(spool.absolute(stored)))?.kind == .file else {
            return false
        }
        try makeFolder(folder, &folders)
        return try place(spool.absolute(stored), at: path + "/" + stored)
    }

    /// Gives a file that has moved to `quarantine/` since the snapshot the name in the copy that the snapshot knows.
    ///
    /// - Returns: `false` if the file is not in quarantine.
    private func placeMoved(_ folder: String, _ name: String, _ folders: inout Set<String>) throws -> Bool {
        let quarantine = Spool.Folder.quarantine.rawValue
        for day in (try? FileSystem.names(in: spool.absolute(quarantine))) ?? [] {
            let moved = quarantine + "/" + day + "/" + name
            guard spool.isInside(moved), FileSystem.exists(spool.absolute(moved)) else { continue }
            try makeFolder(folder, &folders)
            return try place(spool.absolute(moved), at: path + "/" + folder + "/" + name)
        }
        return false
    }

    private func makeFolder(_ folder: String, _ folders: inout Set<String>) throws {
        guard folders.insert(folder).inserted else { return }
        var parent = path
        for part in folder.split(separator: "/") {
            parent += "/" + part
            try FileSystem.makeFolder(parent)
        }
    }

    private func place(_ old: String, at new: String) throws -> Bool {
        do throws(SystemCallError) {
            try FileSystem.link(old, to: new)
        } catch {
            if error.isMissing { return false }
            guard error.cannotLink else { throw error }
            return try copy(old, to: new)
        }
        return true
    }

    private func copy(_ old: String, to new: String) throws -> Bool {
        let source: FileDescriptor
        do throws(SystemCallError) { source = try FileDescriptor(path: old, for: .readingWithoutLinks) } catch {
            if error.isMissing { return false }
            throw error
        }
        let file = try FileDescriptor(path: new, for: .creating)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while case .bytes(let count) = try source.read(into: buffer) {
            try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        try file.sync()
        return true
    }

    private func copyWhole(_ name: String) throws {
        if (try? FileSystem.status(spool.absolute(name)))?.kind == .file {
            _ = try copy(spool.absolute(name), to: path + "/" + name)
        }
    }

    /// Copies installed weights, if they lie in the spool.
    private func copyModels() throws {
        let models = Spool.Folder.models.rawValue
        for name in (try? FileSystem.names(in: spool.absolute(models))) ?? [] where !name.hasPrefix(".") {
            let stored = models + "/" + name
            guard (try? FileSystem.status(spool.absolute(stored)))?.kind == .file else { continue }
            _ = try place(spool.absolute(stored), at: path + "/" + stored)
        }
    }
}
