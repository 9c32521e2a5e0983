// SPDX-License-Identifier: Apache-2.0
//
// The messages between the node and a sender, as `CAssociations.h` lists them.

public import DICOM

/// A role in a presentation context (PS3.7 D.3.3.4), with its number on the channel.
public enum ContextRole: UInt8, Sendable, Hashable {
    /// The requestor is the SCU, and the role is not negotiated.
    case `default` = 0
    case scu = 1
    case scp = 2
    case both = 3
}

/// A presentation context that the node proposes.
public struct ContextProposal: Hashable, Sendable {
    /// The SOP class.
    public var abstractSyntax: String
    /// The transfer syntaxes, at least one.
    public var transferSyntaxes: [String]
    /// The role of the node.
    public var role: ContextRole

    public init(abstractSyntax: String, transferSyntaxes: [String], role: ContextRole = .default) {
        self.abstractSyntax = abstractSyntax
        self.transferSyntaxes = transferSyntaxes
        self.role = role
    }

    /// Storage of one SOP class in one transfer syntax.
    public init(_ context: SOPClassAndSyntax) {
        self.init(abstractSyntax: context.sopClassUID, transferSyntaxes: [context.transferSyntaxUID])
    }

    /// Storage commitment, to ask (`.scu`), to report (`.scp`), or both.
    public static func commitment(_ role: ContextRole) -> ContextProposal {
        ContextProposal(
            abstractSyntax: CommitmentRequest.PushModel.sopClassUID,
            transferSyntaxes: [
                TransferSyntax.explicitVRLittleEndian.rawValue, TransferSyntax.implicitVRLittleEndian.rawValue,
            ], role: role)
    }

    /// Verification by C-ECHO.
    static let verification = ContextProposal(
        abstractSyntax: SOPClass.verification,
        transferSyntaxes: [TransferSyntax.implicitVRLittleEndian.rawValue])
}

/// A message from the node to a sender.
package enum SenderOrder: Sendable, Equatable {
    /// A request for an association: the message `associate`, which travels with the connection.
    package struct Association: Sendable, Equatable {
        /// Whether the connection is encrypted by TLS.
        package var isSecure: Bool
        /// The name that the peer's certificate has to hold; empty for any.
        package var certificateHost: String
        package var calling: AETitle
        package var called: AETitle
        /// Bytes of the longest PDU that the node takes.
        package var maximumLength: UInt32
        /// The contexts with their IDs, which are odd.
        package var contexts: [(id: UInt8, proposal: ContextProposal)]

        package init(
            isSecure: Bool = false, certificateHost: String = "", calling: AETitle, called: AETitle,
            maximumLength: UInt32, contexts: [(id: UInt8, proposal: ContextProposal)]
        ) {
            self.isSecure = isSecure
            self.certificateHost = certificateHost
            self.calling = calling
            self.called = called
            self.maximumLength = maximumLength
            self.contexts = contexts
        }

        package static func == (one: Association, other: Association) -> Bool {
            one.isSecure == other.isSecure && one.certificateHost == other.certificateHost
                && one.calling == other.calling && one.called == other.called
                && one.maximumLength == other.maximumLength
                && one.contexts.elementsEqual(other.contexts) { $0 == $1 }
        }
    }

    /// An instance to store: the message `store`, which travels with the file.
    package struct Instance: Sendable, Equatable {
        package var contextID: UInt8
        package var sopClassUID: String
        package var sopInstanceUID: String
        /// Where the data set begins in the file.
        package var offset: UInt64
        /// Bytes of the data set.
        package var length: UInt64
        /// The transfer syntax of the file.
        package var transferSyntaxUID: String

        package init(
            contextID: UInt8, sopClassUID: String, sopInstanceUID: String, offset: UInt64, length: UInt64,
            transferSyntaxUID: String
        ) {
            self.contextID = contextID
            self.sopClassUID = sopClassUID
            self.sopInstanceUID = sopInstanceUID
            self.offset = offset
            self.length = length
            self.transferSyntaxUID = transferSyntaxUID
        }
    }

    /// The whole message `credentials`, for secure connections.
    case credentials([UInt8])
    case associate(Association)
    case store(Instance)
    case ask(contextID: UInt8, CommitmentRequest)
    case report(contextID: UInt8, CommitmentResult)
    case answer(DIMSEStatus)
    case release
    case echo(contextID: UInt8)

    /// The whole message, with its length in front.
    package var message: [UInt8] {
        switch self {
        case .credentials(let message): return message
        case .associate(let association): return Self.message(of: association)
        case .store(let instance):
            var writer = MessageWriter(kind: 31)
            writer.integer(instance.contextID)
            writer.text(instance.sopClassUID)
            writer.text(instance.sopInstanceUID)
            writer.integer(instance.offset)
            writer.integer(instance.length)
            writer.text(instance.transferSyntaxUID)
            return writer.message
        case .ask(let contextID, let request):
            var writer = MessageWriter(kind: 32)
            writer.integer(contextID)
            writer.commitment(request)
            return writer.message
        case .report(let contextID, let result):
            var writer = MessageWriter(kind: 33)
            writer.integer(contextID)
            writer.commitment(result)
            return writer.message
        case .answer(let status):
            var writer = MessageWriter(kind: 34)
            writer.integer(status.rawValue)
            return writer.message
        case .release: return MessageWriter(kind: 35).message
        case .echo(let contextID):
            var writer = MessageWriter(kind: 36)
            writer.integer(contextID)
            return writer.message
        }
    }

    private static func message(of association: Association) -> [UInt8] {
        var writer = MessageWriter(kind: 30)
        writer.integer(association.isSecure ? 1 : 0 as UInt8)
        writer.text(association.certificateHost)
        writer.text(association.calling.text)
        writer.text(association.called.text)
        writer.integer(association.maximumLength)
        writer.integer(UInt16(association.contexts.count))
        for (id, proposal) in association.contexts {
            writer.integer(id)
            writer.text(proposal.abstractSyntax)
            writer.integer(proposal.role.rawValue)
            writer.integer(UInt16(proposal.transferSyntaxes.count))
            for syntax in proposal.transferSyntaxes { writer.text(syntax) }
        }
        return writer.message
    }
}

