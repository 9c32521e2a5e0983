// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Foundation
public import Logging
public import Persistence
public import Platform
public import ServiceLifecycle
import Synchronization

/// The address, the limits and the peers of the listener.
public struct ListenerConfiguration: Sendable, Equatable {
    /// The AE title that callers have to call.
    public var aeTitle: AETitle
    /// TCP port; 0 lets the kernel choose.
    public var port: UInt16
    /// The address to listen on: `0.0.0.0` means every IPv4 address, `::` every address of both families.
    public var bind: IPAddress
    /// Most associations at once.
    ///
    /// Two more are reserved for associations that propose only Verification.
    public var maxAssociations: Int
    /// The nodes that may call.
    ///
    /// Other callers are rejected.
    public var peers: [Peer]
    /// How long a peer may take between two requests.
    public var idleLimit: Duration

    public init(
        aeTitle: AETitle, port: UInt16 = 11112, bind: IPAddress = .anyIPv4, maxAssociations: Int = 32,
        peers: [Peer] = [],
        idleLimit: Duration = .seconds(120)
    ) {
        precondition(maxAssociations > 0, "a listener takes at least one association")
        self.aeTitle = aeTitle
        self.port = port
        self.bind = bind
        self.maxAssociations = maxAssociations
        self.peers = peers
        self.idleLimit = idleLimit
    }
}

/// The service that peers store to: C-STORE and C-ECHO as SCP.
///
/// One thread accepts connections. Each association then owns a thread, with synchronous code from PDU to answer.
public final class Listener: Service {
    /// How long an instance in flight may still take when the node stops.
    private static let patience: Duration = .seconds(5)

    private let configuration: ListenerConfiguration
    private let acceptor: AssociationListener
    private let directory: PeerDirectory
    private let spool: Spool
    private let journal: Journal
    private let open: OpenAssociations
    private let rejections = RejectionLimiter()
    private let clock: NodeClock
    private let logger: Logger
    private let onReceived: @Sendable () -> Void

    /// Listens from now on.
    ///
    /// Calls are answered after `run` starts.
    ///
    /// - Parameters:
    ///   - configuration: the address, the limits and the peers.
    ///   - spool: takes the files.
    ///   - journal: takes the rows.
    ///   - open: the registry for the associations.
    ///   - clock: the time of records.
    ///   - logger: receives a message for each association.
    ///   - onReceived: called after each stored instance, on its association's thread; must not block.
    /// - Throws: if the port is taken, for instance.
    public init(
        _ configuration: ListenerConfiguration, spool: Spool, journal: Journal, open: OpenAssociations,
        clock: NodeClock = .system, logger: Logger, onReceived: @escaping @Sendable () -> Void
    ) throws(ListenError) {
        self.configuration = configuration
        self.spool = spool
        self.journal = journal
        self.open = open
        self.clock = clock
        self.logger = logger
        self.onReceived = onReceived
        directory = PeerDirectory(configuration.peers)
        acceptor = try AssociationListener(bind: configuration.bind, port: configuration.port)
    }

    /// The port that the node listens on.
    ///
    /// If the configuration says 0, the kernel chose this port.
    public var port: UInt16 { acceptor.port }

    /// Serves until the service group shuts down or the task is cancelled.
    ///
    /// The call returns within eight seconds after that.
    public func run() async throws {
        logger.info(
            "listening",
            metadata: [
                "node.ae_title": "\(configuration.aeTitle)", "node.address": "\(configuration.bind)",
                "node.port": "\(port)",
            ])
        let acceptor = acceptor
        try await withGracefulShutdownHandler {
            try await withTaskCancellationHandler {
                try await DedicatedThread.run(name: "kontur-accept") { [self] in
                    acceptor.run { arrived($0) }
                    open.drain(patience: Self.patience)
                }
            } onCancel: {
                acceptor.stop()
            }
        } onGracefulShutdown: {
            acceptor.stop()
        }
        logger.info("stopped listening")
    }

    /// Handles a request on the accepting thread.
    private func arrived(_ arrival: AssociationArrival) {
        guard open.reserveThread() else { return arrival.reject(.localLimitExceeded) }
        DedicatedThread.start(name: "kontur-assoc") { [self] in
            serve(arrival)
            open.releaseThread()
        }
    }

