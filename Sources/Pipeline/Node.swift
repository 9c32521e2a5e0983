// SPDX-License-Identifier: Apache-2.0

import DICOM
public import Foundation
public import Logging
public import Persistence
import Platform
public import Routing
public import ServiceLifecycle
public import Supervision

/// Everything that a node is told.
public struct NodeSettings: Sendable {
    /// Its peers are those that routes send to as well.
    public var listener: ListenerConfiguration
    public var spool: SpoolConfiguration
    public var series: SeriesConfiguration
    /// The routes, and the segmenters that they name.
    public var planner: StackPlanner
    /// The text of the configuration, kept in the journal under its hash.
    public var configuration: Data
    /// Hex SHA-256 of `configuration`.
    public var configurationHash: String
    /// How many stacks are segmented at once.
    public var workers: Int
    /// Of Kontur, written into objects.
    public var softwareVersion: String
    /// The executable whose `worker` command is run.
    public var executable: String

    public init(
        listener: ListenerConfiguration, spool: SpoolConfiguration, series: SeriesConfiguration,
        planner: StackPlanner, configuration: Data, configurationHash: String, workers: Int = 1,
        softwareVersion: String, executable: String = WorkerPoolConfiguration.ownExecutable
    ) {
        self.listener = listener
        self.spool = spool
        self.series = series
        self.planner = planner
        self.configuration = configuration
        self.configurationHash = configurationHash
        self.workers = workers
        self.softwareVersion = softwareVersion
        self.executable = executable
    }
}

/// A running node: the spool and the journal, opened and put in order, and the services that work on them.
///
/// The services stop together: on a graceful shutdown no more is accepted and no more work handed out, an instance in
/// flight is finished or its socket shut down after five seconds, and what was running is queued again.
public final class Node: Service {
    private let services: [any Service]
    private let pool: WorkerPool
    package let journal: Journal
    private let listener: Listener
    private let settings: NodeSettings
    private let logger: Logger

    /// Opens the spool, rescues what a crash left behind, and listens. Blocks for the disk's time: not for Swift's
    /// cooperative pool; see `start`.
    ///
    /// - Throws: `SpoolError`, `JournalError`, or `ListenError` when the port is taken.
    public init(_ settings: NodeSettings, clock: NodeClock = .system, logger: Logger) throws {
        // A peer or a worker that goes away while it is written to is an error of that call, not the end of the node.
        signal(SIGPIPE, SIG_IGN)
        self.settings = settings
        self.logger = logger
        let spool = try Spool(settings.spool, access: .node(name: settings.listener.aeTitle.text))
        let journal = try Journal(spool: spool, now: clock.wall)
        self.journal = journal
        let rescued = try journal.write { transaction in
            try transaction.nodeStarted(
                configuration: settings.configuration, hash: settings.configurationHash,
                AuditEvent(reason: "kontur \(settings.softwareVersion)"))
            return try transaction.rescued(AuditEvent(reason: "the node ended while the job was running"))
        }
        if !rescued.isEmpty { logger.info("jobs rescued", metadata: ["jobs": "\(rescued.count)"]) }

        let pool = WorkerPool(
            configuration: WorkerPoolConfiguration(
                executable: settings.executable, segmentWorkers: settings.workers, printFolder: spool.workPath),
            logger: logger)
        self.pool = pool
        let outbox = OutboxSender(
            sender: StorageSender(aeTitle: settings.listener.aeTitle), peers: settings.listener.peers,
            journal: journal, clock: clock, logger: logger)
        let dispatcher = Dispatcher(
            journal: journal, pool: pool, clock: clock, logger: logger, softwareVersion: settings.softwareVersion,
            onDone: outbox.pending)
        let open = OpenAssociations()
        let assembler = Assembler(
            configuration: settings.series,
            planner: settings.planner, peers: settings.listener.peers,
            configurationHash: settings.configurationHash, journal: journal, pool: pool, open: open, clock: clock, logger: logger, onQueued: dispatcher.queued,
            onSuperseded: dispatcher.superseded)
        listener = try Listener(
            settings.listener, spool: spool, journal: journal, open: open, clock: clock, logger: logger,
            onReceived: assembler.received)
        services = [
            outbox, dispatcher, assembler, RetentionSweeper(journal: journal, clock: clock, logger: logger), listener,
        ]
    }

    /// As `init`, on a thread of its own.
    public static func start(
        _ settings: NodeSettings, clock: NodeClock = .system, logger: Logger
    ) async throws -> Node {
        try await DedicatedThread.run(name: "kontur-start") { try Node(settings, clock: clock, logger: logger) }
    }

    /// The port that the node listens on, also when the configuration lets the kernel choose.
    public var port: UInt16 { listener.port }

    /// Runs until a graceful shutdown, a cancellation, or a service that cannot go on.
    public func run() async throws {
        var failure: (any Error)?
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for service in services { group.addTask { try await service.run() } }
                // Throws at the first error, which cancels the other services.
                while try await group.next() != nil {}
            }
        } catch {
            failure = error
            logger.error("the node cannot go on", metadata: ["error": "\(error)"])
        }
        await pool.shutDown()
        let journal = journal
        let reason = failure.map { "\($0)" }
        try? await DedicatedThread.run(name: "kontur-stop") {
            try journal.write { try $0.nodeStopped(AuditEvent(reason: reason)) }
        }
        if let failure { throw failure }
    }
}
