// SPDX-License-Identifier: Apache-2.0

public import DICOM
public import Platform

/// Requests associations of peers.
///
/// Every call blocks, and belongs on a dedicated thread.
public struct AssociationRequestor: Sendable {
    /// The node's own AE title.
    public let aeTitle: AETitle
    /// The times that peers may take.
    public let limits: AssociationLimits
    private let senders: SenderPool
    private let resolver: HostResolver

    /// - Parameters:
    ///   - aeTitle: the node's own AE title.
    ///   - limits: the times that peers may take.
    ///   - senders: the processes that speak with the peers.
    ///   - resolver: finds the addresses of peers with a host name.
    public init(
        aeTitle: AETitle, limits: AssociationLimits = AssociationLimits(), senders: SenderPool,
        resolver: HostResolver = .shared
    ) {
        self.aeTitle = aeTitle
        self.limits = limits
        self.senders = senders
        self.resolver = resolver
    }

    /// Calls a peer and negotiates presentation contexts.
    ///
    /// - Parameters:
    ///   - peer: has a host and a port; otherwise the call throws `notConnected`.
    ///   - contexts: 1 to 128. If the peer does not accept a context, the first call that needs it throws.
    ///   - interruption: lets another thread end the association.
    /// - Returns: the association, which belongs to the calling thread.
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted`, `connectionLost`, or `wrongCertificate` if another
    ///   one answers in the place of the peer.
    public func connect(
        to peer: Peer, contexts: [ContextProposal], interruption: Interruption = Interruption()
    ) throws(AssociationError) -> RequestedAssociation {
        let connection = try connection(to: peer, interruption)
        return try RequestedAssociation(
            over: connection, calling: aeTitle, peer: peer, proposals: contexts, limits: limits, pool: senders,
            interruption: interruption)
    }

    /// Verifies a peer with C-ECHO over an association of its own.
    ///
    /// - Returns: the status of the C-ECHO response.
    /// - Throws: as `connect`, and `noPresentationContext` if the peer does not accept Verification.
    public func echo(
        _ peer: Peer, interruption: Interruption = Interruption()
    ) throws(AssociationError) -> DIMSEStatus {
        let association = try connect(to: peer, contexts: [.verification], interruption: interruption)
        defer { association.release() }
        return try association.echo()
    }

    private func connection(to peer: Peer, _ interruption: Interruption) throws(AssociationError) -> StreamSocket {
        guard let host = peer.host, let port = peer.port else {
            throw .notConnected(host: peer.name, port: 0, reason: "the peer has no host and port to call")
        }
        let addresses: [IPAddress]
        switch resolver.addresses(of: host, within: limits.connect, isStopped: { interruption.isStopped }) {
        case .addresses(let found): addresses = found
        case .unknownName: throw .notConnected(host: host, port: port, reason: "the name is not known")
        case .noAnswer:
            throw .notConnected(host: host, port: port, reason: "the resolver did not answer for the name")
        }
        do throws(SystemCallError) {
            return try StreamSocket(
                connectingTo: addresses, port: port, within: limits.connect, isStopped: { interruption.isStopped })
        } catch {
            throw .notConnected(host: host, port: port, reason: error.reason)
        }
    }
}

extension ContextProposal {
    /// Proposals for storing: each pair on its own, so that the answer says for each pair whether the peer takes it.
    ///
    /// Implicit VR Little Endian is proposed too for each class in Explicit VR Little Endian, because every peer has to
    /// take it (PS3.5 10.1).
    ///
    /// - Parameters:
    ///   - contexts: the pairs that will be sent, the most urgent first.
    ///   - most: an association has 128 contexts at most. Pairs beyond this number are left out.
    /// - Returns: at most that number of proposals.
    public static func storage(_ contexts: [SOPClassAndSyntax], most: Int = 128) -> [ContextProposal] {
        var proposals: [SOPClassAndSyntax] = []
        for context in contexts where !proposals.contains(context) && proposals.count < most {
            proposals.append(context)
        }
        for fallback in proposals.compactMap(\.implicit) where !proposals.contains(fallback) && proposals.count < most {
            proposals.append(fallback)
        }
        return proposals.map { ContextProposal($0) }
    }
}