    /// Serves one association, from its request to its end.
    private func serve(_ arrival: AssociationArrival) {
        let id = clock.uuid()
        var logger = logger
        logger[metadataKey: "peer.address"] = "\(arrival.address)"
        do throws(AssociationError) {
            let pending = try arrival.parsed()
            logger[metadataKey: "peer.ae_title"] = "\(pending.callingAETitle?.text ?? "")"
            defer { open.end(id) }
            let association = try accept(pending, id: id, logger: logger)
            defer { association.close() }
            logger[metadataKey: "association.id"] = "\(id)"
            logger[metadataKey: "peer.name"] = "\(association.peer.name)"
            logger.info("association accepted")
            let reception = StorageReception(
                association: association, id: id, spool: spool, journal: journal, clock: clock, logger: logger,
                onReceived: onReceived)
            try reception.run()
            logger.info("association released", metadata: ["association.instances": "\(reception.stored)"])
        } catch {
            // `accept` has reported the rejection already.
            if case .rejected = error { return }
            logger.warning("association ended", metadata: ["error": "\(error)"])
        }
    }

    private func accept(
        _ pending: PendingAssociation, id: UUID, logger: Logger
    ) throws(AssociationError) -> AcceptedAssociation {
        let peer = pending.callingAETitle.flatMap { directory.peer(calling: $0, from: pending.address) }
        let interruption = Interruption()
        do {
            // The association is registered before the peer knows of it, so that every instance belongs to an open one.
            return try pending.accept(
                as: configuration.aeTitle, peer: peer, idleLimit: configuration.idleLimit, interruption: interruption
            ) {
                open.admit(
                    id, interruption: interruption, isVerificationOnly: pending.isVerificationOnly,
                    hasRoom: { spool.hasRoom(openAssociations: $0) })
            }
        } catch {
            if case .rejected(let rejection) = error { report(rejection, pending, logger: logger) }
            throw error
        }
    }

    private func report(_ rejection: AssociationRejection, _ pending: PendingAssociation, logger: Logger) {
        let caller = RejectionLimiter.Caller(
            address: pending.address, aeTitle: pending.callingAETitle, rejection: rejection)
        guard rejections.admit(caller, at: clock.monotonic()) else { return }
        logger.warning("association rejected", metadata: ["rejection": "\(rejection)"])
        let event = AuditEvent(
            by: AuditActor(aeTitle: caller.aeTitle?.text, address: "\(caller.address)"), reason: "\(rejection)")
        do {
            try journal.write { try $0.associationRejected(event) }
        } catch {
            logger.error("could not record a rejection", metadata: ["error": "\(error)"])
        }
    }
}

/// Limits the rejections that go into the log and the audit trail, to one a minute for each caller and reason.
///
/// Any machine can cause a thousand rejections per second. These must not fill the disk.
private final class RejectionLimiter: Sendable {
    struct Caller: Hashable {
        let address: IPAddress
        let aeTitle: AETitle?
        let result: UInt8
        let source: UInt8
        let reason: UInt8

        init(address: IPAddress, aeTitle: AETitle?, rejection: AssociationRejection) {
            self.address = address
            self.aeTitle = aeTitle
            result = rejection.result
            source = rejection.source
            reason = rejection.reason
        }
    }

    private static let interval: Duration = .seconds(60)
    /// Most rejections within an interval.
    ///
    /// Later ones are not recorded until the interval is over.
    private static let capacity = 64

    /// When the rejection was recorded last, on the monotonic clock.
    private let recorded = Mutex<[Caller: Duration]>([:])

    /// Counts a rejection.
    ///
    /// - Parameters:
    ///   - caller: the caller, and the reason of the rejection.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: whether the rejection is to be recorded.
    func admit(_ caller: Caller, at now: Duration) -> Bool {
        recorded.withLock { recorded in
            recorded = recorded.filter { now - $0.value < Self.interval }
            guard recorded[caller] == nil, recorded.count < Self.capacity else { return false }
            recorded[caller] = now
            return true
        }
    }
}
