// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
package import Logging
package import Persistence
import ServiceLifecycle
package import Supervision
import Synchronization

/// The service that hands queued jobs to segment workers and records what came of them.
///
/// A job that a crash left running was rescued when the node started. When the node stops, workers are killed and their
/// jobs queued again, free of charge.
package final class Dispatcher: Service {
    private let pool: WorkerPool
    private let perseverance: Perseverance
    private let runner: JobRunner
    private let clock: NodeClock
    private let logger: Logger
    private let stop: StopFlag
    private let somethingChanged = Signal()
    private let schedule: Mutex<DispatchSchedule>
    /// Raised to end the run of a job.
    private let stops = Mutex<[JobID: Signal]>([:])
    private let onDone: @Sendable () -> Void

    /// How often queued jobs are looked for without being told: `kontur jobs retry` is another process.
    private static let polling: Duration = .seconds(2)

    /// - Parameter onDone: told when a job has left objects to be sent.
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
        perseverance = Perseverance(journal: journal, logger: logger) { stop.isSet }
        runner = JobRunner(
            pool: pool, perseverance: perseverance, spool: journal.spool, clock: clock, logger: logger,
            softwareVersion: softwareVersion)
        schedule = Mutex(DispatchSchedule(capacity: pool.capacity(.segment), backoff: backoff))
    }

    /// Tells that there may be jobs; from any thread.
    package func queued() { somethingChanged.raise() }

    /// Ends the runs of these jobs: a newer revision has made them pointless. From any thread.
    package func superseded(_ jobs: [JobID]) {
        let stops = stops.withLock { stops in jobs.compactMap { stops[$0] } }
        for stop in stops { stop.raise() }
    }

    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                while !stop.isSet, !Task.isCancelled {
                    let (jobs, next) = try await due()
                    for job in jobs { group.addTask { await self.run(job) } }
                    await somethingChanged.wait(atMost: min(next ?? Self.polling, Self.polling))
                }
                // Leaving waits for the runs; they end by the stop they were told below.
            }
        } onGracefulShutdown: {
            self.stop.set()
            let running = self.stops.withLock { Array($0.values) }
            for run in running { run.raise() }
            self.somethingChanged.raise()
        }
    }

    /// The jobs to start now, and after what time another one may be due.
    private func due() async throws -> ([Job], Duration?) {
        var queued: [Job] = []
        while true {
            let after = queued.last?.id
            guard let page = try await perseverance.read({ try $0.queuedJobs(after: after) }) else { return ([], nil) }
            queued += page.filter { $0.kind == SegmentationJob.kind }
            if page.count < 100 { break }
        }
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
            // It is rescued at the next start.
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
