// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Lets any thread end an association that another thread serves.
///
/// The thread that serves looks at it several times per second.
public final class AssociationInterruption: Sendable {
    /// When the association has to end.
    enum Demand: Sendable, Comparable {
        case none
        /// The association ends as soon as the peer awaits nothing. A request that has begun is finished and answered.
        case whenIdle
        /// The association ends now.
        case now
    }

    private let state = Mutex(Demand.none)

    /// An interruption that does not demand anything yet.
    public init() {}

    /// What is demanded.
    var demand: Demand { state.withLock { $0 } }

    /// Ends the association as soon as it waits for a request.
    public func stopWhenIdle() { raise(to: .whenIdle) }

    /// Ends the association now.
    public func stop() { raise(to: .now) }

    private func raise(to demand: Demand) { state.withLock { $0 = max($0, demand) } }
}
