// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Synchronization

/// The associations that are open now, by the id that the journal keeps with each instance they brought.
///
/// A series stays open while one of them may still bring instances of it. What is not registered here is over: after a
/// restart nothing is.
public final class OpenAssociations: Sendable {
    private struct State {
        var open: Set<UUID> = []
        var onEnd: [@Sendable (UUID) -> Void] = []
    }

    private let state = Mutex(State())

    public init() {}

    /// Whether the association may still bring instances.
    public func isOpen(_ association: UUID) -> Bool {
        state.withLock { $0.open.contains(association) }
    }

    /// Whether any of `associations` may still bring instances.
    public func isAnyOpen(of associations: some Sequence<UUID>) -> Bool {
        state.withLock { state in associations.contains { state.open.contains($0) } }
    }

    public var count: Int { state.withLock { $0.open.count } }

    /// Calls `body` after each association that has ended, released or not, on that association's thread.
    public func whenOneEnds(_ body: @escaping @Sendable (UUID) -> Void) {
        state.withLock { $0.onEnd.append(body) }
    }

    func begin(_ association: UUID) {
        state.withLock { _ = $0.open.insert(association) }
    }

    func end(_ association: UUID) {
        let listeners = state.withLock { state in
            state.open.remove(association)
            return state.onEnd
        }
        for listener in listeners { listener(association) }
    }
}
