// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
public import Foundation
public import Logging
public import Persistence
public import Platform
public import Routing
public import ServiceLifecycle
import Supervision

/// The settings of a node.
public struct NodeSettings: Sendable {
    /// The listener.
    ///
    /// Routes send to the peers of the listener.
    public var listener: ListenerConfiguration
    /// The folder of all files, and its limits.
    public var spool: SpoolConfiguration
    /// The waiting times of series.
    public var series: SeriesConfiguration
    /// The routes, and the segmenters that they name.
    public var planner: StackPlanner
    /// The text of the configuration, kept in the journal under its hash.
    public var configuration: Data
    /// Hex SHA-256 of `configuration`.
    public var configurationHash: String
    /// The number of stacks that are segmented at once.
    public var workers: Int
    /// Kontur's version, which is written into objects.
    public var softwareVersion: String
    /// Path of the executable.
    ///
    /// Workers run its `worker` command.
    public var executable: String

    public init(
        listener: ListenerConfiguration, spool: SpoolConfiguration, series: SeriesConfiguration,
        planner: StackPlanner, configuration: Data, configurationHash: String, workers: Int = 1,
        softwareVersion: String, executable: String = CurrentProcess.executable
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

/// A running node: the spool, the journal and the services that work on them.
///
/// The services stop together. On a graceful shutdown the node stops accepting associations and starting work. An
/// instance in flight is finished, or its socket is shut down after five seconds. Running jobs are queued again.
public final class Node: Service {
    private let services: [any Service]
    private let pool: WorkerPool
    /// The states and the audit trail.
    package let journal: Journal
    private let listener: Listener
    /// `nil` for a node without TLS.
    private let certificates: NodeCertificates?
    private let settings: NodeSettings
    private let logger: Logger

    /// Opens the spool, queues again each job that a crash left running, and listens.
    ///
    /// The call blocks on the disk. It does not belong on Swift's cooperative pool: use `start` there.
    ///
    /// - Throws: `SpoolError`, `JournalError`, `DescriptorShortage`, or `ListenError`, for instance if the port is
    ///   taken.
    public init(_ settings: NodeSettings, clock: NodeClock = .system, logger: Logger) throws {
        // A write to a worker that has died must fail. By default it would end the node.
        CurrentProcess.ignoreBrokenPipes()
        try DescriptorNeed(settings.listener, workers: settings.workers).provide(DescriptorLimit.raise)
        self.settings = settings
        self.logger = logger
        let spool = try Spool(settings.spool, access: .node(name: settings.listener.aeTitle.text))
        let journal = try Journal(
            spool: spool, facts: FileMeta.facts, now: clock.wall, sinceBoot: clock.sinceBoot)
        self.journal = journal
        journal.recovery.log(to: logger)
        // A full disk gets room before anything else needs it.
        if journal.isShortOfRoom { _ = try? Retention(journal: journal).run() }
        spool.keepReserve()
        RetentionSweeper.report(try journal.read { try $0.clockHolds() }, to: logger)
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
        let senders = SenderPool(executable: settings.executable)
        let requestor = AssociationRequestor(aeTitle: settings.listener.aeTitle, senders: senders)
        let outbox = OutboxSender(
            requestor: requestor, peers: settings.listener.peers, journal: journal, clock: clock, logger: logger)
        let commitment = StorageCommitment(
            caller: requestor, peers: settings.listener.peers, journal: journal, clock: clock, logger: logger,
            onLost: outbox.pending)
        let dispatcher = Dispatcher(
            journal: journal, pool: pool, clock: clock, logger: logger, softwareVersion: settings.softwareVersion,
            onDone: outbox.pending)
        let open = OpenAssociations(settings.listener.places)
        let assembler = Assembler(
            configuration: settings.series,
            planner: settings.planner, peers: settings.listener.peers,
            configurationHash: settings.configurationHash, journal: journal, pool: pool, open: open, clock: clock,
            logger: logger, onQueued: dispatcher.queued, onSuperseded: dispatcher.superseded)
        let receivers = try ReceiverPool(
            executable: settings.executable, limits: ReceiverLimits(most: settings.listener.places.threads),
            logger: logger)
        listener = try Listener(
            settings.listener, spool: spool, journal: journal, open: open, receivers: receivers,
            commitment: commitment, clock: clock, logger: logger, onReceived: assembler.received)
        certificates = try settings.listener.tls.map {
            try NodeCertificates($0, logger: logger) { credentials in
                receivers.use(credentials: credentials.message)
                senders.use(credentials)
            }
        }
        var services: [any Service] = [
            outbox, dispatcher, assembler, RetentionSweeper(spool: spool, journal: journal, logger: logger), listener,
        ]
        services += commitment.services
        if let certificates { services.append(certificates) }
        self.services = services
    }

    /// Makes a node on a dedicated thread.
    ///
    /// - Throws: as `init`.
    public static func start(
        _ settings: NodeSettings, clock: NodeClock = .system, logger: Logger
    ) async throws -> Node {
        try await DedicatedThread.run(name: "kontur-start") { try Node(settings, clock: clock, logger: logger) }
    }

    /// The port that the node listens on.
    ///
    /// If the settings say 0, the kernel chose this port.
    public var port: UInt16 { listener.port }

    /// The port that the node listens on for TLS; `nil` if there is none.
    public var securePort: UInt16? { listener.securePort }

    /// Reads certificates and keys again, for the associations that begin from now on.
    ///
    /// Blocks on the disk. Files that are wrong are logged, and leave the last ones in force.
    public func reloadCertificates() { certificates?.reload() }

    /// Runs until a graceful shutdown, a cancellation, or the failure of a service.
    ///
    /// - Throws: the error of the service that failed.
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
            journal.checkpoint()
        }
        if let failure { throw failure }
    }
}
