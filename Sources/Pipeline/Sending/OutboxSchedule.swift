// SPDX-License-Identifier: Apache-2.0

package import Persistence

/// Decides which objects to send to which peer and when, and when to give up.
///
/// This type is a value: it does not perform the actions.
///
/// Times are readings of the monotonic clock, which do not outlive the process. The row of a delivery adds up the time
/// of its attempts. Neither a jump of the wall clock nor a restart can therefore use up its 72 hours.
package struct OutboxSchedule: Sendable {
    /// How a session with a peer ended.
    ///
    /// Each delivery has its own ``DeliveryOutcome`` in addition.
    package enum SessionEnd: Sendable, Hashable {
        /// All deliveries were offered.
        case finished
        /// The peer could not be reached, broke the association, or refuses for now.
        case failed(reason: String)
        /// The peer rejected the association, and called the rejection permanent.
        case rejected(reason: String)
        /// The node stops. Neither the peer nor the delivery is charged.
        case stopped
    }

    /// The change of a delivery's row.
    package enum Change: Sendable, Hashable {
        /// The peer has the object, and answered with this C-STORE status.
        case sent(status: UInt16)
        /// Adds `spent` to the time of attempts.
        case pendingAgain(spent: Duration, rejections: Int, reason: String)
        case dead(reason: String)
    }

    /// The properties of a pending delivery that the schedule uses.
    package struct Pending: Sendable, Hashable {
        /// The row.
        package var id: DeliveryID
        /// Name of the peer.
        package var peer: String
        /// The time of attempts so far, from the row.
        package var tried: Duration
        /// Permanent rejections in a row so far, from the row.
        package var rejections: Int

        package init(id: DeliveryID, peer: String, tried: Duration = .zero, rejections: Int = 0) {
            self.id = id
            self.peer = peer
            self.tried = tried
            self.rejections = rejections
        }
    }

    /// The time of attempts after which a delivery is given up.
    package static let longest: Duration = .seconds(72 * 3600)
    /// The wait before the next attempt at a peer that called a rejection permanent.
    package static let rejectionInterval: Duration = .seconds(3600)
    /// Permanent rejections in a row after which a delivery is given up: a day, with one attempt per hour.
    package static let rejections = 25
    /// The interval at which the time of a delivery is written while the delivery waits behind another one.
    private static let accounting: Duration = .seconds(3600)

    private struct PeerState: Sendable {
        var failures = 0
        var notBefore: Duration = .zero
        var isBusy = false
    }

    private struct DeliveryMemory: Sendable {
        /// The row holds the time of attempts up to this moment.
        var accounted: Duration
        var failures = 0
        var notBefore: Duration = .zero
    }

    private let backoff: Backoff
    private var peers: [String: PeerState] = [:]
    private var memory: [DeliveryID: DeliveryMemory] = [:]
    /// Deliveries given up since the start.
    ///
    /// If one is pending again, an operator has revived it, and it is tried at once.
    private var dead: Set<DeliveryID> = []

    /// - Parameter backoff: the waits after failures.
    package init(backoff: Backoff = .delivery) { self.backoff = backoff }

    /// Begins a session with each peer that is free and due.
    ///
    /// - Parameters:
    ///   - pending: all pending deliveries.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: per peer its due deliveries, in order of failures and then of age; and when the next one will be due.
    package mutating func begin(_ pending: [Pending], now: Duration) -> (
        sessions: [String: [DeliveryID]], next: Duration?
    ) {
        let ids = Set(pending.map(\.id))
        memory = memory.filter { ids.contains($0.key) }
        for delivery in pending {
            if dead.remove(delivery.id) != nil { peers[delivery.peer]?.notBefore = now }
            if memory[delivery.id] == nil { memory[delivery.id] = DeliveryMemory(accounted: now) }
        }
        var sessions: [String: [DeliveryID]] = [:]
        var next: Duration?
        for (peer, deliveries) in Dictionary(grouping: pending, by: \.peer) {
            let state = peers[peer] ?? PeerState()
            if state.isBusy { continue }
            let times = deliveries.map { max(memory[$0.id]?.notBefore ?? now, state.notBefore) }
            let due = zip(deliveries, times).filter { $0.1 <= now }.map { $0.0 }
            if due.isEmpty {
                if let earliest = times.min() { next = min(next ?? earliest, earliest) }
                continue
            }
            sessions[peer] = due.sorted {
                (memory[$0.id]?.failures ?? 0, $0.id) < (memory[$1.id]?.failures ?? 0, $1.id)
            }.map(\.id)
            peers[peer, default: PeerState()].isBusy = true
        }
        return (sessions, next)
    }

    /// Takes the outcome of one delivery.
    ///
    /// - Parameters:
    ///   - delivery: the delivery that was offered.
    ///   - outcome: the peer's answer.
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    /// - Returns: the change of its row.
    package mutating func offered(_ delivery: Pending, _ outcome: DeliveryOutcome, now: Duration, chance: Double)
        -> Change
    {
        switch outcome {
        case .sent(let status):
            memory[delivery.id] = nil
            peers[delivery.peer]?.failures = 0
            return .sent(status: status)
        case .dead(let reason):
            return giveUp(delivery, reason)
        case .retry(let reason): return setback(delivery, rejections: 0, reason: reason, now: now, chance: chance)
        }
    }

    /// Takes the end of a session.
    ///
    /// - Parameters:
    ///   - peer: name of the peer.
    ///   - end: how the session ended.
    ///   - first: the delivery that was under way or next when the session failed.
    ///   - rest: the peer's other pending deliveries.
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    /// - Returns: the changes of rows, by delivery.
    package mutating func ended(
        _ peer: String, _ end: SessionEnd, first: Pending?, rest: [Pending], now: Duration, chance: Double
    ) -> [DeliveryID: Change] {
        var changes: [DeliveryID: Change] = [:]
        var state = peers[peer] ?? PeerState()
        state.isBusy = false
        switch end {
        case .stopped: break
        case .finished: state.failures = 0
        case .failed(let reason):
            state.failures += 1
            state.notBefore = now + backoff.delay(failures: state.failures, chance: chance)
            if let first {
                changes[first.id] = setback(first, rejections: 0, reason: reason, now: now, chance: chance)
            }
            for delivery in rest where isTimeToAccount(delivery, now: now) {
                changes[delivery.id] = account(delivery, rejections: 0, reason: reason, now: now)
            }
        case .rejected(let reason):
            state.failures += 1
            state.notBefore = now + Self.rejectionInterval
            for delivery in [first].compactMap({ $0 }) + rest {
                changes[delivery.id] = account(
                    delivery, rejections: delivery.rejections + 1, reason: reason, now: now)
            }
        }
        peers[peer] = state
        return changes
    }

    /// Frees a peer whose objects were not sent, because the journal could not be written.
    ///
    /// The peer waits as after a failure. The deliveries are not charged.
    package mutating func postponed(_ peer: String, now: Duration, chance: Double) {
        peers[peer, default: PeerState()].isBusy = false
        peers[peer, default: PeerState()].failures += 1
        let failures = peers[peer]?.failures ?? 1
        peers[peer]?.notBefore = now + backoff.delay(failures: failures, chance: chance)
    }

    /// Leaves a delivery alone for an hour, because its outcome could not be recorded.
    package mutating func leave(_ delivery: DeliveryID, now: Duration) {
        memory[delivery, default: DeliveryMemory(accounted: now)].notBefore = now + Self.rejectionInterval
    }

    private mutating func setback(
        _ delivery: Pending, rejections: Int, reason: String, now: Duration, chance: Double
    ) -> Change {
        let failures = (memory[delivery.id]?.failures ?? 0) + 1
        let change = account(delivery, rejections: rejections, reason: reason, now: now)
        memory[delivery.id]?.failures = failures
        memory[delivery.id]?.notBefore = now + backoff.delay(failures: failures, chance: chance)
        return change
    }

    private func isTimeToAccount(_ delivery: Pending, now: Duration) -> Bool {
        let spent = now - (memory[delivery.id]?.accounted ?? now)
        return spent >= Self.accounting || delivery.tried + spent >= Self.longest
    }

    /// Adds the time since the last account to the row, and gives up a delivery that has used up its time.
    private mutating func account(
        _ delivery: Pending, rejections: Int, reason: String, now: Duration
    ) -> Change {
        let spent = now - (memory[delivery.id]?.accounted ?? now)
        if delivery.tried + spent >= Self.longest {
            return giveUp(delivery, "not delivered in 72 hours: \(reason)")
        }
        if rejections >= Self.rejections {
            return giveUp(delivery, "the peer rejected associations for a day: \(reason)")
        }
        memory[delivery.id, default: DeliveryMemory(accounted: now)].accounted = now
        return .pendingAgain(spent: spent, rejections: rejections, reason: reason)
    }

    private mutating func giveUp(_ delivery: Pending, _ reason: String) -> Change {
        memory[delivery.id] = nil
        dead.insert(delivery.id)
        return .dead(reason: reason)
    }
}
