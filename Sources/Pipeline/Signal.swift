// SPDX-License-Identifier: Apache-2.0

import Platform
import Synchronization

/// Tells one waiting task that there may be something to do. Raised twice before the task looks, it counts once; raised
/// while nobody waits, it is remembered.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// May be called from any thread; never blocks.
    func raise() {
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state.waiter = nil
            if waiter == nil { state.isRaised = true }
            return waiter
        }
        waiter?.resume()
    }

    /// Returns when the signal is raised, after `limit`, or when the task is cancelled. One task at a time.
    func wait(atMost limit: Duration?) async {
        if let limit, limit <= .zero {
            state.withLock { $0.isRaised = false }
            return
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.park() }
            if let limit { group.addTask { await Pause.wait(limit) } }
            await group.next()
            group.cancelAll()
        }
    }

    private func park() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if state.isRaised || Task.isCancelled {
                        state.isRaised = false
                        return true
                    }
                    precondition(state.waiter == nil, "one task waits for a signal")
                    state.waiter = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume()
        }
    }
}
