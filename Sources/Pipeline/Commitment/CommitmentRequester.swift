// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
import Foundation
package import Logging
package import Persistence
package import Platform
import ServiceLifecycle
import Synchronization

/// The service that asks peers to commit themselves to keep the objects that they have got (PS3.4 annex J, as SCU).
///
/// One N-ACTION is about all objects that wait. The peer's result comes on the same association within seconds, or at any
/// time on an association that the peer requests. A request that is not answered in time is followed by another one.
package final class CommitmentRequester: Service {
    private let caller: any CommitmentCaller
    private let peers: [String: Peer]
    private let journal: RetryingJournal
    private let clock: NodeClock
    private let limits: CommitmentLimits
    private let logger: Logger
    private let refusals: CommitmentRefusals
    private let onLost: @Sendable () -> Void
    private let stop: StopFlag
    private let somethingChanged = Signal()
    private let schedule: Mutex<CommitmentSchedule>
    private let calls = Mutex<[String: Interruption]>([:])

    /// - Parameters:
    ///   - caller: makes the associations.
    ///   - peers: the configured peers.
    ///   - journal: takes the states.
    ///   - clock: times the waits.
    ///   - limits: times and bounds.
    ///   - logger: receives a message for each change of state.
    ///   - refusals: records results that the node did not ask for.
    ///   - onLost: called if an object has to be sent again; must not block.
    package init(
        caller: any CommitmentCaller, peers: [Peer], journal: Journal, clock: NodeClock,
        limits: CommitmentLimits = CommitmentLimits(), logger: Logger, refusals: CommitmentRefusals,
        onLost: @escaping @Sendable () -> Void
    ) {
        let stop = StopFlag()
        self.stop = stop
        self.caller = caller
        self.peers = Dictionary(peers.map { ($0.name, $0) }) { first, _ in first }
        self.journal = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
        self.clock = clock
        self.limits = limits
        self.logger = logger
        self.refusals = refusals
        self.onLost = onLost
        schedule = Mutex(CommitmentSchedule(backoff: limits.unreachable, gathering: limits.gathering))
    }

    /// Runs until a graceful shutdown or a cancellation.
    package func run() async throws {
        let stop = stop
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                var perseverance = Perseverance("storage commitment", logger: logger) { stop.isSet }
                var isPrepared = false
                while !stop.isSet, !Task.isCancelled {
                    if !isPrepared {
                        isPrepared = await perseverance.round({ try await self.prepare() }) != nil
                        continue
                    }
                    guard let (due, next) = await perseverance.round({ try await self.due() }) else { continue }
                    for (peer, deliveries) in due { group.addTask { await self.ask(peer, about: deliveries) } }
                    await somethingChanged.wait(atMost: min(next ?? limits.polling, limits.polling))
                }
            }
        } onGracefulShutdown: {
            self.stop.set()
            let calls = self.calls.withLock { Array($0.values) }
            for call in calls { call.stop() }
            self.somethingChanged.raise()
        }
    }

    // MARK: - Rounds

    /// Puts in order what the last run and the configuration left: requests that no peer may have, and deliveries whose
    /// peers are not asked any more.
    private func prepare() async throws {
        while let requests = try await journal.read({ try $0.unconfirmedRequests() }), !requests.isEmpty {
            for request in requests { try await expire(request, "the node ended before the peer took the request") }
        }
        for name in try await journal.read({ try $0.uncommittedPeers() }) ?? [] where peers[name]?.commitment != true {
            while let page = try await journal.read({ try $0.uncommittedDeliveries(to: name) }), !page.isEmpty {
                let event = AuditEvent(reason: "the configuration does not ask the peer \(name) for commitment")
                let isDone = try await journal.write { transaction in
                    for delivery in page { try transaction.waived(delivery.id, event) }
                    return true
                }
                guard isDone != nil else { return }
                logger.notice(
                    "commitment waived", metadata: ["peer.name": "\(name)", "deliveries": "\(page.count)"])
            }
        }
    }

    /// The peers to ask now, and the time until another one may be due.
    private func due() async throws -> ([(Peer, [UncommittedDelivery])], Duration?) {
        guard let lived = try await timeLived() else { return ([], nil) }
        for request in try await journal.read({ try $0.overdueRequests(at: lived) }) ?? [] {
            try await expire(request, "the peer did not answer the request in time")
        }
        let most = limits.mostInRequest
        let now = clock.monotonic()
        var found: [(Peer, [UncommittedDelivery])] = []
        var next: Duration?
        for name in try await journal.read({ try $0.uncommittedPeers() }) ?? [] {
            guard let peer = peers[name] else { continue }
            let read = try await journal.read { try $0.deliveriesToAskAbout(name, at: lived, limit: most) }
            guard let deliveries = read, !deliveries.isEmpty else { continue }
            switch schedule.withLock({ $0.turn(of: name, isFull: deliveries.count >= most, now: now) }) {
            case .now: found.append((peer, deliveries))
            case .busy: continue
            case .waits(let until): next = min(next ?? until, until)
            }
        }
        return (found, next.map { $0 - now })
    }

    private func timeLived() async throws -> Duration? {
        let direct = journal.direct
        return try await journal.retry { try direct.timeLived() }
    }

    // MARK: - Asking

    /// Asks one peer about deliveries, on an association of its own.
    private func ask(_ peer: Peer, about deliveries: [UncommittedDelivery]) async {
        let interruption = Interruption()
        calls.withLock { $0[peer.name] = interruption }
        if stop.isSet { interruption.stop() }
        var isReached = false
        do {
            isReached = try await withTaskCancellationHandler {
                try await DedicatedThread.run(name: "kontur-commit") { [self] in
                    try call(peer, about: deliveries, interruption)
                }
            } onCancel: {
                interruption.stop()
            }
        } catch {
            logger.error(
                "could not ask for commitment",
                metadata: ["peer.name": "\(peer.name)", "error": "\(Reason(error))"])
        }
        calls.withLock { $0[peer.name] = nil }
        let (now, chance) = (clock.monotonic(), clock.chance())
        let hasEnded = interruption.isStopped
        schedule.withLock { $0.ended(peer.name, isReached: isReached || hasEnded, now: now, chance: chance) }
        somethingChanged.raise()
    }

    /// Makes the association, asks, and waits a moment for the result.
    ///
    /// - Returns: whether the peer was reached.
    /// - Throws: errors of the journal.
    private func call(
        _ peer: Peer, about deliveries: [UncommittedDelivery], _ interruption: Interruption
    ) throws -> Bool {
        let association: any CommitmentAssociation
        switch Result(catching: { () throws(AssociationError) in
            try caller.connect(to: peer, .asks, interruption: interruption)
        }) {
        case .success(let connected): association = connected
        case .failure(let error):
            if !interruption.isStopped { try giveUp(deliveries, peer, "\(error)") }
            return false
        }
        defer { association.release() }
        guard let (id, request) = try prepare(deliveries, peer) else { return false }
        switch Result(catching: { () throws(AssociationError) in try association.ask(request) }) {
        case .success(.success): break
        case .success(let status) where status.isWarning: break
        case .success(let status):
            let reason = "the peer does not take the request for commitment (status \(status))"
            try refused(id, peer, reason, isFinal: status.isFinalRefusal)
            return true
        case .failure(.noPresentationContext):
            try refused(id, peer, "the peer does not offer storage commitment", isFinal: true)
            return true
        case .failure(let error):
            // After a stop, the next start expires the request, because it is not confirmed.
            if !interruption.isStopped { try refused(id, peer, "\(error)", isFinal: false) }
            return false
        }
        try journal.direct.write { try $0.commitmentConfirmed(id) }
        logger.info(
            "commitment asked",
            metadata: ["peer.name": "\(peer.name)", "commitment.instances": "\(request.references.count)"])
        listen(to: association, for: request.transactionUID, peer, interruption)
        return true
    }

    /// Writes a request down before it is sent.
    private func prepare(
        _ deliveries: [UncommittedDelivery], _ peer: Peer
    ) throws -> (CommitmentRequestID, CommitmentRequest)? {
        let transactionUID = UID.random(clock.uuid())
        let unanswered = deliveries.map(\.unanswered).max() ?? 0
        let deadline = try journal.direct.timeLived() + limits.answerTime(unanswered: unanswered)
        let event = AuditEvent(by: peer.actor)
        let asked = try journal.direct.write {
            try $0.commitmentAsked(
                transactionUID, of: peer.name, deliveries.map(\.id), deadline: deadline, event)
        }
        guard let (id, wanted) = asked else { return nil }
        return (id, CommitmentRequest(transactionUID: transactionUID, references: wanted.map(\.reference)))
    }

    /// Takes results on the association of a request, until the request is answered or a moment has passed.
    ///
    /// An association that breaks does not matter: the peer then reports on another one.
    private func listen(
        to association: any CommitmentAssociation, for transactionUID: String, _ peer: Peer,
        _ interruption: Interruption
    ) {
        let end = clock.monotonic() + limits.patience
        while !interruption.isStopped {
            let left = end - clock.monotonic()
            guard left > .zero, let result = try? association.told(within: left) else { return }
            let status = told(result, by: peer, address: peer.host.flatMap { IPAddress($0) } ?? .anyIPv4)
            guard (try? association.answer(status)) != nil else { return }
            if result.transactionUID == transactionUID { return }
        }
    }

    // MARK: - Failures

    /// Ends a request that the peer did not take.
    ///
    /// If `isFinal`, another request would not help.
    private func refused(_ id: CommitmentRequestID, _ peer: Peer, _ reason: String, isFinal: Bool) throws {
        let time = try journal.direct.timeLived()
        let verdicts = try journal.direct.write { transaction in
            let event = AuditEvent(by: peer.actor, reason: reason)
            let verdicts = try transaction.commitmentExpired(id, event).map { delivery in
                (delivery, isFinal ? .dead(reason: reason) : CommitmentVerdict.again(reason, delivery, at: time))
            }
            try self.apply(verdicts, by: peer.actor, at: time, transaction)
            return verdicts
        }
        logger.warning("commitment not asked", metadata: ["peer.name": "\(peer.name)", "reason": "\(reason)"])
        report(verdicts, peer.name)
    }

    /// Gives up the deliveries whose time is over, because the peer cannot be asked.
    private func giveUp(_ deliveries: [UncommittedDelivery], _ peer: Peer, _ reason: String) throws {
        logger.warning("peer not reached", metadata: ["peer.name": "\(peer.name)", "reason": "\(reason)"])
        let time = try journal.direct.timeLived()
        let over = deliveries.filter { time >= $0.commitBy }.map { delivery in
            (delivery, CommitmentVerdict.again(reason, delivery, at: time))
        }
        if over.isEmpty { return }
        try journal.direct.write { try self.apply(over, by: peer.actor, at: time, $0) }
        report(over, peer.name)
    }

    /// Ends a request that the peer did not answer.
    private func expire(_ request: StoredCommitmentRequest, _ reason: String) async throws {
        guard let time = try await timeLived() else { return }
        let actor = peers[request.peer]?.actor ?? .node
        do {
            let verdicts = try await journal.write { transaction in
                let event = AuditEvent(by: actor, reason: reason)
                let verdicts = try transaction.commitmentExpired(request.id, event).map {
                    ($0, CommitmentVerdict.again(reason, $0, at: time))
                }
                try self.apply(verdicts, by: actor, at: time, pause: false, transaction)
                return verdicts
            }
            guard let verdicts else { return }
            logger.warning(
                "commitment not answered",
                metadata: ["peer.name": "\(request.peer)", "deliveries": "\(verdicts.count)", "reason": "\(reason)"])
            report(verdicts, request.peer)
        } catch is StateError {
            // The result came meanwhile.
        } catch  where !RetryingJournal.isTemporary(error) {
            logger.error(
                "could not end a request for commitment",
                metadata: ["peer.name": "\(request.peer)", "error": "\(Reason(error))"])
        }
    }

    // MARK: - Results

    /// Takes a result of a peer, on the thread of an association.
    ///
    /// - Returns: the status of the response. A result that the journal cannot take now is answered by a failure, so that
    ///   the peer reports again.
    package func told(_ result: CommitmentResult, by peer: Peer, address: IPAddress) -> DIMSEStatus {
        do {
            let time = try journal.direct.timeLived()
            let verdicts = try journal.direct.write { transaction -> [(UncommittedDelivery, CommitmentVerdict)]? in
                guard let request = try transaction.commitmentRequest(result.transactionUID, to: peer.name) else {
                    return nil
                }
                // A peer that does not get our answer tells the same again.
                if request.state == .answered { return [] }
                let verdicts = CommitmentVerdict.judge(result, of: request, at: time)
                let committed = verdicts.count { $0.verdict == .committed }
                try transaction.commitmentAnswered(request.id, committed: committed, AuditEvent(by: peer.actor))
                try self.apply(verdicts, by: peer.actor, at: time, transaction)
                return verdicts
            }
            guard let verdicts else {
                refusals.note(.unknownTransaction, by: peer, address: address)
                return .invalidArgumentValue
            }
            report(verdicts, peer.name)
            somethingChanged.raise()
            return .success
        } catch {
            logger.error(
                "could not take a commitment result",
                metadata: ["peer.name": "\(peer.name)", "error": "\(Reason(error))"])
            return .processingFailure
        }
    }

    /// Moves deliveries as their verdicts say.
    ///
    /// `pause` says whether a new request waits for a while.
    private func apply(
        _ verdicts: [(UncommittedDelivery, CommitmentVerdict)], by actor: AuditActor, at time: Duration,
        pause: Bool = true, _ transaction: WriteTransaction
    ) throws {
        for (delivery, verdict) in verdicts {
            // A delivery that the database does not let change is given up, and the others move on.
            let isDone = try transaction.attempt {
                switch verdict {
                case .committed: try transaction.committed(delivery.id, AuditEvent(by: actor))
                case .lost(let reason): try transaction.lost(delivery.id, AuditEvent(by: actor, reason: reason))
                case .dead(let reason): try transaction.notCommitted(delivery.id, AuditEvent(by: actor, reason: reason))
                case .askAgain(let reason):
                    let wait = limits.again.delay(failures: delivery.unanswered + 1, chance: clock.chance())
                    try transaction.askedAgain(
                        delivery.id, after: pause ? time + wait : time, AuditEvent(by: actor, reason: reason))
                }
            }
            if isDone { continue }
            logger.error(
                "could not record the commitment to a delivery", metadata: ["delivery.id": "\(delivery.id.rawValue)"])
            let event = AuditEvent(reason: "the database refused the outcome of its commitment")
            _ = try transaction.attempt { try transaction.notCommitted(delivery.id, event) }
        }
    }

    private func report(_ verdicts: [(UncommittedDelivery, CommitmentVerdict)], _ peer: String) {
        for (delivery, verdict) in verdicts {
            var metadata: Logger.Metadata = [
                "delivery.id": "\(delivery.id.rawValue)", "peer.name": "\(peer)",
                "dicom.sop_instance_uid": "\(delivery.sopInstanceUID)",
            ]
            switch verdict {
            case .committed: logger.info("object committed", metadata: metadata)
            case .askAgain: continue
            case .lost(let reason):
                metadata["reason"] = "\(reason)"
                logger.warning("object to be sent again", metadata: metadata)
            case .dead(let reason):
                metadata["reason"] = "\(reason)"
                logger.error("delivery dead", metadata: metadata)
            }
        }
        if verdicts.contains(where: { if case .lost = $0.1 { true } else { false } }) { onLost() }
    }
}

extension Peer {
    /// The peer as the trail names it.
    var actor: AuditActor { AuditActor(aeTitle: aeTitle.text, address: host) }
}

extension UID {
    /// A UID that is made of a UUID (PS3.5 B.2).
    static func random(_ uuid: UUID) -> String {
        let number = withUnsafeBytes(of: uuid.uuid) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
        return "2.25.\(number)"
    }
}
