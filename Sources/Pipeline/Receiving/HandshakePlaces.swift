// SPDX-License-Identifier: Apache-2.0

package import Foundation
package import Platform

/// The places for callers of the TLS port that are not known yet, because their handshake or their request is under way.
///
/// Places are bounded in all and for each caller's network, so that silent callers do not take the threads of peers. A
/// caller that finds no place waits. Meanwhile the handshakes of its network have only half a second.
///
/// This type is a value without a clock.
package struct HandshakePlaces: Sendable {
    /// Places in all.
    package static let all = 32
    /// Places of one network.
    package static let perNetwork = 16
    /// The age from which a handshake gives way to callers that wait: several round trips, and far less than the time
    /// that a handshake has if nobody waits.
    package static let patience: Duration = .milliseconds(500)

    private struct Handshake {
        let id: UUID
        let network: [UInt8]
        let since: Duration
        var givesWay = false
    }

    /// Oldest first.
    private var handshakes: [Handshake] = []

    /// No handshake is under way.
    package init() {}

    /// The number of handshakes under way.
    package var count: Int { handshakes.count }

    /// Takes a place, to be released with `release`.
    ///
    /// If there is none, the handshakes of the caller's network give way that are not young, or those of the busiest
    /// network if the caller's network has places left.
    ///
    /// - Parameters:
    ///   - id: the call's id.
    ///   - address: the caller's address.
    ///   - now: a reading of `MonotonicClock`.
    /// - Returns: false if the caller has to wait.
    package mutating func take(_ id: UUID, from address: IPAddress, now: Duration) -> Bool {
        var crowded: [UInt8]?
        if handshakes.count(where: { $0.network == address.network }) >= Self.perNetwork {
            crowded = address.network
        } else if handshakes.count >= Self.all {
            let counts = Dictionary(grouping: handshakes, by: \.network)
            crowded = counts.max { ($0.value.count, $1.value[0].since) < ($1.value.count, $0.value[0].since) }?.key
        }
        guard let crowded else {
            handshakes.append(Handshake(id: id, network: address.network, since: now))
            return true
        }
        for index in handshakes.indices where handshakes[index].network == crowded {
            if now - handshakes[index].since >= Self.patience { handshakes[index].givesWay = true }
        }
        return false
    }

    /// Whether a handshake has to end because other callers wait.
    package func givesWay(_ id: UUID) -> Bool { handshakes.contains { $0.id == id && $0.givesWay } }

    /// Gives a place back.
    package mutating func release(_ id: UUID) { handshakes.removeAll { $0.id == id } }
}
