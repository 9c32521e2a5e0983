// SPDX-License-Identifier: Apache-2.0

package import Associations
import DICOM
import Foundation
package import Logging
package import Persistence
import Platform
public import ServiceLifecycle

/// The service that peers store to: C-STORE and C-ECHO as SCP.
///
/// One thread accepts connections, and rejects strangers. Each association of a peer then owns a thread and a receiver
/// process. The process speaks with the peer, and the thread decides.
public final class Listener: Service {
    /// How long an instance in flight may still take when the node stops.
    private static let patience: Duration = .seconds(5)

    /// How long a peer waits for a receiver.
    private static let receiverLimit: Duration = .seconds(5)

    private let configuration: ListenerConfiguration
    private let acceptor: ConnectionListener
    private let bounds = ConnectionBounds()
    private let receivers: ReceiverPool
    private let commitment: (any StorageCommitmentReceiver)?
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
    ///   - receivers: the processes that speak with the peers. The listener runs and stops the pool.
    ///   - commitment: takes what peers say about storage commitment; `nil` refuses it.
    ///   - clock: the time of records.
    ///   - logger: receives a message for each association.
    ///   - onReceived: called after each stored instance, on its association's thread; must not block.
    /// - Throws: if the port is taken, for instance.
    package init(
        _ configuration: ListenerConfiguration, spool: Spool, journal: Journal, open: OpenAssociations,
        receivers: ReceiverPool, commitment: (any StorageCommitmentReceiver)? = nil, clock: NodeClock = .system,
        logger: Logger, onReceived: @escaping @Sendable () -> Void
    ) throws(ListenError) {
        self.configuration = configuration
        self.spool = spool
        self.journal = journal
        self.open = open
        self.receivers = receivers
        self.commitment = commitment
        self.clock = clock
        self.logger = logger
        self.onReceived = onReceived
        reports = CallerReports(journal: journal, clock: clock, logger: logger)
        directory = PeerDirectory(configuration.peers)
        directory.prepare()
        acceptor = try ConnectionListener(
            bind: configuration.bind, port: configuration.port, securePort: configuration.tls?.port, bounds: bounds)
    }

    /// The port that the node listens on.
    ///
    /// If the configuration says 0, the kernel chose this port.
    public var port: UInt16 { acceptor.port }

    /// The port that the node listens on for TLS; `nil` if there is none.
    public var securePort: UInt16? { acceptor.securePort }

