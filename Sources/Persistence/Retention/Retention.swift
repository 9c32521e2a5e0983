// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// Deletes files and rows that the node does not need any more.
///
/// The node needs an instance while the instance waits, while its series is open or set aside, and while a job or a
/// delivery of its series is open. The configuration keeps the instance for some time after that. An instance that is
/// acknowledged again is kept for this time anew, with its whole series. Each deletion checks this in its own
/// transaction, so that an acknowledgement and a deletion cannot cross. A series goes as a whole or stays as a whole. A
/// folder of received files goes once the node does not need any of its files. A dead delivery keeps its file.
///
/// Keep times count on the time that the node has lived (``NodeTime``), so that a wall clock that is wrong does not make
/// a file older. A jump of the wall clock holds every deletion until a person confirms the clock, or until the node has
/// run for a day.
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
        /// Series and instances that should go, and that the database did not let go.
        public var refused = 0

        /// Makes counts.
        public init(folders: Int = 0, instances: Int = 0, derived: Int = 0, series: Int = 0) {
            self.folders = folders
            self.instances = instances
            self.derived = derived
            self.series = series
        }
    }

    private let journal: Journal
    /// Number of rows that one transaction deletes, and of instances that one record names.
    private static let page = 200

    /// Makes a retention for the files and rows of `journal`.
    public init(journal: Journal) { self.journal = journal }

    /// Makes one pass; the next pass continues a pass that was cut off.
    ///
    /// Each step is a short transaction with its audit record. A pass does not delete anything while the wall clock is
    /// in doubt. A pass that does not find anything to delete does not need room on the disk.
    ///
    /// - Throws: the first error, after the other folders and tables had their turn.
    @discardableResult
    public func run() throws -> Deletions {
        var deletions = Deletions()
        // Without room for the note, a pass may make room.
        _ = try? journal.noteTime()
        var failure: (any Error)?
        func attempt(_ step: () throws -> Void) {
            do { try step() } catch { failure = failure ?? error }
        }
        for folder in try journal.spool.fileFolders() where !folder.hasPrefix(Spool.Folder.derived.rawValue + "/") {
            attempt { try clear(folder, &deletions) }
        }
        attempt { try deleteSeries(&deletions) }
        attempt { try deleteDerived(&deletions) }
        attempt { try deleteAssociations() }
        for table in ["commitmentRequest", "commitmentReport"] { attempt { try deleteCommitments(table) } }
        attempt { try removeEmptyFolders() }
        try? journal.vacuum()
        if let failure { throw failure }
        return deletions
    }

    /// Runs `body` in a transaction with the keep times of this moment; `nil` if the wall clock is in doubt.
    private func delete<Result>(_ body: (WriteTransaction, KeepTimes) throws -> Result) throws -> Result? {
        let reading = journal.timekeeper?.read()
        return try journal.write { transaction in
            guard try transaction.clockHolds().isEmpty else { return nil }
            return try body(transaction, transaction.keepTimes(reading, wall: journal.date))
        }
    }

    // MARK: - Conditions

    /// SQL condition: the node needs a row of `instance i` that did not join a series, or was quarantined later.
    private static func needed(_ times: KeepTimes) -> String {
        func recent(_ name: KeepTimes.Class) -> String {
            "(\(times.isRecent("i.changedAt", name)) OR \(times.isRecent("i.renewedAt", name)))"
        }
        return """
            (i.state = 'received'
            OR i.state IN ('own', 'notAnImage') AND \(recent(.unmatched))
            OR i.state = 'quarantined' AND \(recent(.quarantined)))
            """
    }

    /// SQL condition that holds for an open row of `delivery v`.
    ///
    /// A peer may have to commit itself to keep the object, too.
    private static let openDelivery =
        "(v.state IN ('pending', 'held') OR v.state = 'sent' AND v.commitBy IS NOT NULL)"

    /// SQL condition: the node needs the instances of `series s`.
    private static func seriesNeeded(_ times: KeepTimes) -> String {
        func acknowledged(_ name: KeepTimes.Class) -> String {
            """
            (\(times.isRecent("s.renewedAt", name)) OR EXISTS (
                SELECT 1 FROM instance x WHERE x.seriesId = s.id AND x.state = 'indexed'
                AND \(times.isRecent("x.receivedAt", name))))
            """
        }
        return """
            (s.state <> 'closed' OR \(times.isRecent("s.changedAt", .unmatched)) OR \(acknowledged(.unmatched))
            OR EXISTS (
                SELECT 1 FROM instance x WHERE x.seriesId = s.id AND x.state = 'indexed'
                AND \(times.isRecent("x.changedAt", .unmatched)))
            OR EXISTS (
                SELECT 1 FROM stack k JOIN job j ON j.stackId = k.id WHERE k.seriesId = s.id AND (
                    j.state IN ('queued', 'running')
                    OR j.state = 'dead' AND (\(times.isRecent("j.changedAt", .quarantined))
                        OR \(acknowledged(.quarantined)))
                    OR j.state IN ('done', 'superseded') AND (\(times.isRecent("j.changedAt", .done))
                        OR \(acknowledged(.done)))
                    OR EXISTS (
                        SELECT 1 FROM delivery v WHERE v.jobId = j.id
                        AND (\(openDelivery) OR \(times.isRecent("v.changedAt", .done)))))))
            """
    }

    /// SQL: the numbers of the series that have an instance in `:folder`.
    private static let seriesOfFolder =
        "SELECT seriesId FROM instance WHERE folder = :folder AND state = 'indexed' AND seriesId IS NOT NULL"

    // MARK: - Received files

    private func clear(_ folder: String, _ deletions: inout Deletions) throws {
        let reading = journal.timekeeper?.read()
        let isNeeded = try journal.read { view in
            let times = try view.keepTimes(reading, wall: journal.date)
            let arguments = times.arguments() + ["folder": folder]
            return try view.row(
                "SELECT 1 FROM instance i WHERE i.folder = :folder AND \(Self.needed(times)) LIMIT 1", arguments) != nil
                || view.row(
                    "SELECT 1 FROM series s WHERE s.id IN (\(Self.seriesOfFolder)) AND \(Self.seriesNeeded(times)) "
                        + "LIMIT 1", arguments) != nil
        }
        if isNeeded { return }
        var emptied = false
        var last: Int64 = 0
        while let step = try delete({ try Self.deleteRows(in: folder, after: last, $0, $1) }) {
            deletions.refused += step.refused
            deletions.instances += step.files.count
            emptied = emptied || !step.files.isEmpty
            journal.remove(step.files)
            last = step.series ?? last
            if step.series == nil, step.files.isEmpty { break }
        }
        if emptied { deletions.folders += 1 }
    }

    /// The rows that one transaction deleted.
    private struct Step {
        /// The series that had its turn; `nil` if no series of the folder is left.
        var series: Int64?
        /// The stored paths of the files.
        var files: [String] = []
        /// Series or instances that the database did not let go.
        var refused = 0
    }

    /// Deletes the rows of one series of a folder, wherever its files lie, or rows without a series.
    ///
    /// - Parameters:
    ///   - folder: the stored path of the folder.
    ///   - after: the last series that had its turn.
    ///   - transaction: deletes the rows.
    ///   - times: the keep times of this moment.
    /// - Returns: a step without a series and without files if the folder does not hold anything to delete.
    /// - Throws: errors of the disk and of reading.
    private static func deleteRows(
        in folder: String, after: Int64, _ transaction: WriteTransaction, _ times: KeepTimes
    ) throws -> Step {
        let arguments = times.arguments() + ["folder": folder]
        let columns = "SELECT i.id, i.folder, i.file, i.sopInstanceUID FROM instance i WHERE "
        // A part of a series must not be taken for the whole series, so a series goes in one transaction.
        let series = try transaction.row(
            "SELECT s.id FROM series s WHERE s.id IN (\(seriesOfFolder)) AND s.id > :after "
                + "AND NOT \(seriesNeeded(times)) ORDER BY s.id LIMIT 1",
            arguments + ["after": after])
        if let id = series?["id"] as Int64? {
            let rows = try transaction.rows(columns + "i.seriesId = ? AND i.state = 'indexed' ORDER BY i.id", [id])
            var step = Step(series: id)
            let isDone = try transaction.attempt { step.files = try delete(rows, transaction, folder: folder) }
            return isDone ? step : Step(series: id, refused: 1)
        }
        let rows = try transaction.rows(
            columns + """
                i.folder = :folder AND i.state <> 'indexed' AND NOT \(needed(times)) ORDER BY i.id LIMIT \(page)
                """, arguments)
        var step = Step()
        if try transaction.attempt({ step.files = try delete(rows, transaction, folder: folder) }) { return step }
        for row in rows {
            let isDone = try transaction.attempt { step.files += try delete([row], transaction, folder: folder) }
            if !isDone { step.refused += 1 }
        }
        return step
    }

    /// Deletes rows of instances, notes their files and writes the records.
    ///
    /// - Returns: the stored paths of the files.
    private static func delete(_ rows: [Row], _ transaction: WriteTransaction, folder: String) throws -> [String] {
        for row in rows { try transaction.execute("DELETE FROM instance WHERE id = ?", [row["id"] as Int64]) }
        let files = rows.map { row in
            let (folder, file): (String, String) = (row["folder"], row["file"])
            return folder + "/" + file
        }
        try transaction.noteDiscards(files)
        for start in stride(from: 0, to: rows.count, by: page) {
            let part = rows[start..<min(start + page, rows.count)]
            try transaction.record(
                .filesDeleted, AuditEvent(reason: folder),
                AuditSubject(instancesIn: part.map { $0["sopInstanceUID"] }, count: Int64(part.count)))
        }
        return files
    }

    // MARK: - Rows and objects

    /// Deletes series without instances, and their stacks, jobs and deliveries.
    ///
    /// An open job and a dead delivery keep their series.
    private func deleteSeries(_ deletions: inout Deletions) throws {
        var last: Int64 = 0
        while true {
            let step = try delete { transaction, _ in
                let rows = try transaction.rows(
                    """
                    SELECT s.id, s.studyInstanceUID, s.seriesInstanceUID FROM series s
                    WHERE s.id > ? AND s.state = 'closed' AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.seriesId = s.id)
                    AND NOT EXISTS (
                        SELECT 1 FROM stack k JOIN job j ON j.stackId = k.id LEFT JOIN delivery v ON v.jobId = j.id
                        WHERE k.seriesId = s.id
                        AND (j.state IN ('queued', 'running') OR v.state = 'dead' OR \(Self.openDelivery)))
                    ORDER BY s.id LIMIT \(Self.page)
                    """, [last])
                var refused = 0
                for row in rows {
                    let isDone = try transaction.attempt {
                        try transaction.execute("DELETE FROM series WHERE id = ?", [row["id"] as Int64])
                        try transaction.record(
                            .filesDeleted, AuditEvent(reason: "the series is finished and its files are deleted"),
                            AuditSubject(study: row["studyInstanceUID"], series: row["seriesInstanceUID"]))
                    }
                    if !isDone { refused += 1 }
                }
                return (count: rows.count, refused: refused, last: rows.last?["id"] as Int64?)
            }
            guard let step, let end = step.last else { return }
            deletions.series += step.count - step.refused
            deletions.refused += step.refused
            last = end
        }
    }

    /// Deletes the files of derived objects that every peer has, or that are not sent any more.
    ///
    /// An open job of the study may be about to send its object again, so it keeps the file. The rows stay, so that the
    /// node recognises its own objects when an archive sends them back.
    private func deleteDerived(_ deletions: inout Deletions) throws {
        while true {
            let files = try delete { transaction, times in
                let rows = try transaction.rows(
                    """
                    SELECT d.id, d.path, d.sopInstanceUID FROM derivedInstance d
                    WHERE d.path IS NOT NULL AND NOT \(times.isRecent("d.createdAt", .done)) AND NOT EXISTS (
                        SELECT 1 FROM delivery v WHERE v.derivedInstanceId = d.id
                        AND (v.state = 'dead' OR \(Self.openDelivery) OR \(times.isRecent("v.changedAt", .done))))
                    AND NOT EXISTS (
                        SELECT 1 FROM series s JOIN stack k ON k.seriesId = s.id JOIN job j ON j.stackId = k.id
                        WHERE s.studyInstanceUID = d.studyInstanceUID AND j.state IN ('queued', 'running'))
                    ORDER BY d.id LIMIT \(Self.page)
                    """, times.arguments([.done]))
                guard !rows.isEmpty else { return [String]() }
                for row in rows {
                    try transaction.execute("UPDATE derivedInstance SET path = NULL WHERE id = ?", [row["id"] as Int64])
                }
                let files = rows.map { $0["path"] as String }
                try transaction.noteDiscards(files)
                try transaction.record(
                    .filesDeleted, AuditEvent(reason: "files of delivered objects"),
                    AuditSubject(instancesOut: rows.map { $0["sopInstanceUID"] }, count: Int64(rows.count)))
                return files
            }
            guard let files, !files.isEmpty else { return }
            deletions.derived += files.count
            journal.remove(files)
        }
    }

    /// Deletes old associations that did not bring any of the remaining instances.
    private func deleteAssociations() throws {
        while true {
            let count = try delete { transaction, times in
                try transaction.changes(
                    """
                    DELETE FROM association WHERE id IN (
                        SELECT a.id FROM association a WHERE NOT \(times.isRecent("a.openedAt", .done))
                        AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.associationId = a.id) LIMIT \(Self.page))
                    """, times.arguments([.done]))
            }
            if count ?? 0 < Self.page { return }
        }
    }

    /// Deletes requests for commitment, of the node or of peers, that are over for a while.
    ///
    /// Until then the node knows late results, and requests that a peer repeats.
    private func deleteCommitments(_ table: String) throws {
        while true {
            let count = try delete { transaction, times in
                try transaction.changes(
                    """
                    DELETE FROM \(table) WHERE id IN (
                        SELECT c.id FROM \(table) c WHERE c.state NOT IN ('asked', 'received', 'answered')
                            AND NOT \(times.isRecent("c.changedAt", .done)) LIMIT \(Self.page))
                    """, times.arguments([.done]))
            }
            if count ?? 0 < Self.page { return }
        }
    }

    /// Removes empty folders of past hours and days.
    ///
    /// A folder that gets a file meanwhile is not empty, or ``Spool/incomingFile(now:)`` makes it again.
    private func removeEmptyFolders() throws {
        let spool = journal.spool
        let newest = CalendarHour(journal.date.addingTimeInterval(-7200))
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

extension ReadTransaction {
    /// The keep times at this moment.
    ///
    /// - Parameters:
    ///   - reading: the clocks; `nil` counts on the wall clock alone.
    ///   - wall: the wall clock.
    /// - Returns: the times before which a row is old.
    /// - Throws: the errors of the database.
    fileprivate func keepTimes(_ reading: ClockReading?, wall: Date) throws -> KeepTimes {
        let keep = spool.configuration.keep
        guard let reading, let time = try nodeTime()?.advanced(to: reading, isStart: false).time else {
            return KeepTimes(keep: keep, spans: [], now: wall.microseconds)
        }
        let rows = try rows("SELECT fromLived, ahead FROM clockSpan ORDER BY id")
        let spans = rows.enumerated().map { index, row in
            KeepTimes.Span(
                from: row["fromLived"],
                until: index + 1 < rows.count ? rows[index + 1]["fromLived"] : time.lived, ahead: row["ahead"])
        }
        return KeepTimes(keep: keep, spans: spans, now: reading.wall)
    }
}
