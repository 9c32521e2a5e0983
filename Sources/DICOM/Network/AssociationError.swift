// SPDX-License-Identifier: Apache-2.0

/// Why an association could not be made, or ended other than by release.
public enum AssociationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The peer is not reachable: its name is unknown, nothing listens there, or the network refuses.
    case notConnected(host: String, port: UInt16, reason: String)
    /// The peer answered A-ASSOCIATE-RJ.
    case rejected(AssociationRejection)
    /// A-ABORT, from the peer or from us (PS3.8 9.3.8).
    case aborted(AssociationAbort)
    /// The connection broke without an A-ABORT.
    case connectionLost(reason: String)
    /// The peer was given its time and did not answer.
    case timeout(waitingFor: String)
    /// The peer accepted no presentation context for this SOP class and transfer syntax. The association stands.
    case noPresentationContext(sopClassUID: String, transferSyntaxUID: String)
    /// The file to send is not a Part 10 file that can be sent as it lies. The association stands.
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
        case .timeout(let waitingFor):
            "the peer did not answer in time: waiting for \(waitingFor)"
        case .noPresentationContext(let sopClassUID, let transferSyntaxUID):
            "the peer does not take SOP class \(sopClassUID) in transfer syntax \(transferSyntaxUID)"
        case .unreadableFile(let reason):
            "could not send the file: \(reason)"
        }
    }
}

/// The three fields of A-ASSOCIATE-RJ (PS3.8 table 9-21).
public struct AssociationRejection: Error, Sendable, Equatable, CustomStringConvertible {
    /// 1 permanent, 2 transient.
    public let result: UInt8
    /// 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    public let source: UInt8
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
    /// 1/1/3: we do not know who calls, or not from there.
    public static let callingAETitleNotRecognized = AssociationRejection(result: 1, source: 1, reason: 3)
    /// 1/1/7: they meant somebody else.
    public static let calledAETitleNotRecognized = AssociationRejection(result: 1, source: 1, reason: 7)
    /// 1/2/2: the protocol version is not 1.
    public static let protocolVersionNotSupported = AssociationRejection(result: 1, source: 2, reason: 2)
    /// 2/3/2: too many associations, or no room left to store what this one might bring; try again later.
    public static let localLimitExceeded = AssociationRejection(result: 2, source: 3, reason: 2)

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

/// The two fields of A-ABORT, and who sent it (PS3.8 table 9-26).
public struct AssociationAbort: Sendable, Equatable, CustomStringConvertible {
    public enum Sender: Sendable, Equatable { case peer, us }

    public let by: Sender
    /// 0 service user, 2 service provider.
    public let source: UInt8
    public let reason: UInt8
    /// What was wrong, when the abort is ours.
    public let cause: String

    init(by: Sender, source: UInt8, reason: UInt8, cause: String = "") {
        self.by = by
        self.source = source
        self.reason = reason
        self.cause = cause
    }

    /// Our answer to what is no DICOM: provider abort, invalid PDU parameter value (2/6).
    static func invalid(_ cause: String) -> AssociationAbort {
        AssociationAbort(by: .us, source: 2, reason: 6, cause: cause)
    }

    /// Our answer to a PDU that has no place here: provider abort, unexpected PDU (2/2).
    static func unexpected(_ cause: String) -> AssociationAbort {
        AssociationAbort(by: .us, source: 2, reason: 2, cause: cause)
    }

    public var description: String {
        switch by {
        case .peer: "by the peer (source \(source), reason \(reason))"
        case .us: "by us: \(cause)"
        }
    }
}
