// SPDX-License-Identifier: Apache-2.0

/// An association that could not be made, or that ended without a release.
public enum AssociationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The peer cannot be reached: its name is unknown, it does not listen, or the network refuses.
    case notConnected(host: String, port: UInt16, reason: String)
    /// One side answered with A-ASSOCIATE-RJ (PS3.8 9.3.4).
    case rejected(AssociationRejection)
    /// One side sent A-ABORT (PS3.8 9.3.8).
    case aborted(AssociationAbort)
    /// The connection broke without an A-ABORT.
    case connectionLost(reason: String)
    /// The certificate of the called peer belongs to somebody else.
    case wrongCertificate
    /// The peer did not act within its time. The text names the event for which the node waited.
    case timeout(waitingFor: String)
    /// The peer did not accept a presentation context for this SOP class and transfer syntax. The association goes on.
    case noPresentationContext(sopClassUID: String, transferSyntaxUID: String)
    /// The file to send cannot be read, or is not a Part 10 file. The association goes on.
    case unreadableFile(reason: String)

    public var description: String {
        switch self {
        case .notConnected(let host, let port, let reason):
            "could not connect to \(host):\(port): \(reason)"
        case .rejected(let rejection):
            "the peer rejected the association: \(rejection)"
        case .aborted(let abort):
            "the association was aborted: \(abort)"
        case .connectionLost(let reason):
            "the connection was lost: \(reason)"
        case .wrongCertificate:
            "the peer shows another certificate than 'certificate' of its configuration names"
        case .timeout(let waitingFor):
            "the peer did not answer in time: waiting for \(waitingFor)"
        case .noPresentationContext(let sopClassUID, let transferSyntaxUID):
            "the peer does not take \(SOPClass.name(sopClassUID)) in \(Self.offered(transferSyntaxUID)); let it take this "
                + "class, or do not send it such objects"
        case .unreadableFile(let reason):
            "could not send the file: \(reason)"
        }
    }
}

extension AssociationError {
    /// The transfer syntaxes in which an object of one syntax is offered.
    private static func offered(_ transferSyntaxUID: String) -> String {
        let implicit = TransferSyntax.implicitVRLittleEndian.rawValue
        guard transferSyntaxUID == TransferSyntax.explicitVRLittleEndian.rawValue else {
            return "transfer syntax \(transferSyntaxUID)"
        }
        return "transfer syntax \(transferSyntaxUID) or \(implicit)"
    }
}

/// The three fields of A-ASSOCIATE-RJ (PS3.8 table 9-21).
public struct AssociationRejection: Error, Sendable, Equatable, CustomStringConvertible {
    /// 1 permanent, 2 transient.
    public let result: UInt8
    /// 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    public let source: UInt8
    /// The meaning depends on the source.
    public let reason: UInt8

    public init(result: UInt8, source: UInt8, reason: UInt8) {
        self.result = result
        self.source = source
        self.reason = reason
    }

    /// Whether the same request may succeed later.
    public var isTransient: Bool { result == 2 }

    /// 1/1/2: the application context is not DICOM's.
    public static let applicationContextNameNotSupported = AssociationRejection(result: 1, source: 1, reason: 2)
    /// 1/1/3: the caller is not a configured peer, or calls from another address.
    public static let callingAETitleNotRecognized = AssociationRejection(result: 1, source: 1, reason: 3)
    /// 1/1/7: the peer called another AE title than the node's.
    public static let calledAETitleNotRecognized = AssociationRejection(result: 1, source: 1, reason: 7)
    /// 1/2/2: the protocol version is not 1.
    public static let protocolVersionNotSupported = AssociationRejection(result: 1, source: 2, reason: 2)
    /// 2/3/2: too many associations, or not enough disk space for another one.
    ///
    /// The peer may try again later.
    public static let localLimitExceeded = AssociationRejection(result: 2, source: 3, reason: 2)

    /// 2/3/1: the node does not know yet whether the caller is a peer.
    ///
    /// The peer may try again later.
    public static let temporaryCongestion = AssociationRejection(result: 2, source: 3, reason: 1)
    /// 1/3/2: the A-ASSOCIATE-RQ is longer than the node takes, or the peer takes PDUs too short for any fragment.
    public static let permanentLocalLimit = AssociationRejection(result: 1, source: 3, reason: 2)

    public var description: String {
        let words =
            switch (source, reason) {
            case (1, 1), (2, 1): "no reason given"
            case (1, 2): "application context not supported"
            case (1, 3): "calling AE title not recognized"
            case (1, 7): "called AE title not recognized"
            case (2, 2): "protocol version not supported"
            case (3, 1): "temporary congestion"
            case (3, 2): "local limit exceeded"
            default: "reserved reason"
            }
        return "\(isTransient ? "transient" : "permanent"), \(words) (\(result)/\(source)/\(reason))"
    }
}

/// The two fields of A-ABORT, and its sender (PS3.8 table 9-26).
public struct AssociationAbort: Sendable, Equatable, CustomStringConvertible {
    /// A side of an association; `us` is this node.
    public enum Sender: Sendable, Equatable { case peer, us }

    /// The side that sent the A-ABORT.
    public let by: Sender
    /// 0 service user, 2 service provider.
    public let source: UInt8
    /// A reason of the service provider; without meaning if the source is the service user.
    public let reason: UInt8
    /// The peer's mistake, if the node sent the abort; otherwise empty.
    public let cause: String

    package init(by: Sender, source: UInt8, reason: UInt8, cause: String = "") {
        self.by = by
        self.source = source
        self.reason = reason
        self.cause = cause
    }

    public var description: String {
        switch by {
        case .peer: "by the peer (source \(source), reason \(reason))"
        case .us: "by us: \(cause)"
        }
    }
}
