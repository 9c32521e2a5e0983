// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// Opens the SQLite file of the journal: checks it, migrates it, and sets how it is used.
package enum JournalDatabase {
    /// "KNTR", which marks a database of Kontur.
    static let applicationID: Int32 = 0x4B4E_5452

    /// All migrations in their order; a migration's name is the number of its schema.
    static let migrations = [
        (name: Migration1.name, sql: Migration1.sql),
        (name: Migration2.name, sql: Migration2.sql),
        (name: Migration3.name, sql: Migration3.sql),
        (name: Migration4.name, sql: Migration4.sql),
        (name: Migration5.name, sql: Migration5.sql),
        (name: Migration6.name, sql: Migration6.sql),
        (name: Migration7.name, sql: Migration7.sql),
        (name: Migration8.name, sql: Migration8.sql),
    ]

    /// The newest schema that this program knows.
    package static let schema = migrations.compactMap { Int($0.name) }.max() ?? 0

    /// Opens or makes the database.
    ///
    /// - Throws: ``JournalError`` for a database of another program or of a newer version, and `DatabaseError`.
    static func open(_ path: String) throws -> DatabasePool {
        let isNew = !FileManager.default.fileExists(atPath: path)
        if isNew {
            // SQLite gives the write-ahead log and its index the mode of the database file. Opening reports a failure.
            _ = try? FileDescriptor(path: path, for: .updating)
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
            // GRDB sets NORMAL when it switches to WAL. An acknowledged instance needs a log that each commit syncs.
            try db.execute(sql: "PRAGMA synchronous = FULL")
            let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
            let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode")
            precondition(synchronous == 2 && mode == "wal", "SQLite would not sync each commit")
        }
        return pool
    }

    /// Opens the database for reading alone, and does not need a byte of room on the disk.
    ///
    /// A database of an older version is migrated, which needs room.
    ///
    /// - Parameters:
    ///   - path: the database file.
    ///   - isNodeRunning: whether a node has the database open.
    /// - Returns: a connection that cannot write.
    /// - Throws: ``JournalError`` for a database of another program or of a newer version, and `DatabaseError`.
    static func openForReading(_ path: String, isNodeRunning: Bool) throws -> any DatabaseWriter {
        var ways: [() throws -> DatabaseQueue] = []
        if !isNodeRunning, FileSystem.size(path + "-wal") ?? 0 == 0 {
            // Nobody writes, and everything is in the file itself. Without this promise SQLite makes two files.
            ways.append {
                let allowed = CharacterSet(charactersIn: "?#%").inverted
                let escaped = path.addingPercentEncoding(withAllowedCharacters: allowed) ?? path
                return try DatabaseQueue(path: "file:\(escaped)?immutable=1", configuration: reading())
            }
        }
        ways.append { try DatabaseQueue(path: path, configuration: reading()) }
        if !isNodeRunning {
            // The index of the write-ahead log cannot be written as a file, so it is kept in memory.
            ways.append {
                var configuration = readOnly()
                configuration.prepareDatabase { db in
                    try db.execute(
                        sql: "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON")
                }
                return try DatabaseQueue(path: path, configuration: configuration)
            }
        }
        var failure: (any Error)?
        for way in ways {
            do {
                let queue = try way()
                if try queue.read({ try check($0, path: path) }) < schema { return try open(path) }
                return queue
            } catch let error as DatabaseError {
                failure = failure ?? error
            }
        }
        throw failure ?? JournalError.foreignDatabase(path: path)
    }

    private static func reading() -> Configuration {
        var configuration = configuration()
        configuration.readonly = true
        return configuration
    }

    private static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.maximumReaderCount = 4
        configuration.label = "kontur"
        configuration.prepareDatabase { db in
            // A reading connection cannot set these and does not need them.
            if !db.configuration.readonly {
                try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
                // The bytes of an erased link to a patient must not stay in the file.
                try db.execute(sql: "PRAGMA secure_delete = ON")
            }
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
        }
        return configuration
    }

    /// Whether a file is a database of Kontur, of any version; the file is not changed.
    static func isOurs(_ path: String) -> Bool {
        guard (try? FileSystem.status(path))?.kind == .file else { return false }
        var configuration = readOnly()
        configuration.readonly = true
        guard let queue = try? DatabaseQueue(path: path, configuration: configuration) else { return false }
        defer { try? queue.close() }
        let application = try? queue.read { db in try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0 }
        return application == applicationID
    }

    /// Refuses a foreign or newer database before anything is written to it.
    private static func check(_ path: String, isNew: Bool) throws {
        guard !isNew else { return }
        let queue = try DatabaseQueue(path: path, configuration: readOnly())
        _ = try queue.read { try check($0, path: path) }
        try queue.close()
    }

    /// The schema of a database, which must be one of Kontur's and not newer than this program.
    private static func check(_ db: Database, path: String) throws -> Int {
        let application = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        // The migrator makes its own table before the first migration. A start that was cut off between the two
        // leaves only that table.
        let tables =
            try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'grdb_migrations'") ?? 0
        guard application == applicationID || (application == 0 && tables == 0) else {
            throw JournalError.foreignDatabase(path: path)
        }
        guard found <= schema else { throw JournalError.newerSchema(found: found, known: schema) }
        return found
    }

    private static func readOnly() -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        return configuration
    }

    private static func migrate(_ pool: DatabasePool, path: String, isNew: Bool) throws {
        let applied = try pool.read { db in
            try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        }
        guard applied < schema else { return }
        if applied > 0 {
            let copy = try DatabaseQueue(path: path + ".schema-\(applied)")
            try pool.backup(to: copy)
            try copy.close()
            FileSystem.setMode(0o600, of: path + ".schema-\(applied)")
        }
        try migrator().migrate(pool)
    }

    private static func migrator() -> DatabaseMigrator {
        var migrator = DatabaseMigrator()
        for migration in migrations {
            migrator.registerMigration(migration.name) { db in
                try db.execute(sql: migration.sql)
                try db.execute(sql: "PRAGMA application_id = \(applicationID)")
                try db.execute(sql: "PRAGMA user_version = \(migration.name)")
            }
        }
        return migrator
    }

    /// Makes a database of an older schema, so that tests can open it with this program.
    ///
    /// - Parameters:
    ///   - path: the database file, which must not exist.
    ///   - schema: the number of the last migration to apply.
    /// - Throws: `DatabaseError`.
    package static func make(_ path: String, schema: Int) throws {
        let queue = try DatabaseQueue(path: path, configuration: configuration())
        try migrator().migrate(queue, upTo: "\(schema)")
        try queue.close()
    }
}
