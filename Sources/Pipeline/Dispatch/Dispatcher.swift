// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Logging
package import Persistence
import ServiceLifecycle
package import Supervision
import Synchronization

/// The service that gives queued jobs to segment workers and records the results.
///
/// If a crash left jobs running, the start of the node has queued them again. When the node stops, the workers are
/// killed and their jobs are queued again. These attempts are not charged.
package final class Dispatcher: Service {
    private let pool: WorkerPool
    private let journal: RetryingJournal
    private let runner: JobRunner
    private let clock: NodeClock
    private let logger: Logger
    private let stop: StopFlag
    private let somethingChanged = Signal()
    private let schedule: Mutex<DispatchSchedule>
    /// The signals that end the runs of jobs.
    private let stops = Mutex<[JobID: Signal]>([:])
    private let onDone: @Sendable () -> Void

    /// How often the service looks for queued jobs without a call of `queued`: `kontur jobs retry` is another process.
    private static let polling: Duration = .seconds(2)

    /// - Parameters:
    ///   - journal: takes the states.
    ///   - pool: its segment workers do the work.
    ///   - clock: times the waits and names the runs.
    ///   - logger: receives a message for each change of state.
    ///   - softwareVersion: Kontur's version, which is written into objects.
    ///   - backoff: the waits after lost workers.
    ///   - onDone: called after a job has left objects to be sent.
    package init(
        journal: Journal, pool: WorkerPool, clock: NodeClock, logger: Logger, softwareVersion: String,
        backoff: Backoff = .job, onDone: @escaping @Sendable () -> Void
    ) {
        let stop = StopFlag()
        self.stop = stop
        self.pool = pool
        self.clock = clock
        self.logger = logger
        self.onDone = onDone
        let retrying = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
        self.journal = retrying
        runner = JobRunner(
            pool: pool, journal: retrying, spool: journal.spool, clock: clock, logger: logger,
            softwareVersion: softwareVersion)
        schedule = Mutex(DispatchSchedule(capacity: pool.capacity(.segment), backoff: backoff))
    }

    /// Wakes the service because there may be queued jobs.
    ///
    /// May be called from any thread.
    package func queued() { somethingChanged.raise() }

    /// Ends the runs of jobs that a newer revision has superseded.
    ///
    /// May be called from any thread.
    package func superseded(_ jobs: [JobID]) {
        let stops = stops.withLock { stops in jobs.compactMap { stops[$0] } }
        for stop in stops { stop.raise() }
    }

    /// Runs until a graceful shutdown or a cancellation.
    package func run() async throws {
        let stop = stop
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                var perseverance = Perseverance("dispatch", logger: logger) { stop.isSet }
                while !stop.isSet, !Task.isCancelled {
                    guard let (jobs, next) = await perseverance.round({ try await self.due() }) else { continue }
                    for job in jobs { group.addTask { await self.run(job) } }
                    await somethingChanged.wait(atMost: min(next ?? Self.polling, Self.polling))
                }
                // The group waits for the runs. The handler below stops them.
            }
        } onGracefulShutdown: {
            self.stop.set()
            let running = self.stops.withLock { Array($0.values) }
            for run in running { run.raise() }
            self.somethingChanged.raise()
        }
    }

    /// The jobs to start now, and the time until another one may be due.
    ///
    /// The queue is read from its head until as many jobs are found as workers are free. The time of a round therefore
    /// does not grow with the queue, and payloads are read one by one as jobs start.
    private func due() async throws -> ([JobID], Duration?) {
        var others: [JobID] = []
        let free = schedule.withLock { $0.free }
        var last: JobID?
        while others.count < free {
            let after = last
            guard let page = try await journal.read({ try $0.queuedJobs(after: after) }) else { return ([], nil) }
            guard let end = page.last else { break }
            others += schedule.withLock { $0.untried(page) }
            last = end
        }
        let (now, queued) = (clock.monotonic(), others)
        return schedule.withLock { schedule in
            let start = schedule.start(queued, now: now)
            return (start, schedule.next.map { $0 - now })
        }
    }

    private func run(_ id: JobID) async {
        let stopRun = Signal()
        stops.withLock { $0[id] = stopRun }
        if stop.isSet { stopRun.raise() }
        let end: JobRunner.End
        do {
            end = try await runner.run(id, until: stopRun)
        } catch {
            end = await runner.giveUp(id, because: error)
        }
        stops.withLock { $0[id] = nil }
        let (now, chance) = (clock.monotonic(), clock.chance())
        schedule.withLock { schedule in
            switch end {
            case .queuedAgain: schedule.queuedAgain(id, now: now, chance: chance)
            case .done, .ended: schedule.ended(id)
            }
        }
        if case .done = end { onDone() }
        somethingChanged.raise()
    }
}

/// Decides which queued jobs may run now.
///
/// This type is a value: it does not run the jobs. It remembers the jobs that run and those that failed, and not the
/// queue.
///
/// Waiting times are kept in memory, on the monotonic clock. After a start every job may run at once.
package struct DispatchSchedule: Sendable {
    private struct Setback: Sendable {
        /// Failures in a row.
        var failures: Int
        /// When the job may run again.
        var until: Duration
    }

    private let backoff: Backoff
    private let capacity: Int
    private var setbacks: [JobID: Setback] = [:]
    /// Whether the next free worker is for a job that failed before, if there is a choice.
    private var prefersFailed = false
    /// The jobs that run.
    package private(set) var running: Set<JobID> = []

    /// - Parameters:
    ///   - capacity: most jobs that run at once.
    ///   - backoff: the waits after failures.
    package init(capacity: Int, backoff: Backoff = .job) {
        self.capacity = capacity
        self.backoff = backoff
    }

    /// The number of jobs that may start now.
    package var free: Int { max(0, capacity - running.count) }

    /// When the next job that failed may run again; `nil` if none waits.
    package var next: Duration? { setbacks.lazy.filter { !running.contains($0.key) }.map(\.value.until).min() }

    /// The jobs of a page that neither run nor have failed since the start.
    package func untried(_ page: [JobID]) -> [JobID] {
        page.filter { !running.contains($0) && setbacks[$0] == nil }
    }

    /// Starts as many jobs as the capacity allows.
    ///
    /// Jobs that failed and are due again take turns with the others, so that neither kind waits for the end of the
    /// other.
    ///
    /// - Parameters:
    ///   - others: queued jobs that have not failed, oldest first; at least as many as `free`, or all.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: the jobs to start.
    package mutating func start(_ others: [JobID], now: Duration) -> [JobID] {
        var others = others[...]
        var failed = setbacks.filter { !running.contains($0.key) && $0.value.until <= now }
            .sorted { ($0.value.until, $0.key) < ($1.value.until, $1.key) }.map(\.key)[...]
        var start: [JobID] = []
        while free > 0 {
            let isAgain = others.isEmpty || prefersFailed && !failed.isEmpty
            guard let job = isAgain ? failed.popFirst() : others.popFirst() else { break }
            prefersFailed = !isAgain
            running.insert(job)
            start.append(job)
        }
        return start
    }

    /// Ends the run of a job that is queued again, or that nobody could give up.
    ///
    /// - Parameters:
    ///   - id: the job.
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    package mutating func queuedAgain(_ id: JobID, now: Duration, chance: Double) {
        running.remove(id)
        let failures = (setbacks[id]?.failures ?? 0) + 1
        setbacks[id] = Setback(failures: failures, until: now + backoff.delay(failures: failures, chance: chance))
    }

    /// Ends the run of a job that is not queued any more.
    package mutating func ended(_ id: JobID) {
        running.remove(id)
        setbacks[id] = nil
    }
}
