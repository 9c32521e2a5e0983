// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Instances whose rows are committed and whose files are not yet known to be on disk.
///
/// A second copy that arrives meanwhile must not be acknowledged on the strength of the first.
// Sendable: everything mutable is touched under `turn` alone.
final class UnsettledInstances: @unchecked Sendable {
    private let turn = NSCondition()
    /// Being synced.
    private var pending: Set<Int64> = []
    /// Failed to sync: the row was taken back, or could not be.
    private var withdrawn: Set<Int64> = []
    /// Synced; the row does not say so yet.
    private var confirmed: [Int64] = []

    func begin(_ id: Int64) {
        turn.withLock { _ = pending.insert(id) }
    }

    /// The file is on disk, or the row is gone.
    func end(_ id: Int64, confirmed isConfirmed: Bool, withdrawn isWithdrawn: Bool = false) {
        turn.withLock {
            pending.remove(id)
            if isConfirmed {
                confirmed.append(id)
                withdrawn.remove(id)
            }
            if isWithdrawn { withdrawn.insert(id) }
            turn.broadcast()
        }
    }

    /// Blocks until the instance's fate is known.
    func wait(_ id: Int64) {
        turn.withLock {
            while pending.contains(id) { turn.wait() }
        }
    }

    func contains(_ id: Int64) -> Bool {
        turn.withLock { pending.contains(id) || withdrawn.contains(id) }
    }

    /// Those whose rows can be told with the next transaction.
    func takeConfirmed() -> [Int64] {
        turn.withLock {
            defer { confirmed.removeAll(keepingCapacity: true) }
            return confirmed
        }
    }

    func giveBack(_ ids: [Int64]) {
        turn.withLock { confirmed += ids }
    }
}
