// SPDX-License-Identifier: Apache-2.0
//
// A-ASSOCIATE-RQ, -AC and -RJ (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D.3). Items nest at most two deep. Not implemented:
// asynchronous operations, extended negotiation and user identity. An acceptor may ignore these items by not answering
// them.

/// A presentation context of a request (PS3.8 table 9-13).
package struct ProposedContext: Equatable, Sendable {
    /// An odd number, 1...255.
    package var id: UInt8
    /// The SOP class; `nil` if the item does not hold a UID.
    package var abstractSyntax: String?
    /// The transfer syntaxes in the order of the peer's preference, without items that do not hold a UID.
    package var transferSyntaxes: [String]

    package init(id: UInt8, abstractSyntax: String?, transferSyntaxes: [String]) {
        self.id = id
        self.abstractSyntax = abstractSyntax
        self.transferSyntaxes = transferSyntaxes
    }
}

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
    /// The chosen transfer syntax.
    ///
    /// The field is present but has no meaning if the context is not accepted.
    package var transferSyntax: String

    package init(id: UInt8, result: Result, transferSyntax: String) {
        self.id = id
        self.result = result
        self.transferSyntax = transferSyntax
    }
}

/// SCP/SCU role selection for one SOP class (PS3.7 D.3.3.4).
///
/// The roles are those of the association requestor.
package struct RoleSelection: Equatable, Sendable {
    /// SOP Class UID.
    package var sopClass: String
    /// Whether the requestor acts as SCU.
    package var scu: Bool
    /// Whether the requestor acts as SCP.
    package var scp: Bool

    package init(sopClass: String, scu: Bool, scp: Bool) {
        self.sopClass = sopClass
        self.scu = scu
        self.scp = scp
    }
}

/// The user information item, which both sides send (PS3.7 annex D.3.3).
package struct UserInformation: Equatable, Sendable {
    /// The longest variable part of a P-DATA-TF that the sender of this item accepts, in bytes; 0 for any length.
    package var maximumLength: UInt32
    /// Implementation Class UID of the sender.
    package var implementationClassUID = Implementation.classUID
    /// Implementation Version Name of the sender.
    package var implementationVersionName = Implementation.versionName
    /// The roles that are proposed, or accepted.
    package var roles: [RoleSelection] = []

    fileprivate func write(to builder: inout PDUBuilder) {
        builder.item(0x50) { user in
            user.item(0x51) { $0.uint32(maximumLength) }
            user.item(0x52, implementationClassUID)
            for role in roles {
                user.item(0x54) {
                    $0.uint16(role.sopClass.utf8.count)
                    $0.append(role.sopClass.utf8)
                    $0.uint8(role.scu ? 1 : 0)
                    $0.uint8(role.scp ? 1 : 0)
                }
            }
            user.item(0x55, implementationVersionName)
        }
    }

    fileprivate init(maximumLength: UInt32, parsing body: ArraySlice<UInt8>) throws(PDUError) {
        self.maximumLength = maximumLength
        implementationClassUID = ""
        implementationVersionName = ""
        var cursor = PDUCursor(body)
        while !cursor.isAtEnd {
            let (type, body) = try cursor.item()
            var field = PDUCursor(body)
            switch type {
            case 0x51:
                self.maximumLength = try field.uint32("maximum length")
            case 0x52:
                implementationClassUID = UID(padded: body)?.text ?? ""
            case 0x54:
                let length = try field.uint16("role UID length")
                let sopClass = UID(padded: try field.bytes(length, "role UID"))?.text
                let scu = try field.uint8("SCU role") != 0
                let scp = try field.uint8("SCP role") != 0
                if let sopClass { roles.append(RoleSelection(sopClass: sopClass, scu: scu, scp: scp)) }
            case 0x55:
                let printable = body.prefix(16).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }
                implementationVersionName = String(decoding: printable, as: UTF8.self)
            default:
                break
            }
        }
    }

    /// The node's own user information.
    package init(maximumLength: UInt32, roles: [RoleSelection] = []) {
        self.maximumLength = maximumLength
        self.roles = roles
    }
}

