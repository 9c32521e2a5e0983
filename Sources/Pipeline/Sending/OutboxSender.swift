// SPDX-License-Identifier: Apache-2.0

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

    private let sender: StorageSender
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
    ///   - sender: makes the associations.
    ///   - peers: the peers that routes may name.
    ///   - journal: takes the states.
    ///   - clock: times the waits.
    ///   - logger: receives a message for each change of state.
    package init(sender: StorageSender, peers: [Peer], journal: Journal, clock: NodeClock, logger: Logger) {
        let stop = StopFlag()
        self.stop = stop
        self.sender = sender
        self.clock = clock
        self.logger = logger
        self.peers = Dictionary(peers.map { ($0.name, $0) }) { first, _ in first }
        self.journal = RetryingJournal(direct: journal, logger: logger) { stop.isSet }
    }

    /// Wakes the service because there may be objects to send.
    ///
    /// May be called from any thread.
    package func pending() { somethingChanged.raise() }

    /// Runs until a graceful shutdown, a cancellation, or an error other than a disk error.
    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                // A session that throws cancels the group. The loop sees that within the polling interval.
                while !stop.isSet, !Task.isCancelled, !group.isCancelled {
                    let (sessions, next) = try await due()
                    for (peer, deliveries) in sessions {
                        group.addTask { try await self.send(deliveries, to: peer) }
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
    private func due() async throws -> ([String: [Delivery]], Duration?) {
        guard let pending = try await pendingDeliveries() else { return ([:], nil) }
        let now = clock.monotonic()
        let (sessions, next) = schedule.withLock { $0.begin(pending.map(OutboxSchedule.Pending.init), now: now) }
        let byID = Dictionary(uniqueKeysWithValues: pending.map { ($0.id, $0) })
        return (sessions.mapValues { $0.compactMap { byID[$0] } }, next.map { $0 - now })
    }

    /// All pending deliveries, oldest first; `nil` if the service stops.
    private func pendingDeliveries() async throws -> [Delivery]? {
        try await journal.readAll { try $0.pendingDeliveries(after: $1?.id) }
    }

    /// Runs one session: offers the deliveries, and records the outcome of each.
    private func send(_ deliveries: [Delivery], to name: String) async throws {
        let end: OutboxSchedule.SessionEnd
        var at: DeliveryID?
        if let peer = peers[name], peer.isCallable {
            let interruption = Interruption()
            sessions.withLock { $0[name] = interruption }
            if stop.isSet { interruption.stop() }
            let session = PeerSession(sender: sender, peer: peer, interruption: interruption)
            do {
                (end, at) = try await withTaskCancellationHandler {
                    try await DedicatedThread.run(name: "kontur-send") { [self] in
                        try session.run(deliveries, offer: offer) { try record($0, $1, peer: peer) }
                    }
                } onCancel: {
                    interruption.stop()
                }
            } catch {
                // The object was not sent. Its peer waits as if the peer had failed.
                logger.error(
                    "objects are not sent, because the journal could not record their delivery",
                    metadata: ["peer.name": "\(name)", "error": "\(error)"])
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
        try await conclude(name, end, at: at)
        somethingChanged.raise()
    }

    /// Writes down that an object is about to be sent; `false` if its delivery is not pending any more.
    private func offer(_ id: DeliveryID) throws -> Bool {
        try journal.direct.write { try $0.offered(id) }
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
                try journal.direct.write { try Self.apply(change, to: delivery.id, peer: peer, $0) }
                return report(change, delivery, peer: peer.name)
            } catch let error as StateError {
                return logger.debug("delivery left alone", metadata: ["error": "\(error)"])
            } catch {
                guard RetryingJournal.isTemporary(error) else { return leave(delivery, error) }
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

    /// Gives up a delivery whose outcome the journal does not take, so that the peer does not get the object for ever.
    private func leave(_ delivery: Delivery, _ error: any Error) {
        logger.error(
            "could not record a delivery",
            metadata: ["delivery.id": "\(delivery.id.rawValue)", "error": "\(error)"])
        let now = clock.monotonic()
        schedule.withLock { $0.leave(delivery.id, now: now) }
        let event = AuditEvent(reason: "its outcome could not be recorded: \(error)")
        _ = try? journal.direct.write { try $0.dead(delivery.id, event) }
    }

    /// Records the end of a session in the peer's deliveries.
    private func conclude(_ name: String, _ end: OutboxSchedule.SessionEnd, at: DeliveryID?) async throws {
        var pending: [Delivery] = []
        switch end {
        case .finished, .stopped: break
        case .failed(let reason), .rejected(let reason):
            logger.warning("peer not reached", metadata: ["peer.name": "\(name)", "reason": "\(reason)"])
            pending = try await pendingDeliveries()?.filter { $0.peer == name } ?? []
        }
        let rows = pending.map(OutboxSchedule.Pending.init)
        let (now, chance) = (clock.monotonic(), clock.chance())
        let changes = schedule.withLock {
            $0.ended(
                name, end, first: rows.first { $0.id == at }, rest: rows.filter { $0.id != at }, now: now,
                chance: chance)
        }
        let peer = peers[name]
        for delivery in pending {
            guard let change = changes[delivery.id] else { continue }
            do {
                _ = try await journal.write { try Self.apply(change, to: delivery.id, peer: peer, $0) }
                report(change, delivery, peer: name)
            } catch let error as StateError {
                logger.debug("delivery left alone", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func apply(
        _ change: OutboxSchedule.Change, to id: DeliveryID, peer: Peer?, _ transaction: WriteTransaction
    ) throws {
        let actor = AuditActor(aeTitle: peer?.aeTitle.text, address: peer?.host)
        switch change {
        case .sent(let status):
            try transaction.sent(
                id, status: status, AuditEvent(by: actor, reason: DeliveryOutcome.warning(for: status)))
        case .pendingAgain(let spent, let rejections, let reason):
            let memory = rejections == 0 ? nil : try JSONEncoder().encode(DeliveryNotes(rejections: rejections))
            try transaction.pendingAgain(id, spent: spent, memory: memory, AuditEvent(by: actor, reason: reason))
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