/// A message from a sender to the node.
package enum SenderReply: Sendable, Equatable {
    /// An association that the peer accepted: the message `accepted`.
    package struct Association: Sendable, Equatable {
        /// The answer to one presentation context (PS3.8 table 9-18).
        package struct Context: Sendable, Equatable {
            package var id: UInt8
            /// 0 for acceptance.
            package var result: UInt8
            package var transferSyntax: String
            package var role: ContextRole

            package init(id: UInt8, result: UInt8, transferSyntax: String, role: ContextRole = .default) {
                self.id = id
                self.result = result
                self.transferSyntax = transferSyntax
                self.role = role
            }
        }

        /// Bytes of the longest PDU that the peer takes; 0 for any length.
        package var maximumLength: UInt32
        package var implementationClassUID: String
        package var implementationVersionName: String
        package var certificate: PeerCertificate?
        package var contexts: [Context]

        package init(
            maximumLength: UInt32, implementationClassUID: String = "", implementationVersionName: String = "",
            certificate: PeerCertificate? = nil, contexts: [Context]
        ) {
            self.maximumLength = maximumLength
            self.implementationClassUID = implementationClassUID
            self.implementationVersionName = implementationVersionName
            self.certificate = certificate
            self.contexts = contexts
        }
    }

    case ready
    /// The credentials cannot be used, with the cause.
    case unusable(String)
    case ended(AssociationEnd)
    case accepted(Association)
    case responded(DIMSEStatus)
    case told(CommitmentResult)
    /// The order could not be carried out, with the cause.
    case failed(String)

    /// Reads a message.
    ///
    /// - Parameter message: the kind and the fields, without the length.
    /// - Throws: an error if the kind is not a sender's, or the fields are not those of the kind.
    package init(_ message: [UInt8]) throws(MalformedMessage) {
        var reader = MessageReader(kind: message.first ?? 0, fields: message.dropFirst())
        switch reader.kind {
        case 1: self = .ready
        case 2: self = .unusable(try reader.text())
        case 3: self = .ended(try reader.associationEnd())
        case 40: self = .accepted(try Self.association(&reader))
        case 41: self = .responded(DIMSEStatus(rawValue: try reader.integer()))
        case 42: self = .told(try reader.commitmentResult())
        case 43: self = .failed(try reader.text())
        default: throw MalformedMessage(kind: reader.kind)
        }
        try reader.end()
    }

    private static func association(_ reader: inout MessageReader) throws(MalformedMessage) -> Association {
        let maximumLength: UInt32 = try reader.integer()
        let (classUID, versionName) = (try reader.text(), try reader.text())
        let certificate = try reader.certificate()
        var contexts: [Association.Context] = []
        for _ in 0..<(try reader.integer(UInt16.self)) {
            let (id, result): (UInt8, UInt8) = (try reader.integer(), try reader.integer())
            let syntax = try reader.text()
            guard let role = ContextRole(rawValue: try reader.integer()) else {
                throw MalformedMessage(kind: reader.kind)
            }
            contexts.append(.init(id: id, result: result, transferSyntax: syntax, role: role))
        }
        return Association(
            maximumLength: maximumLength, implementationClassUID: classUID, implementationVersionName: versionName,
            certificate: certificate, contexts: contexts)
    }
}
