// SPDX-License-Identifier: Apache-2.0

/// The SOP class and the transfer syntax of one presentation context.
public struct SOPClassAndSyntax: Hashable, Sendable {
    /// SOP Class UID.
    public var sopClassUID: String
    /// Transfer Syntax UID.
    public var transferSyntaxUID: String

    public init(sopClassUID: String, transferSyntaxUID: String) {
        self.sopClassUID = sopClassUID
        self.transferSyntaxUID = transferSyntaxUID
    }

    /// The same class in Implicit VR Little Endian; `nil` unless this syntax is Explicit VR Little Endian.
    package var implicit: SOPClassAndSyntax? {
        guard transferSyntaxUID == TransferSyntax.explicitVRLittleEndian.rawValue else { return nil }
        return SOPClassAndSyntax(
            sopClassUID: sopClassUID, transferSyntaxUID: TransferSyntax.implicitVRLittleEndian.rawValue)
    }
}

/// The times that a called peer may take.
public struct AssociationLimits: Sendable, Equatable {
    /// For the TCP connection to each address of the peer.
    public var connect: Duration
    /// From A-ASSOCIATE-RQ to its answer.
    public var negotiation: Duration
    /// From the last byte of a request to its response.
    public var response: Duration

    public init(
        connect: Duration = .seconds(10), negotiation: Duration = .seconds(30), response: Duration = .seconds(120)
    ) {
        self.connect = connect
        self.negotiation = negotiation
        self.response = response
    }
}
