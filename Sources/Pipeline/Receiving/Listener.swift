// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Foundation
public import Logging
public import Persistence
import Platform
public import ServiceLifecycle

/// The service that peers store to: C-STORE and C-ECHO as SCP.
///
/// One thread accepts; each association then owns a thread and is straight synchronous code from PDU to answer.
public final class Listener: Service {
    private let configuration: ListenerConfiguration
    private let acceptor: AssociationListener
    private let directory: PeerDirectory
    private let spool: Spool
    private let journal: Journal
    private let open: OpenAssociations
    private let slots: AssociationSlots
    private let rejections: RejectionLedger
    private let clock: NodeClock
    private let logger: Logger
    private let onReceived: @Sendable () -> Void

    /// How long an instance in flight may still take when the node stops.
    static let patience: Duration = .seconds(5)

    /// Listens from now on; nobody is answered before `run`.
    ///
    /// - Parameters:
    ///   - open: learns which associations begin and end.
    ///   - onReceived: told after each instance that was stored, on its association's thread; must not block.
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
        slots = AssociationSlots(limit: configuration.maxAssociations)
        rejections = RejectionLedger()
        acceptor = try AssociationListener(bind: configuration.bind, port: configuration.port)
    }

    /// The port, also when the configuration lets the kernel choose.
    public var port: UInt16 { acceptor.port }

    /// Serves until the service group shuts down or the task is cancelled, then ends within eight seconds.
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
                    slots.drain(patience: Self.patience)
                }
            } onCancel: {
                acceptor.stop()
            }
        } onGracefulShutdown: {
            acceptor.stop()
        }
        logger.info("stopped listening")
    }

    /// On the accepting thread.
    private func arrived(_ arrival: AssociationArrival) {
        guard slots.beginThread() else { return arrival.reject(.localLimitExceeded) }
        DedicatedThread.start(name: "kontur-assoc") { [self] in
            serve(arrival)
            slots.endThread()
        }
    }

    /// One association, from its request to its end.
    private func serve(_ arrival: AssociationArrival) {
        let id = clock.uuid()
        var logger = logger
        logger[metadataKey: "peer.address"] = "\(arrival.address)"
        do throws(AssociationError) {
            let pending = try arrival.parsed()
            logger[metadataKey: "peer.ae_title"] = "\(pending.callingAETitle?.text ?? "")"
            defer {
                slots.close(id)
                open.end(id)
            }
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
            // A rejection has been reported where it was made.
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
            return try pending.accept(
                as: configuration.aeTitle, peer: peer, idleLimit: configuration.idleLimit, interruption: interruption
            ) {
                let isOpen = slots.open(
                    id, interruption: interruption, isVerificationOnly: pending.isVerificationOnly,
                    hasRoom: { spool.hasRoom(openAssociations: $0) })
                // Before the peer knows, so that no instance comes from an association that is not open.
                if isOpen { open.begin(id) }
                return isOpen
            }
        } catch {
            if case .rejected(let rejection) = error { report(rejection, pending, logger: logger) }
            throw error
        }
    }

    private func report(_ rejection: AssociationRejection, _ pending: PendingAssociation, logger: Logger) {
        let caller = RejectionLedger.Caller(
            address: pending.address, aeTitle: pending.callingAETitle, rejection: rejection)
        guard rejections.isWorthRecording(caller, at: clock.monotonic()) else { return }
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
