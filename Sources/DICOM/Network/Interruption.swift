// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Lets another thread end an association that blocks: one per association, made by whoever may want to stop it.
public final class Interruption: Sendable {
    private struct State {
        weak var socket: StreamSocket?
        var isStopped = false
    }

    private let state = Mutex(State())

    public init() {}

    /// Whether `stop` was called.
    public var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Shuts the association's socket down, now or as soon as it has one. The blocked call throws `connectionLost`.
    public func stop() {
        let socket = state.withLock { state in
            state.isStopped = true
            return state.socket
        }
        socket?.shutDown(.stopped)
    }

    /// Ends the association as soon as nothing is under way: a message that has begun is finished and answered.
    public func stopWhenIdle() {
        state.withLock { $0.socket }?.stopWhenIdle()
    }

    func attach(_ socket: StreamSocket) {
        let stopped = state.withLock { state in
            state.socket = socket
            return state.isStopped
        }
        if stopped { socket.shutDown(.stopped) }
    }
}
