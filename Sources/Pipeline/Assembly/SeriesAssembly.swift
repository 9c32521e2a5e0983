// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import Persistence

/// Decides when series close: a value that is told what happened and says what to do.
///
/// A series closes when its quiet time has passed since the receipt of its last instance and
/// - every instance received before that moment has been indexed: until then it may belong to the series; and
/// - no association that brought an instance of it is open, or it has waited long enough for those.
///
/// All times are readings of one monotonic clock, of any origin: the wall clock is never asked. They do not outlive the
/// process; after a start every open series waits anew.
package struct SeriesAssembly: Sendable {
    /// What the caller shall do now.
    package struct Actions: Sendable, Hashable {
        /// Series to close, in the order of their rows.
        package var close: [SeriesID] = []
        /// When to ask again at the latest, unless something happens before; `nil` when only an event can change things.
        package var next: Duration?

        package init(close: [SeriesID] = [], next: Duration? = nil) {
            self.close = close
            self.next = next
        }
    }

    private struct Receipt: Sendable {
        var time: Duration
        var association: UUID?
    }

    private struct OpenSeries: Sendable {
        var waiting: SeriesConfiguration.Waiting
        var revision: Int
        var first: Duration
        var last: Duration
        var associations: Set<UUID>

        /// When it would close if nothing kept it open.
        var quietAt: Duration { last + SeriesAssembly.quietTime(waiting, revision: revision) }
        /// From when on an open association no longer counts.
        var patientUntil: Duration { first + .seconds(waiting.waitAtMostSeconds) }
    }

    /// Instances are noticed a moment after they were acknowledged: one noticed within this time after the quiet time may
    /// have come before its end, so it is waited for too.
    private static let notice: Duration = .seconds(2)

    private let configuration: SeriesConfiguration
    private var series: [SeriesID: OpenSeries] = [:]
    private var unindexed: [InstanceID: Receipt] = [:]

    package init(configuration: SeriesConfiguration) { self.configuration = configuration }

    /// Doubles with each revision, up to an hour: a source that trickles shall not have a SEG made for every instance.
    package static func quietTime(_ waiting: SeriesConfiguration.Waiting, revision: Int) -> Duration {
        let base = waiting.quietSeconds
        let doubled = base << min(max(0, revision - 1), 12)
        return .seconds(max(base, min(doubled, 3600)))
    }

    /// A series that was open when the node started: it waits anew.
    package mutating func found(_ id: SeriesID, modality: String?, revision: Int, now: Duration) {
        series[id] = OpenSeries(
            waiting: configuration.waiting(modality: modality), revision: revision, first: now, last: now,
            associations: [])
    }

    /// An instance has been received and acknowledged, or was found not indexed when the node started.
    package mutating func received(_ instance: InstanceID, association: UUID?, now: Duration) {
        unindexed[instance] = Receipt(time: now, association: association)
    }

    /// An instance has been indexed and belongs to this revision of a series, which is open.
    package mutating func indexed(
        _ instance: InstanceID, in id: SeriesID, modality: String?, revision: Int, now: Duration
    ) {
        let receipt = unindexed.removeValue(forKey: instance) ?? Receipt(time: now, association: nil)
        var state =
            series[id]
            ?? OpenSeries(
                waiting: configuration.waiting(modality: modality), revision: revision, first: receipt.time,
                last: receipt.time, associations: [])
        state.revision = revision
        state.first = min(state.first, receipt.time)
        state.last = max(state.last, receipt.time)
        if let association = receipt.association { state.associations.insert(association) }
        series[id] = state
    }

    /// An instance has been looked at and belongs to no open series: quarantined, no image, our own, a known variant.
    package mutating func settled(_ instance: InstanceID) { unindexed[instance] = nil }

    /// A series has been closed, or is not there any more.
    package mutating func closed(_ id: SeriesID) { series[id] = nil }

    /// What to do at `now`.
    ///
    /// - Parameter isAnyOpen: whether any of these associations may still bring instances.
    package func due(now: Duration, isAnyOpen: (Set<UUID>) -> Bool) -> Actions {
        var actions = Actions()
        let oldestUnindexed = unindexed.values.map(\.time).min()
        func wake(at time: Duration) { actions.next = min(actions.next ?? time, time) }
        for (id, state) in series {
            if now < state.quietAt {
                wake(at: state.quietAt)
            } else if let oldestUnindexed, oldestUnindexed <= state.quietAt + Self.notice {
                continue
            } else if now < state.patientUntil, isAnyOpen(state.associations) {
                wake(at: state.patientUntil)
            } else {
                actions.close.append(id)
            }
        }
        actions.close.sort()
        return actions
    }
}