/// A-ASSOCIATE-RQ (PS3.8 9.3.2).
package struct AssociateRequest: Equatable, Sendable {
    /// DICOM Application Context Name (PS3.7 annex A.2.1).
    package static let applicationContext = "1.2.840.10008.3.1.1.1"

    /// A bit mask: bit 0 stands for version 1.
    package var protocolVersion = 1
    /// `nil` if the field does not hold an AE title.
    package var calledAETitle: AETitle?
    /// `nil` if the field does not hold an AE title.
    package var callingAETitle: AETitle?
    /// Application Context Name; empty if the item is missing or does not hold a UID.
    package var applicationContext: String = AssociateRequest.applicationContext
    /// The proposed presentation contexts: at least one in a valid request.
    package var contexts: [ProposedContext]
    /// The requestor's user information.
    package var user: UserInformation

    /// The node's own request.
    package init(called: AETitle, calling: AETitle, contexts: [ProposedContext], user: UserInformation) {
        calledAETitle = called
        callingAETitle = calling
        self.contexts = contexts
        self.user = user
    }

    /// Parses a request.
    ///
    /// - Parameter body: the PDU without its first six bytes.
    /// - Throws: `PDUError` if a field is cut off or not allowed.
    package init(parsing body: ArraySlice<UInt8>) throws(PDUError) {
        var cursor = PDUCursor(body)
        protocolVersion = try cursor.uint16("protocol version")
        _ = try cursor.bytes(2, "reserved bytes")
        calledAETitle = AETitle(bytes: Array(try cursor.bytes(16, "called AE title")))
        callingAETitle = AETitle(bytes: Array(try cursor.bytes(16, "calling AE title")))
        _ = try cursor.bytes(32, "reserved bytes")
        applicationContext = ""
        contexts = []
        // Without the item, the peer accepts PDUs of any length (PS3.7 D.3.3.1).
        user = UserInformation(maximumLength: 0)
        while !cursor.isAtEnd {
            let (type, body) = try cursor.item()
            switch type {
            case 0x10:
                applicationContext = UID(padded: body)?.text ?? ""
            case 0x20:
                let context = try Self.context(body)
                guard context.id % 2 == 1, !contexts.contains(where: { $0.id == context.id }) else {
                    throw PDUError(description: "a presentation context ID is even or given twice")
                }
                contexts.append(context)
            case 0x50:
                user = try UserInformation(maximumLength: 0, parsing: body)
            default:
                break
            }
        }
        guard !contexts.isEmpty else {
            throw PDUError(description: "the request does not propose a presentation context")
        }
    }

    private static func context(_ body: ArraySlice<UInt8>) throws(PDUError) -> ProposedContext {
        var cursor = PDUCursor(body)
        var context = ProposedContext(
            id: try cursor.uint8("presentation context ID"), abstractSyntax: nil, transferSyntaxes: [])
        _ = try cursor.bytes(3, "reserved bytes")
        while !cursor.isAtEnd {
            let (type, body) = try cursor.item()
            switch type {
            case 0x30: context.abstractSyntax = UID(padded: body)?.text
            case 0x40: if let syntax = UID(padded: body)?.text { context.transferSyntaxes.append(syntax) }
            default: break
            }
        }
        return context
    }

    /// The whole PDU.
    package var encoded: [UInt8] {
        PDUBuilder.pdu(.associateRequest) { pdu in
            pdu.uint16(protocolVersion)
            pdu.zeros(2)
            pdu.append(calledAETitle?.paddedBytes ?? [UInt8](repeating: 0x20, count: 16))
            pdu.append(callingAETitle?.paddedBytes ?? [UInt8](repeating: 0x20, count: 16))
            pdu.zeros(32)
            pdu.item(0x10, applicationContext)
            for context in contexts {
                pdu.item(0x20) { item in
                    item.uint8(context.id)
                    item.zeros(3)
                    item.item(0x30, context.abstractSyntax ?? "")
                    for syntax in context.transferSyntaxes { item.item(0x40, syntax) }
                }
            }
            user.write(to: &pdu)
        }
    }
}

