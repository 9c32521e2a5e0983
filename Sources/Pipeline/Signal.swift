// SPDX-License-Identifier: Apache-2.0

import Platform
import Synchronization

/// Wakes one waiting task, because there may be work.
///
/// A signal that is raised twice before the task looks counts once. A signal that is raised while the task does not
/// wait ends its next wait at once.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Wakes the task, from any thread; never blocks.
    func raise() {
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state.waiter = nil
            if waiter == nil { state.isRaised = true }
            return waiter
        }
        waiter?.resume()
    }

    /// Waits until the signal is raised, the limit has passed or the task is cancelled.
    ///
    /// Only one task may wait.
    ///
    /// - Parameter limit: `nil` for no limit.
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
                    precondition(state.waiter == nil, "only one task may wait for a signal")
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

/// Tells all parts of a service that the service has to end.
final class StopFlag: Sendable {
    private let flag = Mutex(false)

    var isSet: Bool { flag.withLock { $0 } }
    func set() { flag.withLock { $0 = true } }
}
