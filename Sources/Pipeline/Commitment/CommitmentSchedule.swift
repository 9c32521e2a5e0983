// SPDX-License-Identifier: Apache-2.0

/// Decides when the node calls a peer for storage commitment.
///
/// A peer is called once at a time. Deliveries are gathered for a moment, so that one request is about many. After a
/// failure the peer is left alone for a while. This type is a value; times are readings of the monotonic clock.
package struct CommitmentSchedule: Sendable {
    private struct PeerState: Sendable {
        var isBusy = false
        /// When the first of the deliveries that wait now was seen.
        var gatheringSince: Duration?
        var failures = 0
        var notBefore: Duration = .zero
    }

    /// Whether a peer may be called.
    package enum Turn: Sendable, Hashable {
        case now
        case busy
        case waits(until: Duration)
    }

    private let backoff: Backoff
    private let gathering: Duration
    private var peers: [String: PeerState] = [:]

    /// - Parameters:
    ///   - backoff: the waits after a peer could not be reached.
    ///   - gathering: how long work for one peer is gathered.
    package init(backoff: Backoff, gathering: Duration = .zero) {
        self.backoff = backoff
        self.gathering = gathering
    }

    /// Whether a peer for which work waits may be called now; if so, it is busy until `ended`.
    ///
    /// - Parameters:
    ///   - peer: name of the peer.
    ///   - isFull: whether more work does not have to be waited for.
    ///   - now: a reading of the monotonic clock.
    /// - Returns: the turn of the peer.
    package mutating func turn(of peer: String, isFull: Bool, now: Duration) -> Turn {
        var state = peers[peer] ?? PeerState()
        defer { peers[peer] = state }
        if state.isBusy { return .busy }
        if state.notBefore > now { return .waits(until: state.notBefore) }
        let since = state.gatheringSince ?? now
        state.gatheringSince = since
        if !isFull, since + gathering > now { return .waits(until: since + gathering) }
        state.isBusy = true
        state.gatheringSince = nil
        return .now
    }

    /// Notes that a peer has called the node, so that it may be reached again.
    package mutating func called(by peer: String) { peers[peer]?.notBefore = .zero }

    /// Notes the end of a call.
    ///
    /// - Parameters:
    ///   - peer: name of the peer.
    ///   - isReached: whether the peer was reached, or the node stopped.
    ///   - now: a reading of the monotonic clock.
    ///   - chance: a random number, `0..<1`.
    package mutating func ended(_ peer: String, isReached: Bool, now: Duration, chance: Double) {
        var state = peers[peer] ?? PeerState()
        state.isBusy = false
        state.failures = isReached ? 0 : state.failures + 1
        state.notBefore = isReached ? .zero : now + backoff.delay(failures: state.failures, chance: chance)
        peers[peer] = state
    }
}
