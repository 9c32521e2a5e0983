// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// Deletes files and rows that the node does not need any more.
///
/// The node needs an instance while the instance waits, while its series is open or set aside, and while a job or a delivery of its
/// series is open. The configuration keeps the instance for some time after that. A folder of received files is deleted
/// as a whole, once the node does not need any of its files. A dead delivery keeps its file.
///
/// The present time, at which an age ends, is the earlier of two readings: the wall clock, and a monotonic clock that
/// was set to the wall clock's time at the start. A wall clock that jumps forward therefore does not age a row. If the
/// wall clock jumps back, new rows get earlier times. The wall clock is then the earlier reading, so that these rows
/// are not old at once.
public struct Retention: Sendable {
    /// The numbers of things that a run deleted.
    public struct Deletions: Sendable, Equatable {
        /// Folders of received files.
        public var folders = 0
        /// Received instances.
        public var instances = 0
        /// Files of derived objects.
        public var derived = 0
        /// Series with their stacks, jobs and deliveries.
        public var series = 0

        /// Makes counts.
        public init(folders: Int = 0, instances: Int = 0, derived: Int = 0, series: Int = 0) {
            self.folders = folders
            self.instances = instances
            self.derived = derived
            self.series = series
        }
    }

    private let journal: Journal
    private let started: Date
    private let elapsed: @Sendable () -> Duration
    /// Number of rows that one transaction deletes.
    private static let page = 200

    /// Makes a retention and starts its monotonic clock.
    ///
    /// - Parameters:
    ///   - journal: the journal to tidy.
    ///   - elapsed: monotonic time since this call.
    public init(journal: Journal, elapsed: @escaping @Sendable () -> Duration) {
        self.journal = journal
        self.elapsed = elapsed
        started = journal.date
    }

    /// Makes one pass; the next pass continues a pass that was cut off.
    ///
    /// Each step is a short transaction with its audit record.
    @discardableResult
    public func run() throws -> Deletions {
        var deletions = Deletions()
        let now = min(started.addingTimeInterval(elapsed() / .seconds(1)), journal.date)
        let limits = Limits(keep: journal.spool.configuration.keep, now: now.microseconds)
        for folder in try journal.spool.fileFolders() where !folder.hasPrefix(Spool.Folder.derived.rawValue + "/") {
            try clear(folder, limits, &deletions)
        }
        try deleteSeries(&deletions)
        try deleteDerived(limits, &deletions)
        try deleteAssociations(limits)
        try removeEmptyFolders(now)
        try journal.vacuum()
        return deletions
    }

    /// Times before which a row must have changed to be deleted, in microseconds since 1970.
    private struct Limits {
        let done: Int64
        let unmatched: Int64
        let quarantined: Int64

        init(keep: SpoolConfiguration.Keep, now: Int64) {
            func limit(_ age: Duration) -> Int64 { now - age.components.seconds * 1_000_000 }
            done = limit(keep.done)
            unmatched = limit(keep.unmatched)
            quarantined = limit(keep.quarantined)
        }

        var arguments: StatementArguments {
            ["done": done, "unmatched": unmatched, "quarantined": quarantined]
        }
    }

    /// SQL condition: the node needs a row of `instance i`.
    private static let needed = """
        (i.state = 'received'
        OR i.state IN ('own', 'notAnImage') AND i.changedAt > :unmatched
        OR i.state = 'quarantined' AND i.changedAt > :quarantined
        OR i.state = 'indexed' AND (
            i.changedAt > :unmatched
            OR EXISTS (
                SELECT 1 FROM series s WHERE s.id = i.seriesId AND (s.state IN ('open', 'setAside') OR s.changedAt > :unmatched))
            OR EXISTS (
                SELECT 1 FROM stack k JOIN job j ON j.stackId = k.id WHERE k.seriesId = i.seriesId AND (
                    j.state IN ('queued', 'running')
                    OR j.state = 'dead' AND j.changedAt > :quarantined
                    OR j.state IN ('done', 'superseded') AND j.changedAt > :done
                    OR EXISTS (
                        SELECT 1 FROM delivery v WHERE v.jobId = j.id
                        AND (v.state IN ('pending', 'held') OR v.changedAt > :done))))))
        """

    // MARK: - Received files

