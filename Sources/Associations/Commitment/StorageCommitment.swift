// SPDX-License-Identifier: Apache-2.0
//
// The Storage Commitment Push Model SOP Class: PS3.4 annex J. A service class user asks by N-ACTION whether the provider
// keeps SOP instances (J.3.2), and the provider reports the result by N-EVENT-REPORT (J.3.3). The Storage Media File-Set
// attributes are left out: Kontur does not commit to media.

/// A SOP instance with its class, as a commitment names it.
public struct SOPReference: Hashable, Sendable {
    /// Referenced SOP Class UID.
    public let sopClassUID: String
    /// Referenced SOP Instance UID.
    public let sopInstanceUID: String

    /// Names an instance.
    public init(sopClassUID: String, sopInstanceUID: String) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
    }
}

/// A Storage Commitment Request: the action information of an N-ACTION (PS3.4 table J.3-1).
public struct CommitmentRequest: Hashable, Sendable {
    /// UIDs that both ends know without a message.
    public enum PushModel {
        /// Storage Commitment Push Model SOP Class.
        public static let sopClassUID = "1.2.840.10008.1.20.1"
        /// Storage Commitment Push Model SOP Instance, the same for all requests.
        public static let sopInstanceUID = "1.2.840.10008.1.20.1.1"
    }

    /// Transaction UID, which the user of the service makes for each request.
    public let transactionUID: String
    /// The instances that the request is about.
    public let references: [SOPReference]

    /// Makes a request.
    public init(transactionUID: String, references: [SOPReference]) {
        self.transactionUID = transactionUID
        self.references = references
    }
}

/// A Storage Commitment Result: the event information of an N-EVENT-REPORT (PS3.4 table J.3-2).
///
/// The result is of event type 1 if `failed` is empty, and of event type 2 otherwise.
public struct CommitmentResult: Hashable, Sendable {
    /// Transaction UID of the request.
    public let transactionUID: String
    /// The instances that the provider keeps.
    public let committed: [SOPReference]
    /// The instances that the provider does not commit to keep.
    public let failed: [CommitmentFailure]

    /// Makes a result.
    public init(transactionUID: String, committed: [SOPReference], failed: [CommitmentFailure] = []) {
        self.transactionUID = transactionUID
        self.committed = committed
        self.failed = failed
    }
}

/// An instance that a provider does not commit to keep.
public struct CommitmentFailure: Hashable, Sendable {
    /// The instance.
    public let reference: SOPReference
    /// Failure Reason.
    public let reason: CommitmentFailureReason

    /// Makes a failure.
    public init(_ reference: SOPReference, _ reason: CommitmentFailureReason) {
        self.reference = reference
        self.reason = reason
    }
}

/// Failure Reason (0008,1197) of a commitment: PS3.3 C.14.1.1.
public struct CommitmentFailureReason: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The value of the attribute.
    public let rawValue: UInt16

    /// Takes a value of the attribute, also one that this type does not know.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A general failure in processing the operation.
    public static let processingFailure = Self(rawValue: 0x0110)
    /// The provider does not have the instance.
    public static let noSuchObjectInstance = Self(rawValue: 0x0112)
    /// The provider does not have room.
    public static let resourceLimitation = Self(rawValue: 0x0213)
    /// The provider does not support the SOP class of the instance.
    public static let sopClassNotSupported = Self(rawValue: 0x0122)
    /// The provider has the instance with another SOP class.
    public static let classInstanceConflict = Self(rawValue: 0x0119)
    /// Another request has the Transaction UID.
    public static let duplicateTransactionUID = Self(rawValue: 0x0131)

    public var description: String {
        let digits = String(rawValue, radix: 16, uppercase: true)
        let code = String(repeating: "0", count: 4 - digits.count) + digits
        let words: String? =
            switch self {
            case .processingFailure: "processing failure"
            case .noSuchObjectInstance: "no such object instance"
            case .resourceLimitation: "resource limitation"
            case .sopClassNotSupported: "referenced SOP class not supported"
            case .classInstanceConflict: "class/instance conflict"
            case .duplicateTransactionUID: "duplicate transaction UID"
            default: nil
            }
        return words.map { "\($0) (\(code))" } ?? code
    }
}
