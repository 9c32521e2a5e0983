// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// Opens the one SQLite file: settings, checks, migrations.
enum JournalDatabase {
    /// "KNTR": tells a Kontur database from any other.
    static let applicationID: Int32 = 0x4B4E_5452

    /// The schema that this program knows: the number of its migrations.
    static let schema = 2

    static func open(_ path: String) throws -> DatabasePool {
        let isNew = !FileManager.default.fileExists(atPath: path)
        if isNew {
            // SQLite gives the log and the index file beside it the mode of the database.
            let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            if descriptor >= 0 { close(descriptor) }
        }
        let pool: DatabasePool
        do {
            try check(path, isNew: isNew)
            pool = try DatabasePool(path: path, configuration: configuration())
        } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB {
            throw JournalError.foreignDatabase(path: path)
        }
        try migrate(pool, path: path, isNew: isNew)
        try pool.writeWithoutTransaction { db in
            // GRDB sets NORMAL when it switches to WAL; an acknowledged instance needs the log synced by each commit.
            try db.execute(sql: "PRAGMA synchronous = FULL")
            let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
            let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode")
            precondition(synchronous == 2 && mode == "wal", "SQLite would not sync each commit")
        }
        return pool
    }

    private static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.maximumReaderCount = 4
        configuration.label = "kontur"
        configuration.prepareDatabase { db in
            // Readers cannot set it, and need not.
            if !db.configuration.readonly { try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL") }
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
        }
        return configuration
    }

    /// Refuses what is not ours, before anything is written to it.
    private static func check(_ path: String, isNew: Bool) throws {
        guard !isNew else { return }
        let queue = try DatabaseQueue(path: path, configuration: readOnly())
        try queue.read { db in
            let application = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            // The migrator's own table is there before the first migration: a start that was cut short between the two
            // leaves nothing else.
            let tables =
                try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'grdb_migrations'") ?? 0
            guard application == applicationID || (application == 0 && tables == 0) else {
                throw JournalError.foreignDatabase(path: path)
            }
            guard found <= schema else { throw JournalError.newerSchema(found: found, known: schema) }
        }
        try queue.close()
    }

    private static func readOnly() -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        return configuration
    }

    private static func migrate(_ pool: DatabasePool, path: String, isNew: Bool) throws {
        var migrator = DatabaseMigrator()
        migrator.registerMigration(Migration1.name) { db in
            try db.execute(sql: Migration1.sql)
            try db.execute(sql: "PRAGMA application_id = \(applicationID)")
            try db.execute(sql: "PRAGMA user_version = 1")
        }
        migrator.registerMigration(Migration2.name) { db in
            try db.execute(sql: Migration2.sql)
            try db.execute(sql: "PRAGMA user_version = 2")
        }
        let applied = try pool.read { db in
            try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        }
        guard applied < schema else { return }
        if applied > 0 {
            let copy = try DatabaseQueue(path: path + ".schema-\(applied)")
            try pool.backup(to: copy)
            try copy.close()
            chmod(path + ".schema-\(applied)", 0o600)
        }
        try migrator.migrate(pool)
    }
}
