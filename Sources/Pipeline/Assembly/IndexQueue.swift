// SPDX-License-Identifier: Apache-2.0
//
// Start-time fair queueing (Goyal, Vin and Cheng 1996) with two levels: peers, and the associations of each peer.

import Foundation
package import Persistence
package import Supervision

/// The peer that sent an instance: its AE title and its IP address.
package struct SendingPeer: Sendable, Hashable {
    /// AE title of the peer.
    package var aeTitle: String
    /// IP address of the peer.
    package var address: String

    package init(aeTitle: String, address: String) {
        self.aeTitle = aeTitle
        self.address = address
    }
}

extension ReceivedInstance {
    /// The peer that sent the instance.
    package var sender: SendingPeer { SendingPeer(aeTitle: callingAETitle, address: peerAddress) }
}

/// The instances that wait for an index worker, in an order that is fair to every peer.
///
/// The peer that has used the least time of the workers is served next, and within the peer the association that has
/// used the least. The instances of one association keep the order of receipt, one at a time. A peer has one instance
/// with the workers; if that takes longer than `slow`, the peer gets another place, but never the last one. A file that
/// kills or overruns its worker costs its peer more than its time, and more each time, so the next turn of that peer
/// comes after everybody else's.
///
/// This value takes events and readings of one monotonic clock.
package struct IndexQueue: Sendable {
    /// An instance that a worker is given.
    package struct Turn: Sendable {
        package let instance: ReceivedInstance
        /// How earlier attempts to read the instance failed.
        package var failures: IndexFailures
        let started: Duration
    }

    /// The end of a turn.
    package enum Ending: Sendable {
        /// The worker answered.
        case answered
        /// The instance killed or overran its worker, and is not tried again.
        case givenUp
        /// The instance has to be tried again after a pause.
        case failed(IndexFailures)
        /// The node gave the turn up: the instance is the first of its association again.
        case interrupted
    }

    /// The time after which an instance that is being read counts as slow.
    package static let slow: Duration = .seconds(1)
    /// The charge for a worker that was killed or overrun.
    ///
    /// It doubles with each further one, up to `mostPenalty`.
    private static let penalty: Duration = .seconds(1)
    private static let mostPenalty: Duration = .seconds(64)
    /// The pause before an instance is tried again.
    ///
    /// It doubles with each failure, up to `mostPause`.
    private static let pause: Duration = .milliseconds(100)
    private static let mostPause: Duration = .seconds(5)
    /// Idle associations of one peer that are remembered at most, with the time that they used.
    private static let remembered = 64

    /// A place in the order of a peer: the time used, and the instance that waits first.
    private struct Place: Sendable {
        var used: Duration
        var first: InstanceID
        var association: UUID?

        func isBefore(_ other: Place) -> Bool { (used, first) < (other.used, other.first) }
    }

    private struct Association: Sendable {
        var waiting: ArraySlice<ReceivedInstance> = []
        /// An instance that is tried again, before the others.
        var again: (instance: ReceivedInstance, failures: IndexFailures)?
        /// Until when `again` pauses.
        var pausedUntil: Duration?
        /// The time used, on the scale of its peer.
        var used: Duration
        /// Whether it has a place in the order, or an instance with a worker.
        var isActive = false

        var first: InstanceID? { again?.instance.id ?? waiting.first?.id }
    }

    private struct Peer: Sendable {
        var associations: [UUID?: Association] = [:]
        /// The associations that may be served, the next one last.
        var order: [Place] = []
        /// Since when its instances are being read, by association.
        var reading: [UUID?: Duration] = [:]
        /// Associations whose next attempt pauses.
        var paused: Set<UUID?> = []
        /// The time used, on the scale of the queue.
        var used: Duration
        /// The time used by the association that was served last.
        var clock: Duration = .zero
        /// Workers that were killed or overrun lately; each answer takes one off.
        var lost = 0

        var isIdle: Bool { order.isEmpty && reading.isEmpty && paused.isEmpty }
    }

    private let places: Int
    private var peers: [SendingPeer: Peer] = [:]
    /// The time used by the peer that was served last.
    private var clock: Duration = .zero
    /// The number of instances that wait, without those that are being read.
    package private(set) var count = 0

    /// - Parameter places: the number of instances that can be read at once.
    package init(places: Int) { self.places = places }

    // MARK: Events

    /// Adds an instance at the end of its association.
    package mutating func add(_ instance: ReceivedInstance) {
        // Out of the dictionary while it changes: a second owner of its lists would mean copies of them.
        var peer = peers.removeValue(forKey: instance.sender) ?? Peer(used: clock)
        if peer.isIdle { peer.used = max(peer.used, clock) }
        let unknown = Association(used: peer.clock)
        peer.associations[instance.association, default: unknown].waiting.append(instance)
        Self.enroll(instance.association, in: &peer)
        peers[instance.sender] = peer
        count += 1
    }

    /// Takes the instance that is read next.
    ///
    /// - Returns: `nil` if none may be read now. `ended` must follow for any other result.
    package mutating func next(now: Duration) -> Turn? {
        resume(now: now)
        // Only values are kept: a second owner of a peer's lists would mean copies of them.
        var chosen: (key: SendingPeer, used: Duration, first: InstanceID)?
        for (key, peer) in peers where mayStart(peer, now: now) {
            guard let first = peer.order.last?.first else { continue }
            if let best = chosen, (best.used, best.first) < (peer.used, first) { continue }
            chosen = (key, peer.used, first)
        }
        return chosen.flatMap { take(of: $0.key, now: now) }
    }

    /// Ends a turn.
    package mutating func ended(_ turn: Turn, _ ending: Ending, now: Duration) {
        let instance = turn.instance
        guard var peer = peers.removeValue(forKey: instance.sender) else { return }
        defer { peers[instance.sender] = peer }
        guard var association = peer.associations[instance.association] else { return }
        var cost = now - turn.started
        switch ending {
        case .answered: peer.lost = max(0, peer.lost - 1)
        case .interrupted: break
        case .givenUp, .failed:
            cost += min(Self.mostPenalty, Self.penalty * (1 << min(peer.lost, 6)))
            peer.lost += 1
        }
        peer.used += cost
        association.used += cost
        association.isActive = false
        switch ending {
        case .answered, .givenUp: break
        case .failed(let failures):
            association.again = (instance, failures)
            association.pausedUntil = now + min(Self.mostPause, Self.pause * (1 << min(failures.count - 1, 6)))
            peer.paused.insert(instance.association)
            count += 1
        case .interrupted:
            association.again = (instance, turn.failures)
            count += 1
        }
        peer.reading[instance.association] = nil
        peer.associations[instance.association] = association
        Self.enroll(instance.association, in: &peer)
        Self.forgetIdle(in: &peer)
    }

    /// When `next` may return an instance although no event happens; `nil` if only an event can make that so.
    package func nextChange(after now: Duration) -> Duration? {
        guard count > 0 else { return nil }
        let pauses = peers.values.flatMap { peer in peer.paused.compactMap { peer.associations[$0]?.pausedUntil } }
        // An instance that is being read now, or is given to a worker in a moment, may turn out to be slow.
        return (pauses + [now + Self.slow]).min()
    }

    // MARK: Order

    private func mayStart(_ peer: Peer, now: Duration) -> Bool {
        peer.reading.isEmpty
            || peer.reading.count < places - 1 && peer.reading.values.allSatisfy { now - $0 >= Self.slow }
    }

    private mutating func take(of key: SendingPeer, now: Duration) -> Turn? {
        guard var peer = peers.removeValue(forKey: key) else { return nil }
        defer { peers[key] = peer }
        guard let place = peer.order.popLast(),
            var association = peer.associations.removeValue(forKey: place.association)
        else { return nil }
        let turn: Turn
        if let again = association.again {
            turn = Turn(instance: again.instance, failures: again.failures, started: now)
            association.again = nil
        } else if let instance = association.waiting.popFirst() {
            turn = Turn(instance: instance, failures: IndexFailures(), started: now)
        } else {
            return nil
        }
        clock = max(clock, peer.used)
        peer.clock = max(peer.clock, place.used)
        peer.reading[place.association] = now
        peer.associations[place.association] = association
        count -= 1
        return turn
    }

    /// Gives an association a place in the order of its peer, unless it has one, pauses or has nothing to read.
    private static func enroll(_ id: UUID?, in peer: inout Peer) {
        guard var association = peer.associations[id], !association.isActive, association.pausedUntil == nil,
            let first = association.first
        else { return }
        // An association that was idle does not save its time for later.
        association.used = max(association.used, peer.clock)
        association.isActive = true
        let place = Place(used: association.used, first: first, association: id)
        var (low, high) = (0, peer.order.count)
        while low < high {
            let middle = (low + high) / 2
            if peer.order[middle].isBefore(place) { high = middle } else { low = middle + 1 }
        }
        peer.order.insert(place, at: low)
        peer.associations[id] = association
    }

    /// Gives the associations whose pause is over their places again.
    private mutating func resume(now: Duration) {
        for (key, var peer) in peers where !peer.paused.isEmpty {
            for id in peer.paused where peer.associations[id]?.pausedUntil ?? now <= now {
                peer.paused.remove(id)
                peer.associations[id]?.pausedUntil = nil
                Self.enroll(id, in: &peer)
            }
            peers[key] = peer
        }
    }

    /// Forgets associations without instances, first those that used no more time than the others.
    private static func forgetIdle(in peer: inout Peer) {
        guard peer.associations.count > peer.order.count + peer.reading.count + peer.paused.count + remembered else {
            return
        }
        let idle = peer.associations.filter { !$0.value.isActive && $0.value.pausedUntil == nil }
        let settled = idle.filter { $0.value.used <= peer.clock }
        for id in (settled.isEmpty ? idle : settled).keys { peer.associations[id] = nil }
    }
}

/// How the attempts to read one instance failed.
package struct IndexFailures: Sendable, Hashable {
    /// Failures that are the file's fault or nobody's, after which the instance is given up.
    private static let most = 3
    /// Deaths of workers that another process killed, after which the instance is given up.
    ///
    /// The file is rarely the cause of such a death.
    private static let mostFromOutside = 20

    private var others = 0
    private var fromOutside = 0
    private var last: WorkerDeath?
    /// The failures so far.
    package var count: Int { others + fromOutside }

    package init() {}

    /// Adds the death of a worker.
    ///
    /// - Returns: whether the instance is given up: at once if the worker trapped, because the same bytes trap again,
    ///   and after two equal deaths in a row, unless they may come from outside.
    package mutating func add(_ death: WorkerDeath) -> Bool {
        defer { last = death }
        if death.isFromOutside {
            fromOutside += 1
            return fromOutside >= Self.mostFromOutside
        }
        others += 1
        return death.isTrap || death == last && !death.mayBeTheDisk || others >= Self.most
    }

    /// Adds an overrun, or an attempt that could not open the file.
    ///
    /// - Returns: whether the instance is given up.
    package mutating func addAnother() -> Bool {
        last = nil
        others += 1
        return others >= Self.most
    }
}
