// SPDX-License-Identifier: Apache-2.0

package import Platform
import Synchronization

/// Lets another thread end an association while the association's own thread blocks.
///
/// Each association needs an interruption of its own.
public final class Interruption: Sendable {
    private struct State {
        weak var socket: StreamSocket?
        var isStopped = false
    }

    private let state = Mutex(State())

    /// An interruption without an association.
    public init() {}

    /// Whether `stop` was called.
    public var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Shuts the association's socket down, now or as soon as it has one.
    ///
    /// The blocked call throws `connectionLost`.
    public func stop() {
        let socket = state.withLock { state in
            state.isStopped = true
            return state.socket
        }
        socket?.shutDown()
    }

    /// Gives the association's socket to this object.
    package func attach(_ socket: StreamSocket) {
        let stopped = state.withLock { state in
            state.socket = socket
            return state.isStopped
        }
        if stopped { socket.shutDown() }
    }
}
