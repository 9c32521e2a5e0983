// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The size-capped file for what a worker prints: libraries print what they please, patient values too, so it stays a
/// file in the spool (0600) and never reaches the log. Each worker begins it anew.
final class PrintFile {
    let path: String?
    private let limit: Int
    private var descriptor: Int32 = -1
    private var written = 0

    init(path: String?, limit: Int) {
        self.path = path
        self.limit = limit
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Empties the file, for a worker that begins. What the worker before it printed is kept beside it as `.old`.
    func begin() {
        guard let path else { return }
        if descriptor >= 0 { close(descriptor) }
        if written > 0 { rename(path, path + ".old") }
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        written = 0
    }

    /// Copies what is in the pipe, up to the limit; the rest is dropped, so that the worker never blocks on it.
    ///
    /// - Returns: `false` when the pipe has been closed at the other end.
    @discardableResult
    func drain(_ pipe: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = read(pipe, &buffer, buffer.count)
            if count == 0 { return false }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            let room = min(count, limit - written)
            if room > 0, descriptor >= 0, write(descriptor, &buffer, room) == room { written += room }
        }
    }
}
