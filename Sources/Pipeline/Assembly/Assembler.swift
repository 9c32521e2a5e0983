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

/// The service that turns acknowledged instances into decided stacks: it has them indexed, waits until series are
/// complete, sorts them into stacks, routes those and queues their jobs.
package final class Assembler: Service {
    private let indexer: Indexer
    private let closer: SeriesCloser
    private let board: AssemblyBoard
    private let perseverance: Perseverance
    private let open: OpenAssociations
    private let clock: NodeClock
    private let logger: Logger
    private let stop: StopFlag
    private let onQueued: @Sendable () -> Void

    /// - Parameters:
    ///   - open: the associations that may still bring instances.
    ///   - onQueued: told when jobs have been queued.
    ///   - onSuperseded: told which running jobs a late instance has made pointless.
    package init(
        configuration: SeriesConfiguration, planner: StackPlanner, peers: [Peer], configurationHash: String,
        journal: Journal, pool: WorkerPool, open: OpenAssociations, clock: NodeClock, logger: Logger, onQueued: @escaping @Sendable () -> Void,
        onSuperseded: @escaping @Sendable ([JobID]) -> Void
    ) {
        let stop = StopFlag()
        let perseverance = Perseverance(journal: journal, logger: logger) { stop.isSet }
        let board = AssemblyBoard(configuration: configuration, clock: clock)
        self.stop = stop
        self.perseverance = perseverance
        self.board = board
        self.open = open
        self.clock = clock
        self.logger = logger
        self.onQueued = onQueued
        indexer = Indexer(
            pool: pool, board: board, perseverance: perseverance, logger: logger, stop: stop,
            onSuperseded: onSuperseded)
        closer = SeriesCloser(
            planner: planner, peers: peers, configurationHash: configurationHash, perseverance: perseverance, spool: journal.spool, clock: clock, logger: logger)
        open.whenOneEnds { _ in board.somethingChanged.raise() }
    }

    /// Tells that an instance was stored; from any thread.
    package func received() { board.somethingArrived.raise() }

    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await findOpenSeries()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.indexer.run() }
                group.addTask { try await self.closeSeries() }
                // Throws at the first error, which cancels the other loop.
                while try await group.next() != nil {}
            }
        } onGracefulShutdown: {
            self.stop.set()
            self.board.somethingArrived.raise()
            self.board.somethingChanged.raise()
        }
    }

    /// Series that were open when the node ended wait anew.
    private func findOpenSeries() async throws {
        var last: SeriesID?
        while true {
            let after = last
            guard let page = try await perseverance.read({ try $0.openSeries(after: after) }), !page.isEmpty else {
                return
            }
            board.update { assembly, now in
                for series in page {
                    assembly.found(series.id, modality: series.modality, revision: series.revision, now: now)
                }
            }
            last = page.last?.id
        }
    }

    private func closeSeries() async throws {
        while !stop.isSet, !Task.isCancelled {
            // What has been acknowledged meanwhile may belong to a series that looks quiet.
            try await indexer.takeIn()
            let open = open
            let actions = board.update { assembly, now in
                assembly.due(now: now) { associations in open.isAnyOpen(of: associations) }
            }
            for series in actions.close {
                guard !stop.isSet else { return }
                do {
                    guard try await closer.close(series) else { continue }
                    onQueued()
                } catch {
                    // It stays open in the journal, and the next start tries again; the others shall not wait for it.
                    logger.error(
                        "series not closed", metadata: ["series.id": "\(series.rawValue)", "error": "\(error)"])
                }
                board.update { assembly, _ in assembly.closed(series) }
            }
            if !actions.close.isEmpty {
                // Of those that took another instance meanwhile the board hears in a moment.
                await Pause.wait(.milliseconds(20))
                continue
            }
            await board.somethingChanged.wait(atMost: actions.next.map { $0 - clock.monotonic() })
        }
    }
}

/// The state of assembly, shared by the two loops of the assembler, with what wakes them.
final class AssemblyBoard: Sendable {
    let somethingArrived = Signal()
    let somethingChanged = Signal()
    private let clock: NodeClock
    private let assembly: Mutex<SeriesAssembly>

    init(configuration: SeriesConfiguration, clock: NodeClock) {
        self.clock = clock
        assembly = Mutex(SeriesAssembly(configuration: configuration))
    }

    /// Runs `body` with the state and the time it is now.
    @discardableResult
    func update<Result: Sendable>(_ body: (inout SeriesAssembly, Duration) -> Result) -> Result {
        assembly.withLock { body(&$0, clock.monotonic()) }
    }
}
