// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Foundation
public import Logging
public import Persistence
import Platform
public import ServiceLifecycle

/// The service that peers store to: C-STORE and C-ECHO as SCP.
///
/// One thread accepts connections, and rejects strangers. Each association of a peer then owns a thread, with
/// synchronous code from PDU to answer.
public final class Listener: Service {
    /// How long an instance in flight may still take when the node stops.
    private static let patience: Duration = .seconds(5)

    private let configuration: ListenerConfiguration
    private let acceptor: AssociationListener
    private let directory: PeerDirectory
    private let spool: Spool
    private let journal: Journal
    private let open: OpenAssociations
    private let reports: CallerReports
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
        reports = CallerReports(journal: journal, clock: clock, logger: logger)
        directory = PeerDirectory(configuration.peers)
        directory.prepare()
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
        try await withThrowingTaskGroup(of: Void.self) { group in
            let reports = reports
            group.addTask { await reports.run() }
            defer { reports.stop() }
            try await accept()
        }
        await reports.write(all: true)
        logger.info("stopped listening")
    }

    /// Accepts associations on a thread of its own until the service group shuts down or the task is cancelled.
    private func accept() async throws {
        let acceptor = acceptor
        try await withGracefulShutdownHandler {
            try await withTaskCancellationHandler {
                try await DedicatedThread.run(name: "kontur-accept") { [self] in
                    acceptor.run {
                        reports.note(.faulty($1), from: $0, nil)
                    } _: {
                        arrived($0)
                    }
                    open.drain(patience: Self.patience)
                }
            } onCancel: {
                acceptor.stop()
            }
        } onGracefulShutdown: {
            acceptor.stop()
        }
    }

    /// Handles a request on the accepting thread.
    ///
    /// A stranger is rejected without a thread, and without a look at the rest of the request.
    private func arrived(_ arrival: AssociationArrival) -> AssociationListener.Handling {
        if arrival.isCutOff {
            do throws(AssociationError) {
                _ = try arrival.parsed()
            } catch {
                reports.note(.malformed(error), from: arrival.address, nil)
            }
            return .taken
        }
        let title = arrival.callingAETitle
        switch title.map({ directory.peer(calling: $0, from: arrival.address) }) ?? .stranger {
        case .peer(let peer):
            serve(arrival, peer)
        case .stranger:
            reject(arrival, .callingAETitleNotRecognized, .rejected(.callingAETitleNotRecognized))
        case .notKnownYet where arrival.mayWait:
            return .later
        case .notKnownYet:
            reject(arrival, .temporaryCongestion, .notKnownYet)
        }
        return .taken
    }

    private func reject(_ arrival: AssociationArrival, _ rejection: AssociationRejection, _ fault: CallerFault) {
        arrival.reject(rejection)
        reports.note(fault, from: arrival.address, arrival.callingAETitle)
    }

    /// Serves one association of a peer, from its request to its end, on a thread of its own.
    private func serve(_ arrival: AssociationArrival, _ peer: Peer) {
        if let refusal = open.reserveThread(for: peer.name) {
            return reject(arrival, .localLimitExceeded, .refused(refusal))
        }
        DedicatedThread.start(name: "kontur-assoc") { [self] in
            defer { open.releaseThread(for: peer.name) }
            let pending: PendingAssociation
            do throws(AssociationError) {
                pending = try arrival.parsed()
            } catch {
                return reports.note(.malformed(error), from: arrival.address, arrival.callingAETitle)
            }
            serve(pending, peer)
        }
    }

    private func serve(_ pending: PendingAssociation, _ peer: Peer) {
        let id = clock.uuid()
        var logger = logger
        logger[metadataKey: "peer.address"] = "\(pending.address)"
        logger[metadataKey: "peer.ae_title"] = "\(peer.aeTitle)"
        logger[metadataKey: "peer.name"] = "\(peer.name)"
        do throws(AssociationError) {
            defer { open.end(id) }
            let association = try accept(pending, peer, id: id)
            defer { association.close() }
            logger[metadataKey: "association.id"] = "\(id)"
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
        _ pending: PendingAssociation, _ peer: Peer, id: UUID
    ) throws(AssociationError) -> AcceptedAssociation {
        let interruption = Interruption()
        var refusal: AdmissionRefusal?
        do {
            // The association is registered before the peer knows of it, so that every instance belongs to an open one.
            return try pending.accept(
                as: configuration.aeTitle, peer: peer, idleLimit: configuration.idleLimit, interruption: interruption
            ) {
                refusal = open.admit(
                    id, peer: peer.name, interruption: interruption, isVerificationOnly: pending.isVerificationOnly,
                    checkRoom: { (storing) throws(RoomShortage) in try spool.checkRoom(openAssociations: storing) })
                return refusal.map { _ in .localLimitExceeded }
            }
        } catch {
            if case .rejected(let rejection) = error {
                reports.note(
                    refusal.map { .refused($0) } ?? .rejected(rejection), from: pending.address, peer.aeTitle)
            }
            throw error
        }
    }
}
