// SPDX-License-Identifier: Apache-2.0

package import Persistence

/// What to send to whom and when, and when to give up: a value.
///
/// Times are readings of the monotonic clock, which does not outlive the process; how long a delivery has been tried is
/// added up in its row, so neither a jump of the wall clock nor a restart can use up its 72 hours.
package struct OutboxSchedule: Sendable {
    /// How a session with a peer ended, apart from what became of each delivery.
    package enum SessionEnd: Sendable, Hashable {
        /// Everything was offered.
        case finished
        /// The peer could not be reached, broke off, or refuses for now.
        case failed(reason: String)
        /// The peer rejected the association for good, so it says.
        case rejected(reason: String)
        /// The node stops: nothing is held against anybody.
        case stopped
    }

    /// What to write into a delivery's row.
    package enum Change: Sendable, Hashable {
        case sent(status: UInt16)
        case pendingAgain(spent: Duration, rejections: Int, reason: String)
        case dead(reason: String)
    }

    /// A row as the schedule needs it.
    package struct Pending: Sendable, Hashable {
        package var id: DeliveryID
        package var peer: String
        /// Added up in the row.
        package var tried: Duration
        /// Rejections in a row so far, kept in the row.
        package var rejections: Int

        package init(id: DeliveryID, peer: String, tried: Duration = .zero, rejections: Int = 0) {
            self.id = id
            self.peer = peer
            self.tried = tried
            self.rejections = rejections
        }
    }

    /// Trying ends after this long.
    package static let longest: Duration = .seconds(72 * 3600)
    /// A peer that rejects us is asked again after an hour, for a day.
    package static let rejectionInterval: Duration = .seconds(3600)
    package static let rejections = 25
    /// Deliveries that wait behind another one have their time written this often.
    private static let accounting: Duration = .seconds(3600)

    private struct PeerState: Sendable {
        var failures = 0
        var notBefore: Duration = .zero
        var isBusy = false
    }

    private struct DeliveryMemory: Sendable {
        /// Up to when its time is written in the row.
        var accounted: Duration
        var failures = 0
        var notBefore: Duration = .zero
    }

    private let backoff: Backoff
    private var peers: [String: PeerState] = [:]
    private var memory: [DeliveryID: DeliveryMemory] = [:]
    /// Given up since the start: one that is pending again was revived by an operator, who wants to see it tried.
    private var dead: Set<DeliveryID> = []

    package init(backoff: Backoff = .delivery) { self.backoff = backoff }

    /// The sessions to begin: for each peer that is free and due, its due deliveries, those that failed least first and
    /// then the oldest.
    ///
    /// - Parameter pending: all of them.
    /// - Returns: `next`, when something will be due.
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

    /// One delivery was offered.
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

    /// A session has ended.
    ///
    /// - Parameters:
    ///   - first: the delivery that was under way or next when it failed.
    ///   - rest: the peer's other pending deliveries.
    /// - Returns: what to write, by delivery.
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

    /// Forgets that a session runs, for one that never began.
    package mutating func released(_ peer: String) { peers[peer]?.isBusy = false }

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

    /// Adds the time since the last account to the row, and gives up when it is enough.
    private mutating func account(
        _ delivery: Pending, rejections: Int, reason: String, now: Duration
    ) -> Change {
        let spent = now - (memory[delivery.id]?.accounted ?? now)
        if delivery.tried + spent >= Self.longest {
            return giveUp(delivery, "not delivered in 72 hours: \(reason)")
        }
        if rejections >= Self.rejections {
            return giveUp(delivery, "rejected for a day: \(reason)")
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
