// SPDX-License-Identifier: Apache-2.0

import Platform
import Synchronization

/// A line on standard error that shows the progress of work and is overwritten with each step.
///
/// Without a terminal nothing is written.
final class ProgressLine: Sendable {
    private let isShown = StandardStream.error.isTerminal
    /// Characters of the line that is shown now.
    private let width = Mutex(0)

    func show(_ text: String) {
        guard isShown else { return }
        width.withLock { width in
            let padding = String(repeating: " ", count: max(0, width - text.count))
            StandardStream.error.write("\r\(text)\(padding)")
            width = text.count
        }
    }

    /// Removes the line.
    func clear() {
        guard isShown else { return }
        width.withLock { width in
            if width > 0 { StandardStream.error.write("\r\(String(repeating: " ", count: width))\r") }
            width = 0
        }
    }
}
