// SPDX-License-Identifier: Apache-2.0
//
// Files that no row names: the node was killed between file and row, or the database was lost, or an older copy of it
// was put back. A whole instance gets a row again and is indexed like any other. An object of Kontur gets a row again,
// so that the job that makes it once more finds it and sends it unchanged. Everything else moves to `quarantine/` with a
// row, and stays there for its time. Adoption deletes nothing but a second name of a file.

import Foundation
import GRDB
import Platform

/// Gives files without rows a row again.
struct Adoption {
    let journal: Journal
    let facts: StoredFileFacts.Reader?

    private var spool: Spool { journal.spool }

    /// Number of bytes at the beginning of a file that hold its File Meta Information.
    private static let headSize = 4096

    /// A file that no row names.
    private struct Unknown {
        let folder: String
        let name: String
        let status: FileSystem.Status
        let head: [UInt8]

        var stored: String { folder + "/" + name }
        var seal: InstanceSeal.Reading { head.withUnsafeBytes { InstanceSeal.read($0) } }
        /// Time of receipt, by which variants of an instance follow each other.
        var time: Int64 {
            if case .sealed(let seal) = seal { return seal.receivedAt }
            return status.modified
        }
    }

    func run(_ report: inout RecoveryReport) throws {
        let survey = spool.survey()
        report.links += survey.links
        report.strays += survey.strays
        report.unreadable += survey.unreadable.count
        report.readError = report.readError ?? survey.unreadable.first.map { "\($0.error)" }
        var unknown: [Unknown] = []
        for folder in survey.folders { unknown += try unknownFiles(folder, &report) }
        unknown = try withoutSecondNames(unknown)
        // The newest variant of an instance must get the newest row.
        unknown.sort { ($0.time, $0.stored) < ($1.time, $1.stored) }
        for start in stride(from: 0, to: unknown.count, by: 100) {
            try adopt(Array(unknown[start..<min(start + 100, unknown.count)]), &report)
        }
    }

    // MARK: - Finding

    private func unknownFiles(_ folder: String, _ report: inout RecoveryReport) throws -> [Unknown] {
        let known: Set<String> = try journal.read { view in
            let rows =
                folder.hasPrefix(Spool.Folder.derived.rawValue + "/")
                ? try view.rows(
                    "SELECT path FROM derivedInstance WHERE path >= ? AND path < ?", [folder + "/", folder + "0"])
                : try view.rows("SELECT folder || '/' || file AS path FROM instance WHERE folder = ?", [folder])
            // The row of such a file was deleted on purpose, and the file could not be removed yet.
            let discarded = try view.rows(
                "SELECT path FROM discard WHERE path >= ? AND path < ?", [folder + "/", folder + "0"])
            return Set((rows + discarded).map { $0["path"] as String })
        }
        var unknown: [Unknown] = []
        do throws(SystemCallError) {
            let names = try spool.patiently { () throws(SystemCallError) in
                try spool.calls.names(spool.absolute(folder))
            }
            for name in names where !known.contains(folder + "/" + name) {
                guard Spool.isFileName(name) else {
                    report.strays += 1
                    continue
                }
                if let file = examine(folder, name, &report) { unknown.append(file) }
            }
        } catch {
            if error.isMissing { return [] }
            report.unreadable += 1
            report.readError = report.readError ?? "\(error)"
        }
        return unknown
    }

    private func examine(_ folder: String, _ name: String, _ report: inout RecoveryReport) -> Unknown? {
        let path = spool.absolute(folder + "/" + name)
        do throws(SystemCallError) {
            let status = try spool.patiently { () throws(SystemCallError) in try spool.calls.status(path) }
            guard status.kind == .file, facts != nil else {
                report.strays += 1
                return nil
            }
            let head = try spool.patiently { () throws(SystemCallError) in
                try StoredFile.head(path, Self.headSize, calls: spool.calls)
            }
            return Unknown(folder: folder, name: name, status: status, head: head)
        } catch {
            report.unreadable += 1
            report.readError = report.readError ?? "\(error)"
            return nil
        }
    }

