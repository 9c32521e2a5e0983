// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation

/// The key under which patient ids are hashed: 32 random bytes in the spool, mode 0600, made at the first use.
///
/// Without it a hash could be undone by trying all ids. Whoever deletes the file makes every kept hash meaningless.
struct SubjectKey: Sendable {
    private let key: SymmetricKey

    init(path: String) throws(SpoolError) {
        if let data = FileManager.default.contents(atPath: path) {
            guard data.count == 32 else {
                throw .damaged(
                    path: path, cause: "the key is not 32 bytes: restore it, or delete it to begin a new one")
            }
            key = SymmetricKey(data: data)
            return
        }
        let made = SymmetricKey(size: .bits256)
        let bytes = made.withUnsafeBytes { Array($0) }
        // Whole under its name or not there: a node that is killed here starts again.
        let unfinished = path + ".new"
        let descriptor = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SpoolError(SystemCallError(call: "open", code: errno)) }
        defer { close(descriptor) }
        guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            throw SpoolError(SystemCallError(call: "write", code: errno))
        }
        guard rename(unfinished, path) == 0 else {
            throw SpoolError(SystemCallError(call: "rename", code: errno))
        }
        do {
            try DurableCalls.real.syncFolder((path as NSString).deletingLastPathComponent)
        } catch {
            throw SpoolError(error)
        }
        key = made
    }

    /// HMAC-SHA-256 in hex.
    func hash(_ patientID: String) throws -> String {
        HMAC<SHA256>.authenticationCode(for: Data(patientID.utf8), using: key).hex
    }
}
