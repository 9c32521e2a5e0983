// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// The rows of files that are adopted or quarantined in one transaction.
struct AdoptionRows {
    /// A file without a row.
    struct Place {
        let folder: String
        let name: String
        /// Size of the file, in bytes.
        let size: Int64
        /// Time of receipt, in microseconds since 1970.
        let time: Int64

        var stored: String { folder + "/" + name }
    }

    /// The name of the peer in the association of adopted instances.
    static let peer = "found in the spool"

    /// The folder of today's quarantined files, relative.
    let quarantine: String
    /// SOP Instance UIDs of adopted instances.
    private(set) var instances: [String] = []
    /// SOP Instance UIDs of adopted objects of Kontur.
    private(set) var objects: [String] = []
    /// Number of quarantined files.
    private(set) var quarantined = 0
    /// Old names of quarantined files, which are removed after the commit.
    private(set) var moved: [String] = []
    private var associations: [String: Int64] = [:]

    init(quarantine: String) { self.quarantine = quarantine }

    // MARK: - Instances

    /// Gives a whole instance a row, so that it is indexed.
    ///
    /// A second copy of the newest data set of its UID, and a variant that is older than a stored one, must not become
    /// current. They are quarantined. A data set that came again after another variant gets a second row, as it did when
    /// it was received.
    mutating func adopt(
        _ file: Place, _ facts: StoredFileFacts, _ sha256: Data, _ transaction: WriteTransaction
    ) throws {
        if let twin = try transaction.row(
            """
            SELECT id, folder, file, size, state = 'indexed' AND isCurrent = 0 AS isReplaced FROM instance
            WHERE sopInstanceUID = ? AND transferSyntaxUID = ? AND sha256 = ? ORDER BY id DESC LIMIT 1
            """, [facts.sopInstanceUID, facts.transferSyntaxUID, sha256]),
            try !isOvertaken(twin, by: file, facts, transaction)
        {
            if try isAbsent(twin, transaction) {
                try transaction.execute(
                    "UPDATE instance SET folder = ?, file = ?, headerSize = ?, size = ?, confirmed = 1 WHERE id = ?",
                    [file.folder, file.name, facts.headerSize, file.size, twin["id"] as Int64])
                instances.append(facts.sopInstanceUID)
                return
            }
            return try quarantine(file, facts, "the file had no row, and repeats a stored instance", transaction)
        }
        let newer = try transaction.row(
            "SELECT 1 FROM instance WHERE sopInstanceUID = ? AND receivedAt > ? AND state <> 'quarantined' LIMIT 1",
            [facts.sopInstanceUID, file.time])
        guard newer == nil else {
            return try quarantine(
                file, facts, "the file had no row, and a newer variant of the instance is stored", transaction)
        }
        try insert(file, facts, sha256: sha256, state: .received, why: nil, transaction)
        instances.append(facts.sopInstanceUID)
    }

    /// Whether another variant came between the data set of a row and a file that repeats it.
    private func isOvertaken(
        _ twin: Row, by file: Place, _ facts: StoredFileFacts, _ transaction: WriteTransaction
    ) throws -> Bool {
        if twin["isReplaced"] == 1 { return true }
        return try transaction.row(
            """
            SELECT 1 FROM instance
            WHERE sopInstanceUID = ? AND id > ? AND receivedAt < ? AND state <> 'quarantined' LIMIT 1
            """, [facts.sopInstanceUID, twin["id"] as Int64, file.time]) != nil
    }

    /// Whether the file of a row is provably absent.
    private func isAbsent(_ row: Row, _ transaction: WriteTransaction) throws -> Bool {
        do throws(SystemCallError) {
            let path = transaction.path(row)
            _ = try transaction.spool.patiently { () throws(SystemCallError) in
                try transaction.spool.calls.status(path)
            }
            return false
        } catch {
            return error.isMissing
        }
    }

    private mutating func insert(
        _ file: Place, _ facts: StoredFileFacts?, sha256: Data, state: InstanceState, why: String?,
        _ transaction: WriteTransaction
    ) throws {
        try transaction.execute(
            """
            INSERT INTO instance (associationId, sopClassUID, sopInstanceUID, transferSyntaxUID, sha256, size,
                headerSize, folder, file, receivedAt, changedAt, state, why, confirmed)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
            """,
            [
                try association(facts?.sourceAETitle ?? "", transaction), facts?.sopClassUID ?? "",
                facts?.sopInstanceUID ?? "", facts?.transferSyntaxUID ?? "", sha256, file.size,
                facts?.headerSize ?? 0, state == .quarantined ? quarantine : file.folder, file.name, file.time,
                transaction.now, state.rawValue, why,
            ])
    }