    /// Removes second names of files that a row knows in another folder.
    ///
    /// A move to `quarantine/` gives a file two names until its row names the new one. In a copy of such a spool, these
    /// are two files of one name and content.
    private func withoutSecondNames(_ unknown: [Unknown]) throws -> [Unknown] {
        if unknown.isEmpty { return [] }
        let names = Set(unknown.map(\.name))
        var places: [String: String] = [:]
        var after: Int64 = 0
        while true {
            let page = try journal.read { view in
                try view.rows("SELECT id, folder, file FROM instance WHERE id > ? ORDER BY id LIMIT 1000", [after])
            }
            guard let last = page.last else { break }
            after = last["id"]
            for row in page {
                let name: String = row["file"]
                if names.contains(name) { places[name] = row["folder"] }
            }
        }
        return unknown.filter { file in
            guard let folder = places[file.name], isSame(file, folder + "/" + file.name) else { return true }
            spool.discard(file.stored)
            return false
        }
    }

    /// Whether another stored path names the same file, or a copy of it.
    private func isSame(_ file: Unknown, _ other: String) -> Bool {
        guard spool.isInside(other), let status = try? spool.calls.status(spool.absolute(other)),
            status.kind == .file
        else { return false }
        if status.isSameFile(as: file.status) { return true }
        guard status.size == file.status.size, let first = try? hash(spool.absolute(file.stored), from: 0),
            let second = try? hash(spool.absolute(other), from: 0)
        else { return false }
        return first == second
    }

    // MARK: - Judging

    /// What the content of a file proves.
    private enum Verdict {
        case instance(StoredFileFacts, sha256: Data)
        case object(StoredFileFacts, sha256: Data)
        case quarantine(StoredFileFacts?, reason: String)
        case unreadable(SystemCallError)
    }

    private func judge(_ file: Unknown) -> Verdict {
        do throws(SystemCallError) { return try verdict(on: file) } catch { return .unreadable(error) }
    }

    private func verdict(on file: Unknown) throws(SystemCallError) -> Verdict {
        let path = spool.absolute(file.stored)
        let found = file.head.withUnsafeBytes { head in facts?(head) }
        if file.folder.hasPrefix(Spool.Folder.quarantine.rawValue + "/") {
            return .quarantine(found, reason: "the file lay in quarantine without a row")
        }
        guard let found, file.status.size > found.headerSize else {
            return .quarantine(found, reason: "the file had no row, and it is not a whole DICOM file")
        }
        if file.folder.hasPrefix(Spool.Folder.derived.rawValue + "/") {
            return .object(found, sha256: try hash(path, from: 0))
        }
        let sha256: Data
        switch file.seal {
        case .unfinished:
            return .quarantine(found, reason: "its receipt was not finished, and it was never acknowledged")
        case .sealed(let seal):
            sha256 = try hash(path, from: seal.headerSize)
            guard seal.headerSize == found.headerSize, seal.fileSize == file.status.size, seal.sha256 == sha256 else {
                return .quarantine(found, reason: "the file had no row, and its content differs from its seal")
            }
        // A version without seals made the file. The index worker notices a data set that was cut off.
        case .absent: sha256 = try hash(path, from: found.headerSize)
        }
        let opened = try spool.calls.open(path)
        try spool.patiently { () throws(SystemCallError) in try spool.calls.syncFile(opened, path) }
        return .instance(found, sha256: sha256)
    }

    private func hash(_ path: String, from offset: Int64) throws(SystemCallError) -> Data {
        try spool.patiently { () throws(SystemCallError) in
            try StoredFile.hash(path, from: offset, calls: spool.calls)
        }
    }

    // MARK: - Adopting

    private func adopt(_ files: [Unknown], _ report: inout RecoveryReport) throws {
        let verdicts = files.map { ($0, judge($0)) }
        let quarantine = try spool.folder(.quarantine, now: journal.date, hours: false)
        let rows = try journal.write { transaction in
            var rows = AdoptionRows(quarantine: quarantine)
            for (file, verdict) in verdicts {
                let place = AdoptionRows.Place(
                    folder: file.folder, name: file.name, size: file.status.size, time: file.time)
                switch verdict {
                case .instance(let facts, let sha256): try rows.adopt(place, facts, sha256, transaction)
                case .object(let facts, let sha256): try rows.adoptObject(place, facts, sha256, transaction)
                case .quarantine(let facts, let reason): try rows.quarantine(place, facts, reason, transaction)
                case .unreadable: break
                }
            }
            try rows.record(transaction)
            return rows
        }
        for stored in rows.moved { spool.discard(stored) }
        for case (_, .unreadable(let error)) in verdicts {
            report.unreadable += 1
            report.readError = report.readError ?? "\(error)"
        }
        report.adopted += rows.instances.count
        report.adoptedObjects += rows.objects.count
        report.quarantined += rows.quarantined
    }
}
