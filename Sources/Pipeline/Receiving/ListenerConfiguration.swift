// SPDX-License-Identifier: Apache-2.0

public import Associations
public import DICOM
public import Platform

/// The address, the limits and the peers of the listener.
public struct ListenerConfiguration: Sendable, Equatable {
    /// The AE title that callers have to call.
    public var aeTitle: AETitle
    /// TCP port; 0 lets the kernel choose.
    public var port: UInt16
    /// The address to listen on: `0.0.0.0` means every IPv4 address, `::` every address of both families.
    public var bind: IPAddress
    /// Most associations at once.
    ///
    /// Associations that propose only Verification have places of their own.
    public var maxAssociations: Int
    /// Most associations of one peer at once; `nil` for the default of ``AssociationPlaces``.
    public var maxAssociationsPerPeer: Int?
    /// The nodes that may call.
    ///
    /// Other callers are rejected.
    public var peers: [Peer]
    /// How long a peer may take between two requests.
    public var idleLimit: Duration
    /// How the node speaks TLS, to callers and to called peers; `nil` for plain DICOM alone.
    public var tls: TLSSettings?

    public init(
        aeTitle: AETitle, port: UInt16 = 11112, bind: IPAddress = .anyIPv4, maxAssociations: Int = 32,
        maxAssociationsPerPeer: Int? = nil, peers: [Peer] = [], idleLimit: Duration = .seconds(120),
        tls: TLSSettings? = nil
    ) {
        precondition(maxAssociations > 0, "a listener takes at least one association")
        self.aeTitle = aeTitle
        self.port = port
        self.bind = bind
        self.maxAssociations = maxAssociations
        self.maxAssociationsPerPeer = maxAssociationsPerPeer
        self.peers = peers
        self.idleLimit = idleLimit
        self.tls = tls
    }

    /// The places for associations of these peers.
    public var places: AssociationPlaces {
        AssociationPlaces(
            storing: maxAssociations, storingPerPeer: maxAssociationsPerPeer,
            callers: peers.count { !$0.may.isEmpty && ($0.host != nil || !$0.from.isEmpty) })
    }
}

/// The number of associations that may be open at once, in all and of one peer.
public struct AssociationPlaces: Sendable, Equatable {
    /// Associations that may store.
    public let storing: Int
    /// Associations of one peer that may store.
    public let storingPerPeer: Int
    /// Associations that propose only Verification.
    ///
    /// A busy node thus still answers C-ECHO.
    public let verification: Int
    /// Associations of one peer that propose only Verification.
    public let verificationPerPeer: Int
    /// Threads of one peer for requests that are not admitted yet.
    static let negotiatingPerPeer = 8

    /// - Parameters:
    ///   - storing: associations that may store.
    ///   - storingPerPeer: those of one peer. By default half of them, so that one peer cannot take every place; a peer
    ///     that calls alone may take all.
    ///   - callers: number of peers that may call.
    public init(storing: Int, storingPerPeer: Int? = nil, callers: Int = 1) {
        self.storing = storing
        self.storingPerPeer = min(storingPerPeer ?? (callers > 1 ? (storing + 1) / 2 : storing), storing)
        verificationPerPeer = 4
        verification = min(max(callers, 1) * verificationPerPeer, 64)
    }

    /// Threads for handshakes, requests and associations, in all.
    public var threads: Int { storing + verification + HandshakePlaces.all }
    /// Threads for requests and associations of one peer.
    var threadsPerPeer: Int { storingPerPeer + verificationPerPeer + Self.negotiatingPerPeer }
}
