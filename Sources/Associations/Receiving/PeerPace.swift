// SPDX-License-Identifier: Apache-2.0

import Platform

/// Judges whether a peer sends its requests fast enough, from what its connection has received.
///
/// A peer has `idleLimit` until its next request begins. From then on it has to send 1 KiB per second, on average over
/// 30 seconds. Bytes that wait unread are not the peer's fault, but the receiver's. This type is a value: the caller
/// looks at the connection, and passes the time in.
package struct PeerPace: Sendable, Equatable {
    /// What a look at the connection found.
    package struct Look: Sendable, Equatable {
        /// Bytes that came from the peer so far.
        package var received: UInt64
        /// Bytes that wait for the receiver.
        package var unread: Int

        package init(received: UInt64, unread: Int) {
            self.received = received
            self.unread = unread
        }
    }

    /// The end of the patience.
    package enum Verdict: Sendable, Equatable {
        /// The peer did not bring the event about in its time.
        case tooSlow(waitingFor: String)
        /// The receiver does not read what the peer has sent.
        case receiverHangs
    }

    /// The bytes per second that a peer has to send in the middle of a transfer, on average over a ``window``.
    package static let minimumRate = 1024
    /// The time over which the rate is measured.
    package static let window: Duration = .seconds(30)
    /// How long a receiver may leave bytes unread.
    package static let readLimit: Duration = .seconds(120)

    private let transfer: String
    /// The time until the next request begins; `nil` once it has begun.
    private var idleLimit: Duration?
    /// The begin of the wait or of the window, and the bytes received by then.
    private var begin: (time: Duration, received: UInt64)
    /// The last look that differs from the one before.
    private var last: (time: Duration, look: Look)

    /// - Parameters:
    ///   - idleLimit: the time until the next request begins; `nil` if the transfer has begun.
    ///   - transfer: the name of the transfer in errors.
    ///   - look: the state of the connection now.
    ///   - now: a reading of the monotonic clock.
    package init(idleLimit: Duration?, transfer: String, look: Look, now: Duration) {
        self.idleLimit = idleLimit
        self.transfer = transfer
        begin = (now, look.received)
        last = (now, look)
    }

    /// Judges the peer after a look at the connection.
    ///
    /// - Returns: `nil` if the peer and the receiver have time left.
    package mutating func judge(_ look: Look, now: Duration) -> Verdict? {
        if look != last.look { last = (now, look) }
        if look.unread > 0 {
            // The peer has done its part; its time goes on when everything is read.
            begin = (now, look.received)
            return now - last.time > Self.readLimit ? .receiverHangs : nil
        }
        if let limit = idleLimit {
            if look.received == begin.received {
                return now - begin.time > limit ? .tooSlow(waitingFor: "a request") : nil
            }
            idleLimit = nil
            begin.time = now
        }
        guard now - begin.time >= Self.window else { return nil }
        let least = UInt64(Self.minimumRate) * UInt64(Self.window.components.seconds)
        if look.received < begin.received + least { return .tooSlow(waitingFor: transfer) }
        begin = (now, look.received)
        return nil
    }

    package static func == (one: PeerPace, other: PeerPace) -> Bool {
        one.transfer == other.transfer && one.idleLimit == other.idleLimit && one.begin == other.begin
            && one.last == other.last
    }
}
