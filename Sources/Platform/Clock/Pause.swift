// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Lets tasks wait on the monotonic clock.
///
/// `Task.sleep` arms a kernel timer at an absolute time. Libraries that fake a program's wall clock shift such timers
/// too, so that a waiter could sleep for a year. (libfaketime is one; operators rehearse clock changes with it.) One
/// thread of this class polls with relative limits instead, which these libraries do not shift.
public final class Pause: Sendable {
    private static let shared = Pause()

    private struct State {
        var next = 0
        var waiting: [Int: (until: Duration, continuation: CheckedContinuation<Void, Never>)] = [:]
    }

    private let state = Mutex(State())
    private let wakeUp: WakeUp

    private init() {
        guard let wakeUp = try? WakeUp() else { preconditionFailure("the timer needs a descriptor; none is left") }
        self.wakeUp = wakeUp
        DedicatedThread.start(name: "kontur-timer") { [self] in run() }
    }

    /// Returns after `duration`, or when the task is cancelled.
    public static func wait(_ duration: Duration) async { await shared.wait(duration) }

    private func wait(_ duration: Duration) async {
        let until = MonotonicClock.now() + duration
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // If the task was cancelled before this point, `onCancel` did not find a waiter, so the cancellation is
                // checked here.
                let isOver = state.withLock { state in
                    guard !Task.isCancelled else { return true }
                    state.waiting[id] = (until, continuation)
                    return false
                }
                if isOver { continuation.resume() } else { wakeUp.ring() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation.resume()
        }
    }

    private func run() {
        while true {
            let now = MonotonicClock.now()
            let (due, next) = state.withLock { state in
                let due = state.waiting.filter { $0.value.until <= now }
                for id in due.keys { state.waiting[id] = nil }
                return (due.values.map(\.continuation), state.waiting.values.map(\.until).min())
            }
            for continuation in due { continuation.resume() }
            var entries = [PollEntry(wakeUp.descriptor, reading: true)]
            Polling.wait(&entries, atMost: next.map { $0 - now })
            wakeUp.clear()
        }
    }
}
