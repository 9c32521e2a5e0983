// SPDX-License-Identifier: Apache-2.0

package import Platform

/// Judges whether a peer takes and answers a request fast enough, from what the connection has moved.
///
/// While bytes are on their way, the peer has to take 1 KiB per second, on average over 30 seconds. From then on, it has
/// the time of a response. This type is a value: the caller looks at the connection and passes the time in.
package struct PeerPatience: Sendable {
    private let response: Duration
    /// When the peer last acknowledged bytes, or the request began.
    private var movedAt: Duration
    /// The window over which the rate is measured: its begin, and the bytes acknowledged by then.
    private var window: (begin: Duration, acknowledged: UInt64)
    private var acknowledged: UInt64

    /// - Parameters:
    ///   - response: the time from the last byte of the request to the response.
    ///   - counts: what the connection has moved before the request.
    ///   - now: a reading of the monotonic clock.
    package init(response: Duration, counts: TransferCounts, now: Duration) {
        self.response = response
        movedAt = now
        acknowledged = counts.acknowledged
        window = (now, counts.acknowledged)
    }

    /// Looks at the connection.
    ///
    /// - Returns: the event that the peer did not bring about in its time; `nil` if the peer has time left.
    package mutating func judge(_ counts: TransferCounts, now: Duration) -> String? {
        if counts.acknowledged != acknowledged {
            acknowledged = counts.acknowledged
            movedAt = now
        }
        guard counts.queued > 0 else {
            window = (now, counts.acknowledged)
            return now - movedAt > response ? "a response" : nil
        }
        guard now - window.begin >= PeerPace.window else { return nil }
        let least = UInt64(PeerPace.minimumRate) * UInt64(PeerPace.window.components.seconds)
        if counts.acknowledged < window.acknowledged + least { return "the peer to read a request" }
        window = (now, counts.acknowledged)
        return nil
    }
}
