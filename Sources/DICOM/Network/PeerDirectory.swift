// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tells who calls, by AE title and address. Whoever is not named is nobody.
public final class PeerDirectory: Sendable {
    private struct Resolved {
        var addresses: [IPAddress]
        var until: SuspendingClock.Instant
    }

    private let peers: [Peer]
    /// What the host names of peers stood for, so that not every call asks the resolver.
    private let resolved = Mutex<[String: Resolved]>([:])

    public init(_ peers: [Peer]) {
        self.peers = peers
    }

    /// The first peer with this AE title that may do anything and may call from this address.
    ///
    /// May block on the resolver, for peers that are given by a host name and call with the right AE title.
    public func peer(calling title: AETitle, from address: IPAddress) -> Peer? {
        peers.first { $0.aeTitle == title && !$0.may.isEmpty && blocks(of: $0).contains { $0.contains(address) } }
    }

    private func blocks(of peer: Peer) -> [AddressBlock] {
        guard peer.from.isEmpty else { return peer.from }
        guard let host = peer.host else { return [] }
        if let literal = IPAddress(host) { return [AddressBlock(literal)] }
        let now = SuspendingClock.now
        if let known = resolved.withLock({ $0[host] }), now < known.until {
            return known.addresses.map(AddressBlock.init)
        }
        let addresses = IPAddress.resolve(host)
        // A failure is kept for a moment only: the resolver may come up after the node.
        let entry = Resolved(addresses: addresses, until: now + (addresses.isEmpty ? .seconds(5) : .seconds(60)))
        resolved.withLock { $0[host] = entry }
        return addresses.map(AddressBlock.init)
    }
}
