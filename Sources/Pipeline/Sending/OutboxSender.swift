// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
import Foundation
package import Logging
package import Persistence
import Platform
import ServiceLifecycle
import Synchronization

/// The service that sends objects to the peers of their routes, over one association per peer at a time.
package final class OutboxSender: Service {
    /// How often the service looks for deliveries without a call of `pending`: `kontur jobs retry` is another process.
    private static let polling: Duration = .seconds(2)
    /// The wait before an answer that could not be recorded is recorded again: it doubles from a second to a minute.
    private static let recording = Backoff(shortest: .seconds(1), longest: .seconds(60))

    private let requestor: AssociationRequestor
    private let peers: [String: Peer]
    private let journal: RetryingJournal
    private let clock: NodeClock
    private let logger: Logger
    private let stop: StopFlag
    private let somethingChanged = Signal()
    private let recordingPause = MonotonicCondition()
    private let schedule = Mutex(OutboxSchedule())
    private let sessions = Mutex<[String: Interruption]>([:])

    /// - Parameters:
    ///   - requestor: makes the associations.
    ///   - peers: the peers that routes may name.
    ///   - journal: takes the states.
    ///   - clock: times the waits.
    ///   - logger: receives a message for each change of state.
    package init(
        requestor: AssociationRequestor, peers: [Peer], journal: Journal, clock: NodeClock, logger: Logger
    ) {
        let stop = StopFlag()
        self.stop = stop
        self.requestor = requestor
        self.clock = clock
        self.logger = logger
        self.peers = Dictionary(peers.map { ($0.name, $0) }) { first, _ in first }
        self.journal = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
    }

    /// Wakes the service because there may be objects to send.
    ///
    /// May be called from any thread.
    package func pending() { somethingChanged.raise() }

    /// Runs until a graceful shutdown or a cancellation.
    package func run() async throws {
        let stop = stop
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                var perseverance = Perseverance("sending", logger: logger) { stop.isSet }
                while !stop.isSet, !Task.isCancelled {
                    guard let (sessions, next) = await perseverance.round({ try await self.due() }) else { continue }
                    for (peer, deliveries) in sessions {
                        group.addTask { await self.send(deliveries, to: peer) }
                    }
                    await somethingChanged.wait(atMost: min(next ?? Self.polling, Self.polling))
                }
            }
        } onGracefulShutdown: {
            self.stop.set()
            let sessions = self.sessions.withLock { Array($0.values) }
            for session in sessions { session.stop() }
            self.somethingChanged.raise()
        }
    }

    /// The sessions to begin now, and the time until another one may be due.
    ///
    /// Only peers whose turn it is are looked at, and their deliveries are read until a page has due ones. The time of a
    /// round therefore does not grow with the number of deliveries that wait.
    private func due() async throws -> ([String: [Delivery]], Duration?) {
        let givenUp = schedule.withLock { $0.givenUp }
        let found = try await journal.read { view in
            (try view.waitingPeers(), try view.pendingDeliveries(among: givenUp))
        }
        guard let (waiting, revived) = found else { return ([:], nil) }
        let now = clock.monotonic()
        schedule.withLock { schedule in
            for delivery in revived { schedule.revived(delivery.id, to: delivery.peer, now: now) }
        }
        var sessions: [String: [Delivery]] = [:]
        var next: Duration?
        for peer in waiting {
            switch schedule.withLock({ $0.turn(of: peer.name, newest: peer.newest, now: now) }) {
            case .busy: continue
            case .waits(let until): next = min(next ?? until, until)
            case .now:
                let (session, later) = try await session(with: peer.name, now: now)
                if !session.isEmpty { sessions[peer.name] = session }
                if let later { next = min(next ?? later, later) }
            }
        }
        return (sessions, next.map { $0 - now })
    }

    /// Begins a session with a peer whose turn it is.
    ///
    /// - Returns: the deliveries to offer, and when the next one will be due.
    private func session(with peer: String, now: Duration) async throws -> ([Delivery], Duration?) {
        var after: DeliveryID?
        var next: Duration?
        while true {
            let start = after
            guard let page = try await journal.read({ try $0.pendingDeliveries(to: peer, after: start) }),
                let last = page.last
            else { return ([], next) }
            let (session, later) = schedule.withLock {
                $0.begin(peer, page.map(OutboxSchedule.Pending.init), after: start, now: now)
            }
            if let later { next = min(next ?? later, later) }
            if !session.isEmpty {
                let byID = Dictionary(page.map { ($0.id, $0) }) { first, _ in first }
                return (session.compactMap { byID[$0] }, next)
            }
            after = last.id
        }
    }

    /// Runs one session: offers the deliveries, and records the outcome of each.
    private func send(_ deliveries: [Delivery], to name: String) async {
        let end: OutboxSchedule.SessionEnd
        var at: DeliveryID?
        var isUnderWay = false
        if let peer = peers[name], peer.isCallable {
            let interruption = Interruption()
            sessions.withLock { $0[name] = interruption }
            if stop.isSet { interruption.stop() }
            let session = PeerSession(requestor: requestor, peer: peer, interruption: interruption)
            do {
                (end, at, isUnderWay) = try await withTaskCancellationHandler {
                    try await DedicatedThread.run(name: "kontur-send") { [self] in
                        try session.run(deliveries, offer: { try offer($0, to: name) }) {
                            try record($0, $1, peer: peer)
                        }
                    }
                } onCancel: {
                    interruption.stop()
                }
            } catch {
                // The object was not sent. Its peer waits as if the peer had failed.
                logger.error(
                    "objects are not sent, because the journal could not record their delivery",
                    metadata: ["peer.name": "\(name)", "error": "\(Reason(error))"])
                let (now, chance) = (clock.monotonic(), clock.chance())
                schedule.withLock { $0.postponed(name, now: now, chance: chance) }
                sessions.withLock { $0[name] = nil }
                return
            }
            sessions.withLock { $0[name] = nil }
        } else {
            end = .failed(reason: "the configuration does not have a peer of this name with a host and a port")
            at = deliveries.first?.id
        }
        do {
            try await conclude(name, end, at: at, isUnderWay: isUnderWay)
        } catch {
            logger.error(
                "could not record the end of a session",
                metadata: ["peer.name": "\(name)", "error": "\(Reason(error))"])
        }
        somethingChanged.raise()
    }

    /// Writes down that an object is about to be sent; `false` if its delivery is not pending any more.
    ///
    /// A delivery that the journal refuses to write down is given up, and the others are sent.
    private func offer(_ id: DeliveryID, to peer: String) throws -> Bool {
        do {
            return try journal.direct.write { try $0.offered(id) }
        } catch  where !RetryingJournal.isTemporary(error) {
            leave(id, to: peer, error)
            return false
        }
    }

    /// Records the outcome of one delivery, on the session's thread.
    ///
    /// An outcome that cannot be written is kept and written later, because the peer would get the object again
    /// otherwise. Only the end of the node gives the outcome up.
    private func record(_ delivery: Delivery, _ outcome: DeliveryOutcome, peer: Peer) throws {
        let (now, chance) = (clock.monotonic(), clock.chance())
        let change = schedule.withLock {
            $0.offered(OutboxSchedule.Pending(delivery), outcome, now: now, chance: chance)
        }
        var failures = 0
        while true {
            do {
                let commitBy = try peer.commitment ? journal.direct.timeLived() + CommitmentLimits().longest : nil
                try journal.direct.write {
                    try Self.apply(change, to: delivery.id, peer: peer, commitBy: commitBy, $0)
                }
                return report(change, delivery, peer: peer.name)
            } catch let error as StateError {
                return logger.debug("delivery left alone", metadata: ["error": "\(error)"])
            } catch {
                guard RetryingJournal.isTemporary(error) else { return leave(delivery.id, to: peer.name, error) }
                failures += 1
                if failures == 1 {
                    logger.error(
                        "could not record a delivery; trying until the journal can be written",
                        metadata: ["delivery.id": "\(delivery.id.rawValue)", "error": "\(error)"])
                }
                let next = clock.monotonic() + Self.recording.delay(failures: failures, chance: clock.chance())
                while clock.monotonic() < next {
                    if stop.isSet { throw error }
                    recordingPause.withLock { _ = recordingPause.wait(timeout: .milliseconds(200)) }
                }
            }
        }
    }

    /// Gives up a delivery that the journal does not take, so that the peer does not get the object for ever.
    private func leave(_ id: DeliveryID, to peer: String, _ error: any Error) {
        let reason = "\(Reason(error))"
        logger.error(
            "could not record a delivery", metadata: ["delivery.id": "\(id.rawValue)", "error": "\(reason)"])
        let now = clock.monotonic()
        schedule.withLock { $0.leave(id, to: peer, now: now) }
        let event = AuditEvent(reason: "its outcome could not be recorded: \(reason)")
        _ = try? journal.direct.write { try $0.dead(id, event) }
    }

    /// Records the end of a session in the peer's deliveries.
    ///
    /// - Parameters:
    ///   - name: the peer.
    ///   - end: how the session ended.
    ///   - at: the delivery that was under way or next.
    ///   - isUnderWay: whether the peer may have the object of that delivery.
    /// - Throws: errors of the journal.
    private func conclude(
        _ name: String, _ end: OutboxSchedule.SessionEnd, at: DeliveryID?, isUnderWay: Bool
    ) async throws {
        var first: Delivery?
        switch end {
        case .finished, .stopped: break
        case .failed(let reason), .rejected(let reason):
            logger.warning("peer not reached", metadata: ["peer.name": "\(name)", "reason": "\(reason)"])
            if let at { first = (try? await journal.read { try $0.delivery(at) }) ?? nil }
        }
        if first?.state != .pending { first = nil }
        let (now, chance, row) = (clock.monotonic(), clock.chance(), first.map(OutboxSchedule.Pending.init))
        let (change, accountsAll) = schedule.withLock {
            $0.ended(name, end, first: row, now: now, chance: chance)
        }
        if let first, let change { await write([(first, change)], to: name, mayHaveArrived: isUnderWay) }
        guard accountsAll else { return }
        var last: DeliveryID?
        while true {
            let after = last
            guard let page = try await journal.read({ try $0.pendingDeliveries(to: name, after: after) }),
                let newest = page.last?.id
            else { break }
            let changes = schedule.withLock {
                $0.account(page.map(OutboxSchedule.Pending.init), end, now: now)
            }
            let byID = Dictionary(page.map { ($0.id, $0) }) { first, _ in first }
            await write(changes.compactMap { row, change in byID[row.id].map { ($0, change) } }, to: name)
            last = newest
        }
        if let last { schedule.withLock { $0.accounted(name, newest: last, now: now) } }
    }

    /// Writes changes in one transaction, or one by one if the journal refuses one of them.
    private func write(
        _ changes: [(Delivery, OutboxSchedule.Change)], to name: String, mayHaveArrived: Bool = false
    ) async {
        let peer = peers[name]
        do {
            let isWritten = try await journal.write { transaction in
                for (delivery, change) in changes {
                    try Self.apply(
                        change, to: delivery.id, peer: peer, mayHaveArrived: mayHaveArrived, transaction)
                }
                return true
            }
            guard isWritten != nil else { return }
            for (delivery, change) in changes { report(change, delivery, peer: name) }
        } catch {
            if changes.count > 1 {
                for change in changes { await write([change], to: name) }
            } else if let (delivery, _) = changes.first {
                // A delivery that has moved on meanwhile does not need the change.
                logger.log(
                    level: error is StateError ? .debug : .error, "delivery left alone",
                    metadata: ["delivery.id": "\(delivery.id.rawValue)", "error": "\(Reason(error))"])
            }
        }
    }

    private static func apply(
        _ change: OutboxSchedule.Change, to id: DeliveryID, peer: Peer?, commitBy: Duration? = nil,
        mayHaveArrived: Bool = false,
        _ transaction: WriteTransaction
    ) throws {
        let actor = AuditActor(aeTitle: peer?.aeTitle.text, address: peer?.host)
        switch change {
        case .sent(let status):
            let event = AuditEvent(by: actor, reason: DeliveryOutcome.warning(for: status))
            try transaction.sent(id, status: status, commitBy: commitBy, event)
        case .pendingAgain(let spent, let rejections, let reason):
            let memory = rejections == 0 ? nil : try JSONEncoder().encode(DeliveryNotes(rejections: rejections))
            let event = AuditEvent(by: actor, reason: reason)
            try transaction.pendingAgain(id, spent: spent, memory: memory, mayHaveArrived: mayHaveArrived, event)
        case .dead(let reason):
            try transaction.dead(id, AuditEvent(by: actor, reason: reason))
        }
    }

    private func report(_ change: OutboxSchedule.Change, _ delivery: Delivery, peer: String) {
        var metadata: Logger.Metadata = [
            "delivery.id": "\(delivery.id.rawValue)", "peer.name": "\(peer)",
            "dicom.sop_instance_uid": "\(delivery.object.sopInstanceUID)",
        ]
        switch change {
        case .sent(let status):
            metadata["dicom.status"] = "\(DIMSEStatus(rawValue: status))"
            if let warning = DeliveryOutcome.warning(for: status) {
                metadata["reason"] = "\(warning)"
                logger.warning("object sent", metadata: metadata)
            } else {
                logger.info("object sent", metadata: metadata)
            }
        case .pendingAgain(_, _, let reason):
            metadata["reason"] = "\(reason)"
            logger.info("object to be sent again", metadata: metadata)
        case .dead(let reason):
            metadata["reason"] = "\(reason)"
            logger.error("delivery dead", metadata: metadata)
        }
    }
}

/// The memory of the schedule in a delivery's row.
private struct DeliveryNotes: Codable, Sendable {
    /// Permanent rejections in a row.
    var rejections: Int
}

extension OutboxSchedule.Pending {
    fileprivate init(_ delivery: Delivery) {
        let notes = delivery.memory.flatMap { try? JSONDecoder().decode(DeliveryNotes.self, from: $0) }
        self.init(
            id: delivery.id, peer: delivery.peer, tried: delivery.tried, rejections: notes?.rejections ?? 0)
    }
}
