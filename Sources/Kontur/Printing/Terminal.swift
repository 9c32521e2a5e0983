// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Writing to standard output and error.
enum Terminal {
    /// Writes all of it, or gives up silently: whoever read it has gone.
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return }
            bytes = bytes.dropFirst(written)
        }
    }
}

/// One line on standard error that is written over while work goes on; nothing where that is no terminal.
final class ProgressLine: Sendable {
    private let isShown = isatty(STDERR_FILENO) == 1
    private let shown = Mutex(0)

    func show(_ text: String) {
        guard isShown else { return }
        shown.withLock { width in
            let padding = String(repeating: " ", count: max(0, width - text.count))
            Terminal.write("\r\(text)\(padding)", to: STDERR_FILENO)
            width = text.count
        }
    }

    /// Removes the line.
    func clear() {
        guard isShown else { return }
        shown.withLock { width in
            if width > 0 { Terminal.write("\r\(String(repeating: " ", count: width))\r", to: STDERR_FILENO) }
            width = 0
        }
    }
}
