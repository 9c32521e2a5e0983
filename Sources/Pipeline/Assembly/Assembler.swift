// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Foundation
package import Logging
package import Persistence
import Platform
package import Routing
import ServiceLifecycle
package import Supervision
import Synchronization

/// The service that turns acknowledged instances into routed stacks.
///
/// The service has instances indexed, waits until series are complete, sorts their instances into stacks, routes the
/// stacks and queues their jobs.
package final class Assembler: Service {
    /// The time within which a series is noticed that an operator sent back.
    private static let recall: Duration = .seconds(5)

    private let indexer: Indexer
    private let closer: SeriesCloser
    private let shared: SharedSeriesAssembly
    private let journal: RetryingJournal
    private let open: OpenAssociations
    private let clock: NodeClock
    private let logger: Logger
    private let stop: StopFlag
    private let onQueued: @Sendable () -> Void

    /// - Parameters:
    ///   - configuration: the waiting times of series.
    ///   - planner: the routes, and the segmenters that they name.
    ///   - peers: the configured peers: a route sends to some of them.
    ///   - configurationHash: SHA-256 of the configuration, stored with each decision.
    ///   - journal: takes the states.
    ///   - pool: its index workers read the instances.
    ///   - open: the associations that may still bring instances.
    ///   - clock: measures the quiet times.
    ///   - logger: receives a message for each change of state.
    ///   - onQueued: called after jobs have been queued.
    ///   - onSuperseded: called with the running jobs that a late instance has superseded.
    package init(
        configuration: SeriesConfiguration, planner: StackPlanner, peers: [Peer], configurationHash: String,
        journal: Journal, pool: WorkerPool, open: OpenAssociations, clock: NodeClock, logger: Logger,
        onQueued: @escaping @Sendable () -> Void, onSuperseded: @escaping @Sendable ([JobID]) -> Void
    ) {
        let stop = StopFlag()
        let retrying = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
        let shared = SharedSeriesAssembly(configuration: configuration, clock: clock)
        self.stop = stop
        self.journal = retrying
        self.shared = shared
        self.open = open
        self.clock = clock
        self.logger = logger
        self.onQueued = onQueued
        indexer = Indexer(
            pool: pool, shared: shared, journal: retrying, logger: logger, stop: stop,
            onSuperseded: onSuperseded)
        closer = SeriesCloser(
            planner: planner, peers: peers, configurationHash: configurationHash, journal: retrying,
            spool: journal.spool, clock: clock, logger: logger)
        open.whenOneEnds { _ in shared.somethingChanged.raise() }
    }

    /// Wakes the assembler after an instance was stored.
    ///
    /// May be called from any thread.
    package func received() { shared.somethingArrived.raise() }

    /// Runs until a graceful shutdown or a cancellation.
    package func run() async throws {
        await withGracefulShutdownHandler {
            let stop = stop
            var start = Perseverance("start of assembly", logger: logger) { stop.isSet }
            while !stop.isSet, !Task.isCancelled, await start.round(findOpenSeries) == nil {}
            await withDiscardingTaskGroup { group in
                group.addTask { await self.persevere("indexing") { try await self.indexer.run() } }
                group.addTask { await self.persevere("closing") { try await self.closeSeries() } }
            }
        } onGracefulShutdown: {
            self.stop.set()
            self.shared.somethingArrived.raise()
            self.shared.somethingChanged.raise()
        }
    }

    /// Adds the series that were open when the node ended.
    ///
    /// The quiet time of these series begins anew.
    private func findOpenSeries() async throws {
        guard let open = try await journal.readAll({ try $0.openSeries(after: $1?.id) }) else { return }
        shared.update { assembly, now in
            for series in open {
                assembly.found(series.id, modality: series.modality, revision: series.revision, now: now)
            }
        }
    }

    /// Adds the series that an operator sent back, from another process.
    ///
    /// Their quiet time begins anew.
    private func findRecalledSeries() async throws {
        guard let recalled = try await journal.read({ try $0.recalledSeries() }) else { return }
        shared.update { assembly, now in
            for series in recalled where !assembly.contains(series.id) {
                assembly.found(series.id, modality: series.modality, revision: series.revision, now: now)
            }
        }
    }

    /// One round of the closing loop: closes the series that are due, and waits until there may be another.
    private func closeSeries() async throws {
        try await findRecalledSeries()
        // An instance that was acknowledged meanwhile may belong to a series that looks quiet.
        try await indexer.takeIn()
        let open = open
        let actions = shared.update { assembly, now in
            assembly.due(now: now) { associations in open.isAnyOpen(of: associations) }
        }
        for series in actions.close {
            guard !stop.isSet, !Task.isCancelled else { return }
            await close(series)
        }
        if !actions.close.isEmpty {
            // The indexer needs a moment to add the instances that made a closing fail.
            return await Pause.wait(.milliseconds(20))
        }
        let next = actions.next.map { $0 - clock.monotonic() } ?? Self.recall
        await shared.somethingChanged.wait(atMost: min(next, Self.recall))
    }

    /// Closes a series, or sets it aside with the reason if that fails.
    ///
    /// Other series do not wait.
    private func close(_ series: SeriesID) async {
        do {
            guard try await closer.close(series) else { return }
            onQueued()
        } catch {
            let reason = "it could not be closed: \(Reason(error))"
            logger.error("series set aside", metadata: ["series.id": "\(series.rawValue)", "reason": "\(reason)"])
            do {
                _ = try await journal.write { try $0.setAside(series, AuditEvent(reason: reason)) }
            } catch is StateError {
                // The series is gone, or has moved on.
            } catch {
                logger.error(
                    "series not set aside", metadata: ["series.id": "\(series.rawValue)", "error": "\(Reason(error))"])
                return shared.update { assembly, now in assembly.postponed(series, now: now) }
            }
        }
        shared.update { assembly, _ in assembly.closed(series) }
    }

    /// Repeats a round until the service stops.
    private func persevere(_ loop: String, _ round: () async throws -> Void) async {
        let stop = stop
        var perseverance = Perseverance(loop, logger: logger) { stop.isSet }
        while !stop.isSet, !Task.isCancelled { await perseverance.round(round) }
    }
}

/// The state of assembly that the assembler's two loops share, with the signals that wake them.
final class SharedSeriesAssembly: Sendable {
    /// Wakes the indexing loop.
    let somethingArrived = Signal()
    /// Wakes the closing loop.
    let somethingChanged = Signal()
    private let clock: NodeClock
    private let assembly: Mutex<SeriesAssembly>

    init(configuration: SeriesConfiguration, clock: NodeClock) {
        self.clock = clock
        assembly = Mutex(SeriesAssembly(configuration: configuration))
    }

    /// The current time, on the clock of the quiet times.
    var now: Duration { clock.monotonic() }

    /// Runs `body` with the state and the current time.
    @discardableResult
    func update<Result: Sendable>(_ body: (inout SeriesAssembly, Duration) -> Result) -> Result {
        assembly.withLock { body(&$0, clock.monotonic()) }
    }
}
