// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import Persistence

/// The waiting times after which a series counts as complete.
public struct SeriesConfiguration: Sendable, Hashable {
    /// The waiting times of one modality.
    public struct Waiting: Sendable, Hashable {
        /// Seconds without a new instance after which a series closes.
        public var quietSeconds: Int
        /// Seconds after the first instance of a series.
        ///
        /// After this time, an open association does not keep the series open any more.
        public var waitAtMostSeconds: Int

        public init(quietSeconds: Int = 10, waitAtMostSeconds: Int = 900) {
            self.quietSeconds = quietSeconds
            self.waitAtMostSeconds = waitAtMostSeconds
        }
    }

    /// The waiting times of modalities without their own.
    public var waiting: Waiting
    /// Waiting times by Modality (0008,0060), such as `ES`.
    public var perModality: [String: Waiting]

    public init(waiting: Waiting = Waiting(), perModality: [String: Waiting] = [:]) {
        self.waiting = waiting
        self.perModality = perModality
    }

    /// The waiting times of a series.
    ///
    /// An unknown modality gets those of `waiting`.
    public func waiting(modality: String?) -> Waiting { modality.flatMap { perModality[$0] } ?? waiting }
}

/// Decides when series close.
///
/// This value takes events, and returns the actions that are due.
///
/// A series closes when its quiet time has passed since the receipt of its last instance, and
/// - the instances received before that moment that may belong to it have been indexed, or the series has waited long
///   enough for them, and
/// - the associations that brought its instances are over, or the series has waited long enough for them.
///
/// An instance that is not indexed may belong to any series. How long a series waits for it depends on the sender, so
/// that the index work of one sender does not delay the series of all:
/// - the association brought instances of the series: until `waitAtMostSeconds` after the first instance, and at least
///   `patienceForOwn` after the quiet time;
/// - another association of a peer that brought instances of the series: until `waitAtMostSeconds`, and at most
///   `patienceForPeer` after the quiet time;
/// - any other peer, and every instance at least: `notice` after the quiet time.
///
/// An instance that is indexed later opens the next revision, so no wait is needed to keep it.
///
/// All times are readings of one monotonic clock. They do not outlive the process: after a start, the quiet time of
/// every open series begins anew.
package struct SeriesAssembly: Sendable {
    /// The actions that are due.
    package struct Actions: Sendable, Hashable {
        /// Series to close, in the order of their rows.
        package var close: [SeriesID] = []
        /// When to ask again if no event happens before.
        ///
        /// `nil` if only an event can make an action due.
        package var next: Duration?

        package init(close: [SeriesID] = [], next: Duration? = nil) {
            self.close = close
            self.next = next
        }
    }

    private struct Receipt: Sendable {
        var time: Duration
        var association: UUID?
        var sender: SendingPeer?
    }

    /// The receipt of the first instance that is not indexed: of all, of each association and of each peer.
    private struct OldestUnindexed {
        var any: Duration?
        var associations: [UUID: Duration] = [:]
        var senders: [SendingPeer: Duration] = [:]

        init(_ receipts: some Sequence<Receipt>) {
            for receipt in receipts {
                any = min(any ?? receipt.time, receipt.time)
                if let id = receipt.association {
                    associations[id] = min(associations[id] ?? receipt.time, receipt.time)
                }
                if let peer = receipt.sender { senders[peer] = min(senders[peer] ?? receipt.time, receipt.time) }
            }
        }
    }

    private struct WaitingSeries: Sendable {
        var waiting: SeriesConfiguration.Waiting
        var revision: Int
        /// Receipt of the first instance.
        var first: Duration
        /// Receipt of the last instance.
        var last: Duration
        /// The associations that brought its instances.
        var associations: Set<UUID>
        /// The peers that brought its instances.
        var senders: Set<SendingPeer> = []
        /// Whether it was open when the node started, so that any peer may have brought its instances.
        var isFromBefore = false
        /// Failed closings in a row.
        var failures = 0
        /// The time before which the series is not closed again.
        var postponedUntil: Duration?

        /// The end of the quiet time.
        var quietAt: Duration { last + SeriesAssembly.quietTime(waiting, revision: revision) }
        /// The time from which an open association does not keep the series open any more.
        var patientUntil: Duration { first + .seconds(waiting.waitAtMostSeconds) }
    }

    /// The time within which an acknowledged instance is noticed.
    ///
    /// An instance that is noticed within this time after the quiet time may have arrived before its end, so the series
    /// waits for it too.
    private static let notice: Duration = .seconds(2)
    /// How long a series waits for instances of its own associations, whatever `waitAtMostSeconds` says.
    private static let patienceForOwn: Duration = .seconds(60)
    /// How long a series waits at most for instances of other associations of its peers.
    private static let patienceForPeer: Duration = .seconds(30)
    /// The pauses before a failed closing is tried again.
    private static let pause = Backoff(shortest: .seconds(10), longest: .seconds(3600))

    private let configuration: SeriesConfiguration
    private var series: [SeriesID: WaitingSeries] = [:]
    private var unindexed: [InstanceID: Receipt] = [:]

    /// A state without series.
    package init(configuration: SeriesConfiguration) { self.configuration = configuration }

    /// The quiet time of a revision.
    ///
    /// From the third revision on it doubles with each, up to an hour, so that a peer that sends slowly does not cause
    /// one SEG per instance. The second revision may be a correction, which should reach the archive soon.
    package static func quietTime(_ waiting: SeriesConfiguration.Waiting, revision: Int) -> Duration {
        let base = waiting.quietSeconds
        let doubled = base << min(max(0, revision - 2), 12)
        return .seconds(max(base, min(doubled, 3600)))
    }

    /// Adds a series that was open when the node started.
    ///
    /// Its quiet time begins anew.
    package mutating func found(_ id: SeriesID, modality: String?, revision: Int, now: Duration) {
        series[id] = WaitingSeries(
            waiting: configuration.waiting(modality: modality), revision: revision, first: now, last: now,
            associations: [], isFromBefore: true)
    }

    /// Whether the series waits to be closed.
    package func contains(_ id: SeriesID) -> Bool { series[id] != nil }

    /// Adds an instance that was acknowledged, or that was not indexed yet when the node started.
    package mutating func received(
        _ instance: InstanceID, association: UUID?, sender: SendingPeer? = nil, now: Duration
    ) {
        unindexed[instance] = Receipt(time: now, association: association, sender: sender)
    }

    /// Assigns an indexed instance to the open revision of its series.
    package mutating func indexed(
        _ instance: InstanceID, in id: SeriesID, modality: String?, revision: Int, now: Duration
    ) {
        lost(instance, from: id, modality: modality, revision: revision, now: now)
        unindexed[instance] = nil
    }

    /// Counts the receipt of an instance for an open series that the instance has left.
    ///
    /// The other instances of the series may be on their way to the same place.
    package mutating func lost(
        _ instance: InstanceID, from id: SeriesID, modality: String?, revision: Int, now: Duration
    ) {
        let receipt = unindexed[instance] ?? Receipt(time: now)
        var state =
            series[id]
            ?? WaitingSeries(
                waiting: configuration.waiting(modality: modality), revision: revision, first: receipt.time,
                last: receipt.time, associations: [])
        state.revision = revision
        state.first = min(state.first, receipt.time)
        state.last = max(state.last, receipt.time)
        if let association = receipt.association { state.associations.insert(association) }
        if let sender = receipt.sender { state.senders.insert(sender) }
        series[id] = state
    }

    /// Forgets an instance that does not belong to an open series: it is quarantined, not an image, a known variant, or
    /// an object of this node.
    package mutating func settled(_ instance: InstanceID) { unindexed[instance] = nil }

    /// Notes that a series could neither be closed nor set aside.
    ///
    /// It is tried again after a pause that grows to an hour.
    package mutating func postponed(_ id: SeriesID, now: Duration) {
        guard var state = series[id] else { return }
        state.failures += 1
        state.postponedUntil = now + Self.pause.delay(failures: state.failures, chance: 0)
        series[id] = state
    }

    /// Forgets a series that was closed or deleted.
    package mutating func closed(_ id: SeriesID) { series[id] = nil }

    /// The actions that are due.
    ///
    /// - Parameters:
    ///   - now: a reading of the monotonic clock.
    ///   - isAnyOpen: whether any of these associations may still bring instances.
    /// - Returns: the series to close, and when to ask again.
    package func due(now: Duration, isAnyOpen: (Set<UUID>) -> Bool) -> Actions {
        var actions = Actions()
        let oldest = OldestUnindexed(unindexed.values)
        func wake(at time: Duration) { actions.next = min(actions.next ?? time, time) }
        for (id, state) in series {
            if now < state.quietAt {
                wake(at: state.quietAt)
            } else if let until = state.postponedUntil, now < until {
                wake(at: until)
            } else if let until = Self.wait(of: state, for: oldest), now < until {
                wake(at: until)
            } else if now < state.patientUntil, isAnyOpen(state.associations) {
                wake(at: state.patientUntil)
            } else {
                actions.close.append(id)
            }
        }
        actions.close.sort()
        return actions
    }

    /// Until when a quiet series waits for instances that are not indexed; `nil` if it does not wait.
    private static func wait(of state: WaitingSeries, for oldest: OldestUnindexed) -> Duration? {
        let isOfTime = { (receipt: Duration?) in receipt.map { $0 <= state.quietAt + notice } ?? false }
        guard isOfTime(oldest.any) else { return nil }
        if state.associations.contains(where: { isOfTime(oldest.associations[$0]) }) {
            return max(state.patientUntil, state.quietAt + patienceForOwn)
        }
        guard state.isFromBefore || state.senders.contains(where: { isOfTime(oldest.senders[$0]) }) else {
            return state.quietAt + notice
        }
        return max(state.quietAt + notice, min(state.patientUntil, state.quietAt + patienceForPeer))
    }
}