/// A-ASSOCIATE-AC (PS3.8 9.3.3).
package struct AssociateAccept: Equatable, Sendable {
    /// One answer per proposed context.
    package var contexts: [ContextAnswer]
    /// The acceptor's user information.
    package var user: UserInformation

    package init(contexts: [ContextAnswer], user: UserInformation) {
        self.contexts = contexts
        self.user = user
    }

    /// Parses the answer to a request.
    ///
    /// - Parameter body: the PDU without its first six bytes.
    /// - Throws: `PDUError` if a field is cut off or not allowed.
    package init(parsing body: ArraySlice<UInt8>) throws(PDUError) {
        var cursor = PDUCursor(body)
        _ = try cursor.bytes(68, "fixed fields")
        contexts = []
        user = UserInformation(maximumLength: 0)
        while !cursor.isAtEnd {
            let (type, body) = try cursor.item()
            switch type {
            case 0x21: contexts.append(try Self.context(body))
            case 0x50: user = try UserInformation(maximumLength: 0, parsing: body)
            default: break
            }
        }
    }

    private static func context(_ body: ArraySlice<UInt8>) throws(PDUError) -> ContextAnswer {
        var cursor = PDUCursor(body)
        let id = try cursor.uint8("presentation context ID")
        _ = try cursor.uint8("reserved byte")
        let result = ContextAnswer.Result(rawValue: try cursor.uint8("result")) ?? .noReason
        _ = try cursor.uint8("reserved byte")
        var syntax = ""
        while !cursor.isAtEnd {
            let (type, body) = try cursor.item()
            if type == 0x40 { syntax = UID(padded: body)?.text ?? "" }
        }
        return ContextAnswer(id: id, result: result, transferSyntax: syntax)
    }

    /// The whole PDU.
    ///
    /// The title fields repeat the request's, which the peer does not test (PS3.8 9.3.3).
    package func encoded(answering request: AssociateRequest) -> [UInt8] {
        PDUBuilder.pdu(.associateAccept) { pdu in
            pdu.uint16(1)
            pdu.zeros(2)
            pdu.append(request.calledAETitle?.paddedBytes ?? [UInt8](repeating: 0x20, count: 16))
            pdu.append(request.callingAETitle?.paddedBytes ?? [UInt8](repeating: 0x20, count: 16))
            pdu.zeros(32)
            pdu.item(0x10, AssociateRequest.applicationContext)
            for context in contexts {
                pdu.item(0x21) { item in
                    item.uint8(context.id)
                    item.uint8(0)
                    item.uint8(context.result.rawValue)
                    item.uint8(0)
                    item.item(0x40, context.transferSyntax)
                }
            }
            user.write(to: &pdu)
        }
    }
}

extension AssociationRejection {
    /// The whole A-ASSOCIATE-RJ.
    var encoded: [UInt8] {
        PDUBuilder.pdu(.associateReject) { pdu in
            pdu.uint8(0)
            pdu.uint8(result)
            pdu.uint8(source)
            pdu.uint8(reason)
        }
    }
}

extension AssociationAbort {
    /// The whole A-ABORT.
    var encoded: [UInt8] {
        PDUBuilder.pdu(.abort) { pdu in
            pdu.zeros(2)
            pdu.uint8(source)
            pdu.uint8(reason)
        }
    }
}

/// Kontur's identification towards peers and in the files that it stores (PS3.7 D.3.3.2).
public enum Implementation {
    /// Implementation Class UID, made from a UUID (PS3.5 B.2).
    public static let classUID = "2.25.113113869798546695159296333199751311506"
    /// Implementation Version Name: at most 16 characters.
    public static let versionName = "KONTUR_0_1"
}
