// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Synchronization

/// How many associations there are, and a way to end them all.
///
/// Two slots above the limit are for associations that propose only Verification: a node that is busy still answers
/// whoever asks whether it lives.
final class AssociationSlots: Sendable {
    /// Slots for Verification above the limit.
    static let verificationReserve = 2
    /// Requests that may be looked at at once, above the associations that are open.
    static let negotiationReserve = 16

    private struct State {
        /// Threads that look at a request or serve an association.
        var threads = 0
        /// The open ones; the value tells which propose only Verification.
        var open: [UUID: (interruption: Interruption, isVerificationOnly: Bool)] = [:]
        var isStopping = false
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// - Returns: false when too many requests are being looked at already.
    func beginThread() -> Bool {
        state.withLock { state in
            guard state.threads < limit + Self.verificationReserve + Self.negotiationReserve, !state.isStopping else {
                return false
            }
            state.threads += 1
            return true
        }
    }

    func endThread() {
        state.withLock { $0.threads -= 1 }
    }

    /// Takes a slot.
    ///
    /// - Parameter hasRoom: told how many other associations that may store are open; asked only when a slot is free,
    ///   and without holding the others up, because it looks at the disk.
    /// - Returns: false when there is none, or no room for what the association might bring.
    func open(
        _ id: UUID, interruption: Interruption, isVerificationOnly: Bool, hasRoom: (_ storing: Int) -> Bool
    ) -> Bool {
        let others: Int? = state.withLock { state in
            let storing = state.open.values.count { !$0.isVerificationOnly }
            let isFree =
                isVerificationOnly ? state.open.count < limit + Self.verificationReserve : storing < limit
            guard !state.isStopping, isFree else { return nil }
            state.open[id] = (interruption, isVerificationOnly)
            return storing
        }
        guard let others else { return false }
        if isVerificationOnly || hasRoom(others) { return true }
        close(id)
        return false
    }

    func close(_ id: UUID) {
        state.withLock { _ = $0.open.removeValue(forKey: id) }
    }

    /// Ends the associations: idle ones now, the others after the instance in flight, or when `patience` is over.
    /// Blocks until all are gone, or for two seconds more.
    func drain(patience: Duration) {
        for open in stopping() { open.stopWhenIdle() }
        if isEmpty(within: patience) { return }
        for open in stopping() { open.stop() }
        _ = isEmpty(within: .seconds(2))
    }

    private func stopping() -> [Interruption] {
        state.withLock { state in
            state.isStopping = true
            return state.open.values.map(\.interruption)
        }
    }

    private func isEmpty(within limit: Duration) -> Bool {
        let deadline = SuspendingClock.now + limit
        while state.withLock({ $0.threads > 0 }) {
            guard SuspendingClock.now < deadline else { return false }
            usleep(10_000)
        }
        return true
    }
}
