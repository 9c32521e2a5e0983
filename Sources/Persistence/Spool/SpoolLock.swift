// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// The lock that one node holds on its spool: `flock` on a file that says who holds it.
///
/// The kernel drops it when the process ends, however it ends, so a lock is never stale.
final class SpoolLock: Sendable {
    private let descriptor: Int32

    init(path: String, holder: String) throws(SpoolError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SpoolError(SystemCallError(call: "open", code: errno)) }
        var attempts = 0
        // Whoever asks for the holder has the lock for a moment.
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            attempts += 1
            if code == EWOULDBLOCK && attempts < 10 {
                usleep(20_000)
                continue
            }
            let other = Self.read(path)
            close(descriptor)
            guard code == EWOULDBLOCK else { throw SpoolError(SystemCallError(call: "flock", code: code)) }
            throw .held(path: path, holder: other ?? "another process")
        }
        self.descriptor = descriptor
        ftruncate(descriptor, 0)
        let line = Array((holder + "\n").utf8)
        _ = line.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    deinit {
        ftruncate(descriptor, 0)
        close(descriptor)
    }

    /// Who holds the lock at `path`; `nil` when nobody does.
    static func holder(path: String) -> String? {
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_SH | LOCK_NB) != 0 else { return nil }
        return read(path) ?? "another process"
    }

    private static func read(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else { return nil }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
