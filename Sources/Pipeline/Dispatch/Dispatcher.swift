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

    /// Runs until a graceful shutdown, a cancellation, or an error other than a disk error.
    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                while !stop.isSet, !Task.isCancelled {
                    let (jobs, next) = try await due()
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
    private func due() async throws -> ([Job], Duration?) {
        guard let jobs = try await journal.readAll({ try $0.queuedJobs(after: $1?.id) }) else {
            return ([], nil)
        }
        let queued = jobs.filter { $0.kind == SegmentationJob.kind }
        let now = clock.monotonic()
        let (start, next) = schedule.withLock { schedule in
            schedule.start(queued.map { ($0.id, $0.attempts) }, now: now)
        }
        let starting = Set(start)
        return (queued.filter { starting.contains($0.id) }, next.map { $0 - now })
    }

    private func run(_ job: Job) async {
        let stopRun = Signal()
        stops.withLock { $0[job.id] = stopRun }
        if stop.isSet { stopRun.raise() }
        let end: JobRunner.End
        do {
            end = try await runner.run(job, until: stopRun)
        } catch {
            // The next start queues the job again.
            logger.error("job lost", metadata: ["job.id": "\(job.id.rawValue)", "error": "\(error)"])
            end = .ended
        }
        stops.withLock { $0[job.id] = nil }
        let (now, chance) = (clock.monotonic(), clock.chance())
        schedule.withLock { schedule in
            switch end {
            case .queuedAgain(let attempts):
                schedule.queuedAgain(job.id, attempts: attempts, now: now, chance: chance)
            case .done, .ended: schedule.ended(job.id)
            }
        }
        if case .done = end { onDone() }
        somethingChanged.raise()
    }
}

/// Decides which queued jobs may run now.
///
/// This type is a value: it does not run the jobs.
///
/// Waiting times are kept in memory, on the monotonic clock. After a start every job may run at once.
package struct DispatchSchedule: Sendable {
    private struct Setback: Sendable {
        /// Failures in a row.
        var failures: Int
        /// When the job may run again.
        var until: Duration
        /// Attempts charged when the job was queued again.
        ///
        /// If fewer are charged now, an operator has revived the job.
        var attempts: Int
    }

    private let backoff: Backoff
    private let capacity: Int
    private var setbacks: [JobID: Setback] = [:]
    /// The jobs that run.
    package private(set) var running: Set<JobID> = []

    /// - Parameters:
    ///   - capacity: most jobs that run at once.
    ///   - backoff: the waits after failures.
    package init(capacity: Int, backoff: Backoff = .job) {
        self.capacity = capacity
        self.backoff = backoff
    }

    /// Starts as many queued jobs as the capacity allows, oldest first.
    ///
    /// - Parameters:
    ///   - queued: all queued jobs, with the attempts charged so far.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: the jobs to start, and when the next one may run.
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

    /// Ends the run of a job that is queued again.
    ///
    /// - Parameters:
    ///   - id: the job.
    ///   - attempts: all attempts charged by now.
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    package mutating func queuedAgain(_ id: JobID, attempts: Int, now: Duration, chance: Double) {
        running.remove(id)
        let failures = (setbacks[id]?.failures ?? 0) + 1
        setbacks[id] = Setback(
            failures: failures, until: now + backoff.delay(failures: failures, chance: chance), attempts: attempts)
    }

    /// Ends the run of a job that is not queued any more.
    package mutating func ended(_ id: JobID) {
        running.remove(id)
        setbacks[id] = nil
    }
}
