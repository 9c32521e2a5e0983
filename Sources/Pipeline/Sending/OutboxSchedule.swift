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
        /// The rows of all deliveries up to `newest` hold the time of attempts up to this moment.
        var accounted: Duration
        /// The newest delivery at that moment.
        ///
        /// A later delivery has not waited since then.
        var newest: DeliveryID
        /// The deliveries that failed by themselves, unlike those that only wait for the peer.
        var failed: [DeliveryID: DeliveryMemory] = [:]
    }

    private struct DeliveryMemory: Sendable {
        /// The row holds the time of attempts up to this moment.
        var accounted: Duration
        var failures = 0
        var notBefore: Duration = .zero
    }

    private let backoff: Backoff
    private var peers: [String: PeerState] = [:]
    /// The last deliveries given up since the start, oldest first.
    ///
    /// If one is pending again, an operator has revived it, and it is tried at once.
    package private(set) var givenUp: [DeliveryID] = []
    /// Most deliveries in `givenUp`.
    private static let mostGivenUp = 1000

    /// - Parameter backoff: the waits after failures.
    package init(backoff: Backoff = .delivery) { self.backoff = backoff }

    /// Notes that a delivery that was given up is pending again.
    package mutating func revived(_ delivery: DeliveryID, to peer: String, now: Duration) {
        givenUp.removeAll { $0 == delivery }
        peers[peer]?.notBefore = now
    }

    /// Whether a session with a peer may begin.
    package enum Turn: Sendable, Hashable {
        case now
        /// A session runs.
        case busy
        /// The peer failed.
        case waits(until: Duration)
    }

    /// Whether a session with a peer may begin now.
    ///
    /// - Parameters:
    ///   - peer: a peer with pending deliveries.
    ///   - newest: the newest of them.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: the turn of the peer.
    package mutating func turn(of peer: String, newest: DeliveryID, now: Duration) -> Turn {
        let state = peers[peer] ?? PeerState(accounted: now, newest: newest)
        peers[peer] = state
        if state.isBusy { return .busy }
        return state.notBefore > now ? .waits(until: state.notBefore) : .now
    }

    /// Begins a session with a peer whose turn it is, if deliveries of a page are due.
    ///
    /// - Parameters:
    ///   - peer: the peer.
    ///   - page: some of its pending deliveries, in the order of their rows.
    ///   - after: the row after which the page begins; `nil` for the first page.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: the due deliveries, in order of failures and then of age; and when the next one will be due.
    package mutating func begin(_ peer: String, _ page: [Pending], after: DeliveryID?, now: Duration) -> (
        session: [DeliveryID], next: Duration?
    ) {
        guard var state = peers[peer], let last = page.last?.id else { return ([], nil) }
        let ids = Set(page.map(\.id))
        // A delivery that is not pending any more leaves no memory.
        state.failed = state.failed.filter { id, _ in
            ids.contains(id) || id > last || after.map { id <= $0 } ?? false
        }
        let due = page.map(\.id).filter { state.failed[$0].map { $0.notBefore <= now } ?? true }
        let session = due.sorted { (state.failed[$0]?.failures ?? 0, $0) < (state.failed[$1]?.failures ?? 0, $1) }
        state.isBusy = !session.isEmpty
        let next = page.compactMap { state.failed[$0.id]?.notBefore }.filter { $0 > now }.min()
        peers[peer] = state
        return (session, next)
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
            peers[delivery.peer]?.failed[delivery.id] = nil
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
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    /// - Returns: the change of the first delivery's row; and whether the time of all pending deliveries has to be
    ///   written, page by page, with `account`.
    package mutating func ended(_ peer: String, _ end: SessionEnd, first: Pending?, now: Duration, chance: Double) -> (
        change: Change?, accountsAll: Bool
    ) {
        peers[peer]?.isBusy = false
        switch end {
        case .stopped: return (nil, false)
        case .finished:
            peers[peer]?.failures = 0
            return (nil, false)
        case .failed(let reason):
            wait(for: peer) { $0.delay(failures: $1, chance: chance) + now }
            let change = first.map { setback($0, rejections: 0, reason: reason, now: now, chance: chance) }
            return (change, now - (peers[peer]?.accounted ?? now) >= Self.accounting)
        case .rejected:
            wait(for: peer) { _, _ in now + Self.rejectionInterval }
            return (nil, true)
        }
    }

    /// Adds the time that deliveries have waited for their peer.
    ///
    /// - Parameters:
    ///   - page: some pending deliveries of one peer.
    ///   - end: how the last session ended; a permanent rejection counts for each delivery.
    ///   - now: the reading of the monotonic clock at the end of the session.
    /// - Returns: the changes of rows, in the order of the page.
    package mutating func account(_ page: [Pending], _ end: SessionEnd, now: Duration) -> [(Pending, Change)] {
        page.compactMap { delivery in
            switch end {
            case .finished, .stopped: return nil
            case .rejected(let reason):
                let rejections = delivery.rejections + 1
                return (delivery, account(delivery, rejections: rejections, reason: reason, now: now))
            case .failed(let reason):
                guard now > accounted(delivery, now: now) else { return nil }
                return (delivery, account(delivery, rejections: 0, reason: reason, now: now))
            }
        }
    }

    /// Notes that the time of all deliveries of a peer was written.
    ///
    /// - Parameters:
    ///   - peer: name of the peer.
    ///   - newest: the last delivery that `account` has seen.
    ///   - now: the time that `account` was given.
    package mutating func accounted(_ peer: String, newest: DeliveryID, now: Duration) {
        peers[peer]?.accounted = now
        peers[peer]?.newest = newest
    }

    /// Frees a peer whose objects were not sent, because the journal could not be written.
    ///
    /// The peer waits as after a failure. The deliveries are not charged.
    package mutating func postponed(_ peer: String, now: Duration, chance: Double) {
        peers[peer]?.isBusy = false
        wait(for: peer) { $0.delay(failures: $1, chance: chance) + now }
    }

    /// Leaves a delivery alone for an hour, because its outcome could not be recorded.
    package mutating func leave(_ delivery: DeliveryID, to peer: String, now: Duration) {
        peers[peer]?.failed[delivery, default: DeliveryMemory(accounted: now)].notBefore =
            now + Self.rejectionInterval
    }

    private mutating func wait(for peer: String, until time: (Backoff, _ failures: Int) -> Duration) {
        guard var state = peers[peer] else { return }
        state.failures += 1
        state.notBefore = time(backoff, state.failures)
        peers[peer] = state
    }

    private mutating func setback(
        _ delivery: Pending, rejections: Int, reason: String, now: Duration, chance: Double
    ) -> Change {
        let failures = (peers[delivery.peer]?.failed[delivery.id]?.failures ?? 0) + 1
        let change = account(delivery, rejections: rejections, reason: reason, now: now)
        if case .dead = change { return change }
        peers[delivery.peer]?.failed[delivery.id] = DeliveryMemory(
            accounted: now, failures: failures, notBefore: now + backoff.delay(failures: failures, chance: chance))
        return change
    }

    /// The moment up to which the row of a delivery holds the time of attempts.
    private func accounted(_ delivery: Pending, now: Duration) -> Duration {
        guard let state = peers[delivery.peer] else { return now }
        return state.failed[delivery.id]?.accounted ?? (delivery.id <= state.newest ? state.accounted : now)
    }

    /// Adds the time since the last account to the row, and gives up a delivery that has used up its time.
    private mutating func account(_ delivery: Pending, rejections: Int, reason: String, now: Duration) -> Change {
        let spent = now - accounted(delivery, now: now)
        if delivery.tried + spent >= Self.longest {
            return giveUp(delivery, "not delivered in 72 hours: \(reason)")
        }
        if rejections >= Self.rejections {
            return giveUp(delivery, "the peer rejected associations for a day: \(reason)")
        }
        peers[delivery.peer]?.failed[delivery.id]?.accounted = now
        return .pendingAgain(spent: spent, rejections: rejections, reason: reason)
    }

    private mutating func giveUp(_ delivery: Pending, _ reason: String) -> Change {
        peers[delivery.peer]?.failed[delivery.id] = nil
        givenUp.append(delivery.id)
        if givenUp.count > Self.mostGivenUp { givenUp.removeFirst() }
        return .dead(reason: reason)
    }
}
