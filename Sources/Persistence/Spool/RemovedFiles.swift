// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Files that were removed after their rows were gone, and that the journal still names as files to be removed.
///
/// A deletion writes the path of the file into the table `discard`, in the transaction that deletes the row. The file is
/// removed after the commit, and some later transaction deletes the path. A node that ends in between removes the file
/// at its next start, and does not take the file for one that the journal lost.
// `@unchecked`: `paths` is used only under `lock`.
final class RemovedFiles: @unchecked Sendable {
    /// Most paths that one transaction deletes.
    private static let page = 500

    private let lock = NSLock()
    private var paths: [String] = []

    /// Removes files; a file that cannot be removed stays in the table until the next start.
    func remove(_ stored: [String], _ spool: Spool) {
        if stored.isEmpty { return }
        let removed = stored.filter { spool.discard($0) }
        lock.withLock { paths += removed }
    }

    /// Takes the paths that the next transaction deletes.
    func take() -> [String] {
        lock.withLock {
            let page = Array(paths.prefix(Self.page))
            paths.removeFirst(page.count)
            return page
        }
    }

    /// Takes paths back if their transaction failed.
    func giveBack(_ taken: [String]) { lock.withLock { paths += taken } }
}
