// SPDX-License-Identifier: Apache-2.0
//
// The file `journal.head` beside the database. It names the newest audit record that this spool has seen. A database
// that ends before this record was put back from an older copy, or was lost.

import Foundation
import GRDB
import Platform

/// Number and hash of an audit record.
struct JournalHead: Equatable, Sendable {
    /// Name of the file in the spool.
    static let name = "journal.head"

    /// Number of the record; 0 before the first one.
    var number: Int64
    /// Hash of the record.
    var hash: String

    /// One line of a fixed length.
    private var encoded: [UInt8] {
        let digits = String(number)
        return Array((String(repeating: "0", count: 19 - digits.count) + digits + " " + hash + "\n").utf8)
    }

    /// Reads the file; `nil` if it is missing or torn, so that it does not prove anything.
    static func read(_ folder: String) -> JournalHead? {
        guard (try? FileSystem.status(folder + "/" + name))?.kind == .file,
            let data = FileManager.default.contents(atPath: folder + "/" + name)
        else { return nil }
        let words = String(decoding: data, as: UTF8.self).split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard words.count == 2, words[0].count == 19, words[1].count == AuditRecord.origin.count,
            let number = Int64(words[0])
        else { return nil }
        return JournalHead(number: number, hash: String(words[1]))
    }

    /// Overwrites the file, which always has the same length and so does not need room on a full disk.
    ///
    /// The file is not synced: after a power failure an older head only proves less.
    func write(to file: FileDescriptor) throws(SystemCallError) {
        let line = encoded
        try line.span.bytes.withUnsafeBytes { bytes throws(SystemCallError) in try file.overwrite(bytes, at: 0) }
    }

    /// The newest record of a database.
    static func newest(_ db: Database) throws -> JournalHead {
        let last = try Row.fetchOne(db, sql: "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        let segment = try Row.fetchOne(
            db,
            sql: "SELECT firstNumber - 1 AS number, previousHash AS hash FROM auditSegment ORDER BY id DESC LIMIT 1")
        let heads = [last, segment].compactMap { row in
            row.map { JournalHead(number: $0["number"], hash: $0["hash"]) }
        }
        return heads.max { $0.number < $1.number } ?? JournalHead(number: 0, hash: AuditRecord.origin)
    }

    /// How the database relates to the newest record that the spool has seen.
    enum Standing: Equatable, Sendable {
        /// The database holds the record, or nothing is known.
        case whole
        /// The database ends before the record; `found` is its newest record, 0 for a new database.
        case behind(found: Int64, seen: Int64)
        /// The database has another record of that number, so that it belongs to another spool.
        case other(seen: Int64)
    }

    /// Compares a database with a head that was read before anything was written to the database.
    static func standing(_ seen: JournalHead?, of db: Database) throws -> Standing {
        guard let seen, seen.number > 0 else { return .whole }
        let newest = try newest(db)
        if newest.number < seen.number { return .behind(found: newest.number, seen: seen.number) }
        let hash = try String.fetchOne(db, sql: "SELECT hash FROM audit WHERE number = ?", arguments: [seen.number])
        return hash == nil || hash == seen.hash ? .whole : .other(seen: seen.number)
    }
}

extension JournalHead.Standing {
    /// The reason of the record `databaseBehind`; `nil` if nothing is wrong.
    var reason: String? {
        switch self {
        case .whole: nil
        case .behind(found: 0, let seen):
            "the database was missing, and this spool had seen audit record \(seen); files without a row are adopted"
        case .behind(let found, let seen):
            "the database ends at audit record \(found), and this spool had seen record \(seen): an older copy was put "
                + "back; files without a row are adopted"
        case .other(let seen):
            "the database has another audit record \(seen) than this spool had seen: a copy of another time or node "
                + "was put here; files without a row are adopted"
        }
    }
}
