// SPDX-License-Identifier: Apache-2.0

public import Platform

/// Finds the configured peer for a caller's AE title, address and certificate.
public struct PeerDirectory: Sendable {
    /// The result of a search.
    public enum Found: Sendable, Equatable {
        case peer(Peer)
        /// The caller is not a configured peer, or calls from another address.
        case stranger
        /// A peer has this AE title and may call from this address, but the caller is not that peer.
        case refused(CertificateRefusal)
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

    /// Finds the first peer with this AE title that may use a service, may call from this address, and is the caller by
    /// its certificate.
    ///
    /// The call never waits for the resolver.
    public func peer(calling title: AETitle, from address: IPAddress, over security: CallSecurity) -> Found {
        var isComplete = true
        var refusal: CertificateRefusal?
        for peer in peers where peer.aeTitle == title && !peer.may.isEmpty {
            guard let blocks = blocks(of: peer) else {
                isComplete = false
                continue
            }
            guard blocks.contains(where: { $0.contains(address) }) else { continue }
            guard let found = peer.refusal(of: security) else { return .peer(peer) }
            refusal = refusal ?? found
        }
        guard isComplete else { return .notKnownYet }
        return refusal.map { .refused($0) } ?? .stranger
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
