// SPDX-License-Identifier: Apache-2.0

import DICOM
public import Foundation
import Platform

/// The registry of open associations, by the id that the journal keeps with each received instance.
///
/// The registry limits the number of associations. It keeps a series open while an association may bring more
/// instances, and it ends all associations when the node stops. An association that is not registered is over. After a
/// restart the registry is empty.
///
/// Two places above the limit are for associations that propose only Verification, so that a busy node still answers
/// C-ECHO.
// `@unchecked`: the mutable properties are touched only under `condition`.
public final class OpenAssociations: @unchecked Sendable {
    /// Places for Verification above the limit.
    private static let verificationReserve = 2
    /// Threads for requests that are not admitted yet, above the associations that are open.
    private static let negotiationReserve = 16
    /// How long `drain` waits for threads after it has shut their sockets down.
    private static let grace: Duration = .seconds(2)

    private struct Association {
        let interruption: Interruption
        let isVerificationOnly: Bool
    }

    private let limit: Int
    /// Woken when a thread ends.
    private let condition = MonotonicCondition()
    private var open: [UUID: Association] = [:]
    /// Threads that handle a request or serve an association.
    private var threads = 0
    private var isStopping = false
    private var onEnd: [@Sendable (UUID) -> Void] = []

    /// - Parameter limit: most associations that may store at once.
    public init(limit: Int) {
        self.limit = limit
    }

    /// Whether any of these associations may still bring instances.
    public func isAnyOpen(of associations: some Sequence<UUID>) -> Bool {
        condition.withLock { associations.contains { open[$0] != nil } }
    }

    /// Registers `body`, which is called after the end of each open association on that association's thread.
    public func whenOneEnds(_ body: @escaping @Sendable (UUID) -> Void) {
        condition.withLock { onEnd.append(body) }
    }

    /// Admits an association and registers it as open, if a place is free and the disk has room for it.
    ///
    /// `end` must follow, also if the association was not admitted.
    ///
    /// - Parameters:
    ///   - id: the association's id in the journal.
    ///   - interruption: ends the association when the node stops.
    ///   - isVerificationOnly: whether the association proposes only Verification.
    ///   - hasRoom: called with the number of other open associations that may store, if a place is free. It looks at
    ///     the disk, so it runs outside the lock.
    /// - Returns: false if the association has to be rejected.
    func admit(
        _ id: UUID, interruption: Interruption, isVerificationOnly: Bool, hasRoom: (_ storing: Int) -> Bool
    ) -> Bool {
        let others: Int? = condition.withLock {
            let storing = open.values.count { !$0.isVerificationOnly }
            let isFree = isVerificationOnly ? open.count < limit + Self.verificationReserve : storing < limit
            guard !isStopping, isFree else { return nil }
            open[id] = Association(interruption: interruption, isVerificationOnly: isVerificationOnly)
            return storing
        }
        guard let others else { return false }
        if isVerificationOnly || hasRoom(others) { return true }
        condition.withLock { _ = open.removeValue(forKey: id) }
        return false
    }

    /// Removes an association whose peer has gone, and calls the bodies of `whenOneEnds` if it was open.
    func end(_ id: UUID) {
        let bodies = condition.withLock { open.removeValue(forKey: id) == nil ? [] : onEnd }
        for body in bodies { body(id) }
    }

    /// Reserves a thread for a request.
    ///
    /// `releaseThread` must follow if the result is true.
    ///
    /// - Returns: false if too many requests are being handled already, or the node stops.
    func reserveThread() -> Bool {
        condition.withLock {
            guard threads < limit + Self.verificationReserve + Self.negotiationReserve, !isStopping else {
                return false
            }
            threads += 1
            return true
        }
    }

    /// Gives back a reserved thread, which is about to end.
    func releaseThread() {
        condition.withLock {
            threads -= 1
            condition.wakeAll()
        }
    }

    /// Ends all associations, and blocks until their threads are done.
    ///
    /// Idle associations end at once. The others end after the instance in flight, or when `patience` is over.
    ///
    /// - Parameter patience: the time for instances in flight. The call takes at most two seconds more.
    func drain(patience: Duration) {
        for interruption in stop() { interruption.stopWhenIdle() }
        if waitForThreads(atMost: patience) { return }
        for interruption in stop() { interruption.stop() }
        _ = waitForThreads(atMost: Self.grace)
    }

    /// Stops admitting associations.
    ///
    /// - Returns: the interruptions of the open associations.
    private func stop() -> [Interruption] {
        condition.withLock {
            isStopping = true
            return open.values.map(\.interruption)
        }
    }

    private func waitForThreads(atMost limit: Duration) -> Bool {
        let deadline = MonotonicClock.now() + limit
        return condition.withLock {
            while threads > 0 {
                let rest = deadline - MonotonicClock.now()
                guard rest > .zero else { return false }
                _ = condition.wait(timeout: rest)
            }
            return true
        }
    }
}