    private func clear(_ folder: String, _ limits: Limits, _ deletions: inout Deletions) throws {
        let arguments = limits.arguments + ["folder": folder]
        let isNeeded = try journal.read { view in
            try view.row("SELECT 1 FROM instance i WHERE i.folder = :folder AND \(Self.needed) LIMIT 1", arguments)
                != nil
        }
        if isNeeded { return }
        var emptied = false
        while true {
            // Checked again in this transaction, because a late instance may have opened the series meanwhile. Other
            // files of the series go first, wherever they lie: a study that is sent again must not find a part here.
            let files: [String] = try journal.write { transaction in
                let rows = try transaction.rows(
                    """
                    SELECT i.id, i.folder, i.file, i.sopInstanceUID, i.seriesId FROM instance i
                    WHERE (i.folder = :folder OR i.seriesId IN (
                        SELECT seriesId FROM instance WHERE folder = :folder AND seriesId IS NOT NULL))
                    AND NOT \(Self.needed) ORDER BY i.folder = :folder, i.id LIMIT \(Self.page)
                    """, arguments)
                guard !rows.isEmpty else { return [] }
                for series in Set(rows.compactMap { $0["seriesId"] as Int64? }) {
                    // A part of a series must not be taken for the whole series.
                    try transaction.execute(
                        "UPDATE instance SET isCurrent = 0 WHERE seriesId = ? AND isCurrent", [series])
                }
                for row in rows { try transaction.execute("DELETE FROM instance WHERE id = ?", [row["id"] as Int64]) }
                try transaction.record(
                    .filesDeleted, AuditEvent(reason: folder),
                    AuditSubject(instancesIn: rows.map { $0["sopInstanceUID"] }, count: Int64(rows.count)))
                return rows.map { row in
                    let (folder, file): (String, String) = (row["folder"], row["file"])
                    return folder + "/" + file
                }
            }
            if files.isEmpty { break }
            emptied = true
            deletions.instances += files.count
            for file in files { journal.spool.discard(file) }
        }
        if emptied { deletions.folders += 1 }
    }

    // MARK: - Rows and objects

    /// Deletes series without instances, and their stacks, jobs and deliveries.
    ///
    /// A dead delivery keeps its series.
    private func deleteSeries(_ deletions: inout Deletions) throws {
        while true {
            let count: Int = try journal.write { transaction in
                let rows = try transaction.rows(
                    """
                    SELECT s.id, s.studyInstanceUID, s.seriesInstanceUID FROM series s
                    WHERE s.state = 'closed' AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.seriesId = s.id)
                    AND NOT EXISTS (
                        SELECT 1 FROM stack k JOIN job j ON j.stackId = k.id JOIN delivery v ON v.jobId = j.id
                        WHERE k.seriesId = s.id AND v.state IN ('pending', 'held', 'dead'))
                    ORDER BY s.id LIMIT \(Self.page)
                    """)
                for row in rows {
                    try transaction.execute("DELETE FROM series WHERE id = ?", [row["id"] as Int64])
                    try transaction.record(
                        .filesDeleted, AuditEvent(reason: "the series is finished and its files are deleted"),
                        AuditSubject(study: row["studyInstanceUID"], series: row["seriesInstanceUID"]))
                }
                return rows.count
            }
            deletions.series += count
            if count < Self.page { return }
        }
    }

    /// Deletes the files of derived objects that every peer has, or that are not sent any more.
    ///
    /// The rows stay, so that the node recognises its own objects when an archive sends them back.
    private func deleteDerived(_ limits: Limits, _ deletions: inout Deletions) throws {
        while true {
            let paths: [String] = try journal.write { transaction in
                let rows = try transaction.rows(
                    """
                    SELECT d.id, d.path, d.sopInstanceUID FROM derivedInstance d
                    WHERE d.path IS NOT NULL AND d.createdAt <= :done AND NOT EXISTS (
                        SELECT 1 FROM delivery v WHERE v.derivedInstanceId = d.id
                        AND (v.state IN ('pending', 'held', 'dead') OR v.changedAt > :done))
                    ORDER BY d.id LIMIT \(Self.page)
                    """, ["done": limits.done])
                guard !rows.isEmpty else { return [] }
                for row in rows {
                    try transaction.execute("UPDATE derivedInstance SET path = NULL WHERE id = ?", [row["id"] as Int64])
                }
                try transaction.record(
                    .filesDeleted, AuditEvent(reason: "files of delivered objects"),
                    AuditSubject(instancesOut: rows.map { $0["sopInstanceUID"] }, count: Int64(rows.count)))
                return rows.map { $0["path"] }
            }
            if paths.isEmpty { return }
            deletions.derived += paths.count
            for path in paths { journal.spool.discard(path) }
        }
    }

    /// Deletes old associations that did not bring any of the remaining instances.
    private func deleteAssociations(_ limits: Limits) throws {
        while true {
            let count = try journal.write { transaction in
                try transaction.changes(
                    """
                    DELETE FROM association WHERE id IN (
                        SELECT a.id FROM association a WHERE a.openedAt <= ?
                        AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.associationId = a.id) LIMIT \(Self.page))
                    """, [limits.done])
            }
            if count < Self.page { return }
        }
    }

    /// Removes empty folders of past hours and days.
    ///
    /// A folder that gets a file meanwhile is not empty, or ``Spool/incomingFile(now:)`` makes it again.
    private func removeEmptyFolders(_ now: Date) throws {
        let spool = journal.spool
        let newest = CalendarHour(now.addingTimeInterval(-7200))
        for folder in try spool.fileFolders() {
            let parts = folder.split(separator: "/").map(String.init)
            guard parts[1] < newest.day || parts.count > 2 && parts[1] == newest.day && parts[2] < newest.hour else {
                continue
            }
            FileSystem.removeEmptyFolder(spool.absolute(folder))
            if parts.count > 2 && parts[1] < newest.day {
                FileSystem.removeEmptyFolder(spool.absolute(parts[0] + "/" + parts[1]))
            }
        }
    }
}