    /// Serves until the service group shuts down or the task is cancelled.
    ///
    /// The call returns within eight seconds after that.
    public func run() async throws {
        logger.info(
            "listening",
            metadata: [
                "node.ae_title": "\(configuration.aeTitle)", "node.address": "\(configuration.bind)",
                "node.port": "\(port)", "node.tls_port": "\(securePort.map { "\($0)" } ?? "none")",
            ])
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (reports, receivers) = (reports, receivers)
            group.addTask { await reports.run() }
            group.addTask { try await DedicatedThread.run(name: "kontur-receive") { receivers.run() } }
            defer {
                receivers.stop()
                reports.stop()
            }
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
    /// A stranger is rejected without a thread and without a receiver, after a look at the AE titles alone.
    private func arrived(_ arrival: AssociationArrival) -> ConnectionListener.Handling {
        if arrival.isSecure { return arrivedSecurely(arrival) }
        if arrival.isCutOff {
            arrival.abort()
            reports.note(.malformed("the A-ASSOCIATE-RQ is too short"), from: arrival.address, nil)
            return .taken
        }
        guard arrival.isVersion1 else {
            reject(arrival, .protocolVersionNotSupported, .rejected(.protocolVersionNotSupported))
            return .taken
        }
        let title = arrival.callingAETitle
        switch title.map({ directory.peer(calling: $0, from: arrival.address, over: .plain) }) ?? .stranger {
        case .peer(let peer):
            if let refusal = open.reserveThread(for: peer.name) {
                reject(arrival, .localLimitExceeded, .refused(refusal))
            } else {
                serve(arrival, Call(id: clock.uuid(), peer: peer))
            }
        case .refused(let refusal):
            reject(arrival, .callingAETitleNotRecognized, .certificate(refusal))
        case .stranger:
            reject(arrival, .callingAETitleNotRecognized, .rejected(.callingAETitleNotRecognized))
        case .notKnownYet where arrival.mayWait:
            return .later
        case .notKnownYet:
            reject(arrival, .temporaryCongestion, .notKnownYet)
        }
        return .taken
    }

    /// Handles a secure connection on the accepting thread: it gets a thread for its handshake, or waits for one.
    private func arrivedSecurely(_ arrival: AssociationArrival) -> ConnectionListener.Handling {
        let id = clock.uuid()
        switch open.reserveThread(forHandshake: id, from: arrival.address) {
        case nil: serve(arrival, Call(id: id))
        case .crowded? where arrival.mayWait: return .later
        case let refusal?: reject(arrival, .localLimitExceeded, .refused(refusal))
        }
        return .taken
    }

    private func reject(_ arrival: AssociationArrival, _ rejection: AssociationRejection, _ fault: CallerFault) {
        arrival.reject(rejection)
        reports.note(fault, from: arrival.address, arrival.callingAETitle)
    }

    /// Serves one association, from its request to its end, on a thread of its own, which is reserved.
    private func serve(_ arrival: AssociationArrival, _ call: Call) {
        DedicatedThread.start(name: "kontur-assoc") { [self] in
            var call = call
            defer {
                if let peer = call.peer {
                    open.releaseThread(for: peer.name)
                } else {
                    open.releaseThread(ofHandshake: call.id)
                }
            }
            guard let receiver = receivers.take(until: MonotonicClock.now() + Self.receiverLimit) else {
                return reject(arrival, .temporaryCongestion, .noReceiver)
            }
            let association = ReceivedAssociation(arrival, receiver: receiver, interruption: call.interruption)
            // The journal's association ends after the peer has gone.
            defer { open.end(call.id) }
            defer {
                association.close()
                receivers.giveBack(receiver)
            }
            serve(association, &call, arrival)
        }
    }

    /// A call of a peer, from its connection to its end.
    private struct Call {
        /// The association's id in the journal.
        let id: UUID
        /// The peer that calls; `nil` until it is known, which may be after the TLS handshake.
        var peer: Peer?
        /// The SHA-256 of the certificate that the caller showed.
        var certificate: String?
        let interruption = AssociationInterruption()
    }

    private func serve(_ association: ReceivedAssociation, _ call: inout Call, _ arrival: AssociationArrival) {
        var logger = logger
        logger[metadataKey: "peer.address"] = "\(arrival.address)"
        do throws(AssociationError) {
            guard let peer = try negotiate(association, &call, arrival) else { return }
            logger[metadataKey: "peer.ae_title"] = "\(peer.aeTitle)"
            logger[metadataKey: "peer.name"] = "\(peer.name)"
            logger[metadataKey: "association.id"] = "\(call.id)"
            logger.info("association accepted")
            let reception = StorageReception(
                association: association, id: call.id, peer: peer, certificate: call.certificate,
                calledAETitle: configuration.aeTitle, idleLimit: configuration.idleLimit, spool: spool,
                journal: journal, commitment: commitment, clock: clock, logger: logger, onReceived: onReceived)
            try reception.run()
            logger.info("association released", metadata: ["association.instances": "\(reception.stored)"])
        } catch {
            if let fault = association.fault { reports.note(.lost(fault), from: arrival.address, call.peer?.aeTitle) }
            logger.warning("association ended", metadata: ["error": "\(error)"])
        }
    }

    /// Answers the request for an association.
    ///
    /// - Returns: the peer; `nil` if the association did not come about, which has been reported.
    /// - Throws: the error that ended the association.
    private func negotiate(
        _ association: ReceivedAssociation, _ call: inout Call, _ arrival: AssociationArrival
    ) throws(AssociationError) -> Peer? {
        let proposal: AssociationProposal
        do throws(AssociationError) {
            proposal = try association.proposal(within: bounds.requestLimit) { open.givesWay(call.id) }
        } catch {
            switch error {
            case .timeout where open.givesWay(call.id):
                reports.note(.refused(.crowded), from: arrival.address, nil)
            case .timeout: reports.note(.faulty(.tooLate(limit: bounds.requestLimit)), from: arrival.address, nil)
            case .aborted(let abort) where abort.by == .us:
                reports.note(.malformed(abort.cause), from: arrival.address, arrival.callingAETitle)
            case .connectionLost(let cause) where arrival.isSecure:
                reports.note(.handshake(cause), from: arrival.address, nil)
            default: throw error
            }
            return nil
        }
        call.certificate = proposal.certificate?.fingerprint
        var fault: CallerFault?
        let title = arrival.isSecure ? AETitle(proposal.calling) : arrival.callingAETitle
        if call.peer == nil { fault = identify(title, proposal.certificate, &call, arrival) }
        if fault == nil, let peer = call.peer {
            switch Negotiation.answer(to: proposal, aeTitle: configuration.aeTitle, peer: peer) {
            case .failure(let rejection): fault = .rejected(rejection)
            case .success(let answers):
                if let refusal = admit(call, peer, proposal) {
                    fault = .refused(refusal)
                } else {
                    try association.accept(answers, of: proposal)
                    return peer
                }
            }
        }
        let found = fault ?? .rejected(.callingAETitleNotRecognized)
        reports.note(found, from: arrival.address, title, certificate: call.certificate)
        try association.reject(found.rejection)
        return nil
    }

    /// Finds the peer that has made a secure connection.
    ///
    /// - Returns: the reason why the caller is not a peer, or does not get an association now.
    private func identify(
        _ title: AETitle?, _ certificate: PeerCertificate?, _ call: inout Call, _ arrival: AssociationArrival
    ) -> CallerFault? {
        switch title.map({ directory.peer(calling: $0, from: arrival.address, over: .tls(certificate)) }) ?? .stranger {
        case .stranger: return .rejected(.callingAETitleNotRecognized)
        case .refused(let refusal): return .certificate(refusal)
        case .notKnownYet: return .notKnownYet
        case .peer(let peer):
            if let refusal = open.moveThread(ofHandshake: call.id, to: peer.name) { return .refused(refusal) }
            call.peer = peer
            return nil
        }
    }

    /// Registers the association before the peer knows of it, so that every instance belongs to an open one.
    private func admit(_ call: Call, _ peer: Peer, _ proposal: AssociationProposal) -> AdmissionRefusal? {
        open.admit(
            call.id, peer: peer.name, interruption: call.interruption,
            isVerificationOnly: proposal.isVerificationOnly,
            checkRoom: { (storing) throws(RoomShortage) in try spool.checkRoom(openAssociations: storing) })
    }
}
