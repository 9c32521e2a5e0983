// SPDX-License-Identifier: Apache-2.0
//
// Links a study to its patient without the patient's identifier: the table `studySubject` holds a keyed hash per study.
// Erasing the row of a study leaves only UIDs in the trail. Deleting the key erases every link at once.

import Foundation
import GRDB
import Platform
import Synchronization

/// The key of the patient hashes: 32 random bytes in the spool, mode 0600, made at the first use.
///
/// A hash without a key could be reversed by trying all identifiers.
struct SubjectKey: Sendable {
    private static let size = 32
    private let bytes: [UInt8]
    private let remembered = RememberedHashes()

    /// Reads the key, or makes it unless the spool is only read.
    ///
    /// - Throws: ``SpoolError/damaged(path:cause:)`` for a file of another size, and the errors of the disk.
    init(path: String, isReadOnly: Bool = false) throws(SpoolError) {
        if let data = FileManager.default.contents(atPath: path) {
            guard data.count == Self.size else {
                throw .damaged(
                    path: path, cause: "the key is not 32 bytes long; restore it, or delete it to begin with a new one")
            }
            bytes = Array(data)
            return
        }
        if isReadOnly {
            bytes = []
            return
        }
        var generator = SystemRandomNumberGenerator()
        let made = (0..<Self.size).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        do throws(SystemCallError) {
            // A node that is killed before the end does not have a key yet and makes another one.
            let file = try AtomicFile(temporaryPath: path + ".new")
            try file.write(made)
            try file.finish(as: path)
        } catch {
            throw SpoolError(error)
        }
        bytes = made
    }

    /// HMAC-SHA-256 of a patient's identifier, in hexadecimal digits.
    func hash(_ patientID: String) -> String {
        SHA256.authenticationCode(for: Data(patientID.utf8), key: bytes).hexadecimal
    }
}

extension SubjectKey {
    /// A short keyed hash of the digest of an attribute's value, in hexadecimal digits.
    func hash(digest: String) -> String {
        remembered.hash(of: digest) { String(hash("attribute " + digest).prefix(16)) }
    }

    /// Short keyed hashes of digests by keyword.
    func hashes(_ digests: [String: String]) -> [String: String] { digests.mapValues(hash(digest:)) }
}

/// The keyed hashes that were made last: most attributes of an instance repeat those of the instance before.
private final class RememberedHashes: Sendable {
    /// Most digests that are remembered.
    private static let most = 4096

    private let hashes = Mutex<[String: String]>([:])

    /// The hash of a digest, made by `make` unless it is remembered.
    func hash(of digest: String, _ make: () -> String) -> String {
        if let known = hashes.withLock({ $0[digest] }) { return known }
        let made = make()
        hashes.withLock { hashes in
            if hashes.count >= Self.most { hashes.removeAll(keepingCapacity: true) }
            hashes[digest] = made
        }
        return made
    }
}

/// The keyed hashes of an instance's attributes, by keyword, and their stored form.
public struct KeyedAttributes: Sendable, Equatable {
    let hashes: [String: String]
    let encoded: Data

    init(_ digests: [String: String], _ subjects: SubjectKey) {
        hashes = subjects.hashes(digests)
        encoded = AttributeHashes.encode(hashes)
    }
}

extension Journal {
    /// Makes the keyed hashes of an instance's attributes.
    ///
    /// Inside a transaction this work would hold up every instance that is being received.
    ///
    /// - Parameter digests: SHA-256 of the values in hexadecimal digits, by keyword.
    /// - Returns: the hashes, for ``IndexedInstance/keyed``.
    public func keyed(_ digests: [String: String]) -> KeyedAttributes { KeyedAttributes(digests, subjects) }

    /// The hash that ``SeriesInstance/attributes`` has for an attribute with this digest.
    ///
    /// - Parameter digest: as in ``IndexedInstance/attributes``.
    /// - Returns: hexadecimal digits.
    public func attributeHash(ofDigest digest: String) -> String { subjects.hash(digest: digest) }
}

extension WriteTransaction {
    /// Stores the keyed hash of the patient's identifier for the study.
    func subject(study: String, patientID: String) throws {
        try execute(
            """
            INSERT INTO studySubject (studyInstanceUID, subject) VALUES (?, ?)
            ON CONFLICT (studyInstanceUID) DO UPDATE SET subject = excluded.subject
            """, [study, subjects.hash(patientID)])
    }

    /// Deletes the row of a study and records that.
    fileprivate func subjectErased(study: String, _ event: AuditEvent) throws -> Bool {
        guard try changes("DELETE FROM studySubject WHERE studyInstanceUID = ?", [study]) > 0 else { return false }
        try record(.subjectErased, event, AuditSubject(study: study))
        return true
    }
}

extension Journal {
    /// Erases the link between a study and its patient; only UIDs remain in the trail.
    ///
    /// SQLite overwrites the deleted row. The row may remain in the write-ahead log until a running node has written
    /// new data there. An instance of the study that arrives later makes a new link.
    ///
    /// - Returns: whether there was a link.
    public func eraseSubject(study: String, _ event: AuditEvent) throws -> Bool {
        let erased = try write { try $0.subjectErased(study: study, event) }
        // The log cannot be emptied while another process reads it; the row is gone from the database in any case.
        if erased { try? pool.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) } }
        return erased
    }
}
