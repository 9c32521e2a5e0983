// SPDX-License-Identifier: Apache-2.0

package import Persistence

/// Which queued jobs may run now: a value. Waiting times are kept in memory, on the monotonic clock; after a start every
/// job may run at once.
package struct DispatchSchedule: Sendable {
    private struct Setback: Sendable {
        var failures: Int
        var until: Duration
        /// Attempts charged when it was put back: fewer say that an operator has revived the job.
        var attempts: Int
    }

    private let backoff: Backoff
    private let capacity: Int
    private var setbacks: [JobID: Setback] = [:]
    package private(set) var running: Set<JobID> = []

    package init(capacity: Int, backoff: Backoff = .job) {
        self.capacity = capacity
        self.backoff = backoff
    }

    /// The jobs to start, oldest first, as many as there is room for, and when to look again.
    ///
    /// - Parameter queued: all that are queued, with the attempts charged so far.
    package mutating func start(_ queued: [(id: JobID, attempts: Int)], now: Duration) -> (
        start: [JobID], next: Duration?
    ) {
        let ids = Set(queued.map(\.id))
        setbacks = setbacks.filter { ids.contains($0.key) || running.contains($0.key) }
        var start: [JobID] = []
        var next: Duration?
        for (id, attempts) in queued where !running.contains(id) {
            if let setback = setbacks[id], attempts >= setback.attempts, now < setback.until {
                next = min(next ?? setback.until, setback.until)
            } else if running.count < capacity {
                running.insert(id)
                start.append(id)
            }
        }
        return (start, next)
    }

    /// A run has ended and the job is queued again, `attempts` charged by now.
    package mutating func queuedAgain(_ id: JobID, attempts: Int, now: Duration, chance: Double) {
        running.remove(id)
        let failures = (setbacks[id]?.failures ?? 0) + 1
        setbacks[id] = Setback(
            failures: failures, until: now + backoff.delay(failures: failures, chance: chance), attempts: attempts)
    }

    /// A run has ended and the job is not queued any more.
    package mutating func ended(_ id: JobID) {
        running.remove(id)
        setbacks[id] = nil
    }
}