    /// The association of adopted instances: one per peer that their files name.
    private mutating func association(_ aeTitle: String, _ transaction: WriteTransaction) throws -> Int64 {
        if let id = associations[aeTitle] { return id }
        try transaction.execute(
            """
            INSERT INTO association (uuid, callingAETitle, calledAETitle, address, peer, openedAt)
            VALUES (?, ?, '', '', ?, ?)
            """, [UUID().uuidString, aeTitle, Self.peer, transaction.now])
        let id = transaction.db.lastInsertedRowID
        associations[aeTitle] = id
        return id
    }

    // MARK: - Objects

    /// Gives an object of Kontur a row.
    ///
    /// The row does not name a study, a series or a viewer profile. The job that makes the object again fills them in.
    mutating func adoptObject(
        _ file: Place, _ facts: StoredFileFacts, _ sha256: Data, _ transaction: WriteTransaction
    ) throws {
        let digest = sha256.hexadecimal
        let known = try transaction.row(
            "SELECT id, path, sha256 FROM derivedInstance WHERE sopInstanceUID = ?", [facts.sopInstanceUID])
        if let known {
            let path: String? = known["path"]
            let isGone = try path.map { try isAbsent($0, transaction) } ?? true
            guard isGone, known["sha256"] == digest else {
                return try quarantine(file, facts, "the object had no row, and another of its UID has one", transaction)
            }
            try transaction.execute(
                "UPDATE derivedInstance SET path = ?, size = ? WHERE id = ?",
                [file.stored, file.size, known["id"] as Int64])
        } else {
            try transaction.execute(
                """
                INSERT INTO derivedInstance (revision, sopClassUID, sopInstanceUID, transferSyntaxUID,
                    studyInstanceUID, seriesInstanceUID, kind, path, sha256, size, createdAt)
                VALUES (0, ?, ?, ?, '', '', '', ?, ?, ?, ?)
                """,
                [
                    facts.sopClassUID, facts.sopInstanceUID, facts.transferSyntaxUID, file.stored, digest, file.size,
                    transaction.now,
                ])
        }
        objects.append(facts.sopInstanceUID)
    }

    private func isAbsent(_ stored: String, _ transaction: WriteTransaction) throws -> Bool {
        do throws(SystemCallError) {
            _ = try transaction.spool.calls.status(transaction.spool.absolute(stored))
            return false
        } catch {
            return error.isMissing
        }
    }

    // MARK: - Quarantine

    /// Gives a file a name in `quarantine/`, and a row there.
    ///
    /// The name of the file stands in the place of its hash, so that a data set that arrives is never taken for this
    /// file.
    mutating func quarantine(
        _ file: Place, _ facts: StoredFileFacts?, _ reason: String, _ transaction: WriteTransaction
    ) throws {
        let spool = transaction.spool
        do throws(SystemCallError) {
            let new = spool.absolute(quarantine + "/" + file.name)
            if file.folder != quarantine {
                if !FileSystem.exists(new) { try spool.calls.link(spool.absolute(file.stored), new) }
                try spool.calls.syncFolder(spool.absolute(quarantine))
                moved.append(file.stored)
            }
        } catch {
            throw SpoolError(error)
        }
        let why = AuditEvent(reason: reason).reason
        try insert(file, facts, sha256: Data(file.name.utf8), state: .quarantined, why: why, transaction)
        try transaction.record(
            .fileQuarantined, AuditEvent(reason: reason),
            AuditSubject(instancesIn: facts.map { [$0.sopInstanceUID] } ?? [], count: 1))
        quarantined += 1
    }

    // MARK: - Records

    /// Writes the records of the adopted files.
    func record(_ transaction: WriteTransaction) throws {
        let event = AuditEvent(reason: "the files were found in the spool without rows")
        if !instances.isEmpty {
            try transaction.record(
                .instancesAdopted, event, AuditSubject(instancesIn: instances, count: Int64(instances.count)))
        }
        if !objects.isEmpty {
            try transaction.record(
                .objectsAdopted, event, AuditSubject(instancesOut: objects, count: Int64(objects.count)))
        }
    }
}
