// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// One thread that holds every socket of the process to its limit.
///
/// A peer that sends one byte per second never exceeds the timeout of a single call. The watchdog therefore requires a
/// minimum rate of a peer that is in the middle of a transfer.
package final class SocketWatchdog: Sendable {
    static let shared = SocketWatchdog()

    /// The bytes per second that a peer has to move in the middle of a transfer, on average over a ``window``.
    package static let minimumRate = 1024
    /// The time over which the rate is measured.
    package static let window: Duration = .seconds(30)
    /// How often the watchdog looks, in microseconds.
    private static let interval: UInt32 = 250_000

    private struct WatchedSocket: Sendable {
        weak var socket: StreamSocket?
    }

    private struct State {
        var sockets: [WatchedSocket] = []
        var isRunning = false
    }

    private let state = Mutex(State())

    /// Watches a socket for as long as it lives.
    ///
    /// The first socket starts the thread.
    func watch(_ socket: StreamSocket) {
        let starts = state.withLock { state in
            defer { state.isRunning = true }
            state.sockets.append(WatchedSocket(socket: socket))
            return !state.isRunning
        }
        if starts {
            DedicatedThread.start(name: "kontur-watchdog", stackSize: 256 << 10) { self.patrol() }
        }
    }

    private func patrol() -> Never {
        while true {
            usleep(Self.interval)
            let now = MonotonicClock.now()
            let sockets = state.withLock { state in
                state.sockets.removeAll { $0.socket == nil }
                return state.sockets.compactMap(\.socket)
            }
            for socket in sockets {
                if let reason = socket.judge(at: now) { socket.expire(reason) }
            }
        }
    }
}
