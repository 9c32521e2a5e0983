// SPDX-License-Identifier: Apache-2.0
//
// The messages between the node and a receiver, as `CAssociations.h` lists them.

package import DICOM

/// The answer to a presentation context (PS3.8 table 9-18).
package struct ContextAnswer: Equatable, Sendable {
    /// The values of the Result/Reason field.
    package enum Result: UInt8, Sendable {
        case acceptance = 0
        case userRejection = 1
        case noReason = 2
        case abstractSyntaxNotSupported = 3
        case transferSyntaxesNotSupported = 4
    }

    /// The ID of the proposed context.
    package var id: UInt8
    /// Whether the context is accepted.
    package var result: Result
    /// The chosen transfer syntax; without meaning if the context is not accepted.
    package var transferSyntax: String
    /// The roles of the requestor that are accepted.
    package var role: ContextRole

    package init(id: UInt8, result: Result, transferSyntax: String, role: ContextRole = .default) {
        self.id = id
        self.result = result
        self.transferSyntax = transferSyntax
        self.role = role
    }
}

/// A message from the node to a receiver.
package enum ReceiverOrder: Sendable, Equatable {
    /// A connection to serve, with the bytes that the node has read from it. The connection travels with the message.
    case associate(maximumLength: UInt32, isSecure: Bool, received: [UInt8])
    /// Certificates and keys, as a whole message.
    case credentials([UInt8])
    case accept([ContextAnswer])
    case reject(AssociationRejection)
    /// The most bytes of the data set. The file travels with the message.
    case take(limit: UInt64)
    case refuse(DIMSEStatus)
    case answer(DIMSEStatus)
    case report(CommitmentResult)
    case stop
    /// What still comes of the data set is discarded, for this value of `errno`.
    case discard(code: Int32)
    case abort(source: UInt8, reason: UInt8)

    /// The whole message, with its length in front.
    package var message: [UInt8] {
        if case .credentials(let message) = self { return message }
        var writer = MessageWriter(kind: kind)
        switch self {
        case .credentials, .stop: break
        case .associate(let maximumLength, let isSecure, let received):
            writer.integer(maximumLength)
            writer.integer(isSecure ? 1 : 0 as UInt8)
            writer.data(received)
        case .accept(let contexts):
            writer.integer(UInt16(contexts.count))
            for context in contexts {
                writer.integer(context.id)
                writer.integer(context.result.rawValue)
                writer.text(context.transferSyntax)
                writer.integer(context.role.rawValue)
            }
        case .reject(let rejection):
            writer.integer(rejection.result)
            writer.integer(rejection.source)
            writer.integer(rejection.reason)
        case .take(let limit): writer.integer(limit)
        case .refuse(let status), .answer(let status): writer.integer(status.rawValue)
        case .report(let result): writer.commitment(result)
        case .discard(let code): writer.integer(UInt32(bitPattern: code))
        case .abort(let source, let reason):
            writer.integer(source)
            writer.integer(reason)
        }
        return writer.message
    }

    private var kind: UInt8 {
        switch self {
        case .credentials: 1
        case .associate: 10
        case .accept: 11
        case .reject: 12
        case .take: 13
        case .refuse: 14
        case .answer: 15
        case .report: 16
        case .stop: 17
        case .discard: 18
        case .abort: 19
        }
    }
}

/// A peer's request for an association: the message `requested`.
package struct AssociationProposal: Sendable, Equatable {
    /// A presentation context that the peer proposes (PS3.8 table 9-13).
    package struct Context: Sendable, Equatable {
        /// An odd number, 1...255.
        package var id: UInt8
        /// The SOP class, as the peer wrote it.
        package var abstractSyntax: String
        /// The roles that the peer proposes for itself.
        package var role: ContextRole
        /// The transfer syntaxes in the order of the peer's preference.
        package var transferSyntaxes: [String]

        package init(id: UInt8, abstractSyntax: String, role: ContextRole = .default, transferSyntaxes: [String]) {
            self.id = id
            self.abstractSyntax = abstractSyntax
            self.role = role
            self.transferSyntaxes = transferSyntaxes
        }
    }

    /// DICOM Application Context Name (PS3.7 annex A.2.1).
    package static let applicationContext = "1.2.840.10008.3.1.1.1"

    /// The caller's AE title, as the peer wrote it.
    package var calling: String
    /// The AE title that was called, as the peer wrote it.
    package var called: String
    package var applicationContext: String
    /// Bytes of the longest PDU that the peer takes; 0 for any length.
    package var maximumLength: UInt32
    package var implementationClassUID: String
    package var implementationVersionName: String
    /// The certificate that the peer showed; `nil` on a plain connection.
    package var certificate: PeerCertificate?
    package var contexts: [Context]

    package init(
        calling: String, called: String, applicationContext: String = AssociationProposal.applicationContext,
        maximumLength: UInt32 = 16_384, implementationClassUID: String = "", implementationVersionName: String = "",
        certificate: PeerCertificate? = nil, contexts: [Context]
    ) {
        self.calling = calling
        self.called = called
        self.applicationContext = applicationContext
        self.maximumLength = maximumLength
        self.implementationClassUID = implementationClassUID
        self.implementationVersionName = implementationVersionName
        self.certificate = certificate
        self.contexts = contexts
    }

    /// Whether the peer proposes only Verification.
    package var isVerificationOnly: Bool { contexts.allSatisfy { $0.abstractSyntax == SOPClass.verification } }
}

