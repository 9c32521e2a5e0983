// SPDX-License-Identifier: Apache-2.0

public import Platform

/// Finds the configured peer for a caller's AE title and address.
public struct PeerDirectory: Sendable {
    /// The result of a search.
    public enum Found: Sendable, Equatable {
        case peer(Peer)
        /// The caller is not a configured peer, or calls from another address.
        case stranger
        /// A peer of this AE title has a host name, and the resolver has not answered for it yet.
        case notKnownYet
    }

    private let peers: [Peer]
    private let resolver: HostResolver

    /// - Parameters:
    ///   - peers: the configured peers, in order: the first one that fits a caller is found.
    ///   - resolver: knows the addresses of host names.
    public init(_ peers: [Peer], resolver: HostResolver = .shared) {
        self.peers = peers
        self.resolver = resolver
    }

    /// Finds the first peer with this AE title that may use a service and may call from this address.
    ///
    /// The call never waits for the resolver.
    public func peer(calling title: AETitle, from address: IPAddress) -> Found {
        var isComplete = true
        for peer in peers where peer.aeTitle == title && !peer.may.isEmpty {
            guard let blocks = blocks(of: peer) else {
                isComplete = false
                continue
            }
            if blocks.contains(where: { $0.contains(address) }) { return .peer(peer) }
        }
        return isComplete ? .stranger : .notKnownYet
    }

    /// Asks the resolver for the host names of all peers that may call, so that the first caller does not wait.
    public func prepare() {
        for peer in peers where !peer.may.isEmpty { _ = blocks(of: peer) }
    }

    /// The addresses from which a peer may call; `nil` if they are not known yet.
    private func blocks(of peer: Peer) -> [AddressBlock]? {
        guard peer.from.isEmpty else { return peer.from }
        guard let host = peer.host else { return [] }
        return resolver.known(host)?.map(AddressBlock.init)
    }
}
