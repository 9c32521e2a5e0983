// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// Shares the sync of a folder between those who made names in it at the same time.
///
/// A sync that begins after a name was made covers the name, so at most one runs and at most one more waits.
// Sendable: everything mutable is touched under `turn` alone.
final class FolderSync: @unchecked Sendable {
    private struct Progress {
        var begun = 0
        var ended = 0
        var running = false
        var failures: [Int: SystemCallError] = [:]
    }

    private let turn = NSCondition()
    private var folders: [String: Progress] = [:]
    private let sync: @Sendable (String) throws(SystemCallError) -> Void

    init(sync: @escaping @Sendable (String) throws(SystemCallError) -> Void) { self.sync = sync }

    /// Blocks until every name that is in the folder now is on disk.
    func wait(_ folder: String) throws(SystemCallError) {
        turn.lock()
        defer { turn.unlock() }
        let needed = folders[folder, default: Progress()].begun + 1
        while folders[folder, default: Progress()].ended < needed {
            if folders[folder, default: Progress()].running {
                turn.wait()
                continue
            }
            folders[folder, default: Progress()].running = true
            folders[folder, default: Progress()].begun += 1
            turn.unlock()
            var failure: SystemCallError?
            do throws(SystemCallError) { try sync(folder) } catch { failure = error }
            turn.lock()
            folders[folder]?.running = false
            folders[folder]?.ended += 1
            if let failure, let number = folders[folder]?.ended { folders[folder]?.failures[number] = failure }
            turn.broadcast()
        }
        if let failure = folders[folder]?.failures[needed] { throw failure }
    }
}