/// A message from a receiver to the node.
package enum ReceiverReport: Sendable, Equatable {
    /// The command of a C-STORE-RQ (PS3.7 9.3.1.1): the message `store`.
    package struct Store: Sendable, Equatable {
        package var contextID: UInt8
        /// Affected SOP Class UID, as the peer wrote it.
        package var sopClassUID: String
        /// Affected SOP Instance UID, as the peer wrote it.
        package var sopInstanceUID: String
        package var hasDataSet: Bool

        package init(contextID: UInt8, sopClassUID: String, sopInstanceUID: String, hasDataSet: Bool) {
            self.contextID = contextID
            self.sopClassUID = sopClassUID
            self.sopInstanceUID = sopInstanceUID
            self.hasDataSet = hasDataSet
        }
    }

    case ready
    /// The credentials cannot be used, with the cause.
    case unusable(String)
    case ended(AssociationEnd)
    case requested(AssociationProposal)
    case store(Store)
    case whole(ReceivedDataSet)
    case asked(CommitmentRequest)
    case told(CommitmentResult)
    /// The peer's answer to a report; `nil` if the report could not be sent.
    case reported(DIMSEStatus?)
    /// The receiver has answered a request with this command field alone.
    case served(commandField: UInt16)

    /// Reads a message.
    ///
    /// - Parameter message: the kind and the fields, without the length.
    /// - Throws: an error if the kind is not a receiver's, or the fields are not those of the kind.
    package init(_ message: [UInt8]) throws(MalformedMessage) {
        var reader = MessageReader(kind: message.first ?? 0, fields: message.dropFirst())
        switch reader.kind {
        case 1: self = .ready
        case 2: self = .unusable(try reader.text())
        case 3: self = .ended(try reader.associationEnd())
        case 20: self = .requested(try Self.proposal(&reader))
        case 21:
            self = .store(
                Store(
                    contextID: try reader.integer(), sopClassUID: try reader.text(),
                    sopInstanceUID: try reader.text(), hasDataSet: try reader.integer(UInt8.self) != 0))
        case 22:
            self = .whole(
                ReceivedDataSet(
                    bytes: try reader.integer(), sha256: Array(try reader.bytes(32)),
                    code: Int32(truncatingIfNeeded: try reader.integer(UInt32.self))))
        case 23: self = .asked(try reader.commitmentRequest())
        case 24: self = .told(try reader.commitmentResult())
        case 25:
            let status: UInt16 = try reader.integer()
            self = .reported(status == 0xFFFF ? nil : DIMSEStatus(rawValue: status))
        case 26: self = .served(commandField: try reader.integer())
        default: throw MalformedMessage(kind: reader.kind)
        }
        try reader.end()
    }

    private static func proposal(_ reader: inout MessageReader) throws(MalformedMessage) -> AssociationProposal {
        let (calling, called, application) = (try reader.text(), try reader.text(), try reader.text())
        let maximumLength: UInt32 = try reader.integer()
        let (classUID, versionName) = (try reader.text(), try reader.text())
        let certificate = try reader.certificate()
        var contexts: [AssociationProposal.Context] = []
        for _ in 0..<(try reader.integer(UInt16.self)) {
            let id: UInt8 = try reader.integer()
            let abstractSyntax = try reader.text()
            guard let role = ContextRole(rawValue: try reader.integer()) else {
                throw MalformedMessage(kind: reader.kind)
            }
            var syntaxes: [String] = []
            for _ in 0..<(try reader.integer(UInt16.self)) { syntaxes.append(try reader.text()) }
            contexts.append(.init(id: id, abstractSyntax: abstractSyntax, role: role, transferSyntaxes: syntaxes))
        }
        return AssociationProposal(
            calling: calling, called: called, applicationContext: application, maximumLength: maximumLength,
            implementationClassUID: classUID, implementationVersionName: versionName, certificate: certificate,
            contexts: contexts)
    }
}

/// A data set that a receiver has taken to its end: the message `whole`.
package struct ReceivedDataSet: Sendable, Equatable {
    /// Bytes of the data set.
    package var bytes: UInt64
    /// SHA-256 of the data set, 32 bytes.
    package var sha256: [UInt8]
    /// The value of `errno` of the write that failed; 0 if the data set lies in the file.
    package var code: Int32

    package init(bytes: UInt64, sha256: [UInt8], code: Int32 = 0) {
        self.bytes = bytes
        self.sha256 = sha256
        self.code = code
    }
}
