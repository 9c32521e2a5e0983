// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// The key under which patient ids are hashed: 32 random bytes in the spool, mode 0600, made at the first use.
///
/// Without it a hash could be undone by trying all ids. Whoever deletes the file makes every kept hash meaningless.
struct SubjectKey: Sendable {
    private let key: [UInt8]

    init(path: String) throws(SpoolError) {
        if let data = FileManager.default.contents(atPath: path) {
            guard data.count == 32 else {
                throw .damaged(
                    path: path, cause: "the key is not 32 bytes: restore it, or delete it to begin a new one")
            }
            key = Array(data)
            return
        }
        var random = SystemRandomNumberGenerator()
        let made = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        do throws(SystemCallError) {
            let file = try AtomicFile(temporaryPath: path + ".new")
            try file.write(made)
            try file.finish(as: path)
        } catch {
            throw SpoolError(error)
        }
        key = made
    }

    /// HMAC-SHA-256 in hex.
    func hash(_ patientID: String) throws -> String {
        SHA256.authenticationCode(for: Data(patientID.utf8), key: key).hexadecimal
    }
}
