// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct AssociatePDUTests {
    /// A-ASSOCIATE-RQ of an SCU that verifies (PS3.8 9.3.2).
    /// A request of `ENDO1` for Verification at `KONTUR` whose variable part has this many bytes: items of a type that
    /// no peer knows fill it.
    static func request(ofBytes count: Int) -> [UInt8] {
        let verification = ProposedContext(
            id: 1, abstractSyntax: SOPClass.verification, transferSyntaxes: ["1.2.840.10008.1.2"])
        let short = AssociateRequest(
            called: LoopbackNode.aeTitle, calling: LoopbackNode.caller, contexts: [verification],
            user: UserInformation(maximumLength: 16_384)
        ).encoded
        var body = Array(short[6...])
        while body.count < count {
            let length = min(60_000, count - body.count - 4)
            body += [0x99, 0, UInt8(length >> 8), UInt8(length & 0xFF)] + [UInt8](repeating: 7, count: length)
        }
        return [1, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + body
    }

    static let request: [UInt8] = [
        0x01, 0x00,  // A-ASSOCIATE-RQ, reserved
        0x00, 0x00, 0x00, 0xBE,  // 190 bytes follow
        0x00, 0x01,  // protocol version 1
        0x00, 0x00,  // reserved
        // called AE title "KONTUR"
        0x4B, 0x4F, 0x4E, 0x54, 0x55, 0x52, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20,
        // calling AE title "ENDO1"
        0x45, 0x4E, 0x44, 0x4F, 0x31, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20,
        // reserved, 32 bytes
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x10, 0x00, 0x00, 0x15,  // application context item, 21 bytes
        0x31, 0x2E, 0x32, 0x2E, 0x38, 0x34, 0x30, 0x2E, 0x31, 0x30, 0x30, 0x30, 0x38,  // "1.2.840.10008"
        0x2E, 0x33, 0x2E, 0x31, 0x2E, 0x31, 0x2E, 0x31,  // ".3.1.1.1"
        0x20, 0x00, 0x00, 0x2E,  // presentation context item, 46 bytes
        0x01, 0x00, 0x00, 0x00,  // context ID 1, reserved
        0x30, 0x00, 0x00, 0x11,  // abstract syntax, 17 bytes
        0x31, 0x2E, 0x32, 0x2E, 0x38, 0x34, 0x30, 0x2E, 0x31, 0x30, 0x30, 0x30, 0x38, 0x2E, 0x31, 0x2E, 0x31,
        0x40, 0x00, 0x00, 0x11,  // transfer syntax, 17 bytes
        0x31, 0x2E, 0x32, 0x2E, 0x38, 0x34, 0x30, 0x2E, 0x31, 0x30, 0x30, 0x30, 0x38, 0x2E, 0x31, 0x2E, 0x32,
        0x50, 0x00, 0x00, 0x2F,  // user information item, 47 bytes
        0x51, 0x00, 0x00, 0x04, 0x00, 0x00, 0x40, 0x00,  // maximum length 16,384
        0x52, 0x00, 0x00, 0x05, 0x31, 0x2E, 0x32, 0x2E, 0x33,  // implementation class UID "1.2.3"
        0x54, 0x00, 0x00, 0x0A,  // role selection, 10 bytes
        0x00, 0x06, 0x31, 0x2E, 0x32, 0x2E, 0x33, 0x00,  // SOP class of 6 bytes, "1.2.3" and a NUL
        0x01, 0x00,  // SCU yes, SCP no
        0x55, 0x00, 0x00, 0x04, 0x54, 0x45, 0x53, 0x54,  // implementation version name "TEST"
        0x58, 0x00, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00,  // user identity, which is not looked at
    ]

    static var body: ArraySlice<UInt8> { request.dropFirst(6) }

    @Test func `reads a request`() throws {
        let request = try AssociateRequest(parsing: Self.body)
        #expect(request.protocolVersion == 1)
        #expect(request.calledAETitle?.text == "KONTUR")
        #expect(request.callingAETitle?.text == "ENDO1")
        #expect(request.applicationContext == "1.2.840.10008.3.1.1.1")
        #expect(
            request.contexts == [
                ProposedContext(id: 1, abstractSyntax: "1.2.840.10008.1.1", transferSyntaxes: ["1.2.840.10008.1.2"])
            ])
        #expect(request.user.maximumLength == 16_384)
        #expect(request.user.implementationClassUID == "1.2.3")
        #expect(request.user.implementationVersionName == "TEST")
        #expect(request.user.roles == [RoleSelection(sopClass: "1.2.3", scu: true, scp: false)])
    }

    @Test func `writes what it reads`() throws {
        let request = try AssociateRequest(parsing: Self.body)
        #expect(try AssociateRequest(parsing: request.encoded.dropFirst(6)) == request)
        let accept = AssociateAccept(
            contexts: [
                ContextAnswer(id: 1, result: .acceptance, transferSyntax: "1.2.840.10008.1.2"),
                ContextAnswer(id: 3, result: .abstractSyntaxNotSupported, transferSyntax: "1.2.840.10008.1.2"),
            ], user: UserInformation(maximumLength: 131_072))
        #expect(try AssociateAccept(parsing: accept.encoded(answering: request).dropFirst(6)) == accept)
    }

    @Test func `a request cut anywhere but between items is refused`() throws {
        // Behind these bytes an item begins that may be left out.
        let ends: Set = [74 + 25 + 50, Self.request.count]
        for count in 6..<Self.request.count where !ends.contains(count) {
            #expect(throws: PDUError.self, "\(count)") { try AssociateRequest(parsing: Self.request[6..<count]) }
        }
    }

    @Test func `even, doubled and missing context IDs are refused`() throws {
        let request = try AssociateRequest(parsing: Self.body)
        var doubled = request
        doubled.contexts.append(doubled.contexts[0])
        var even = request
        even.contexts[0].id = 2
        var none = request
        none.contexts = []
        for bad in [doubled, even, none] {
            #expect(throws: PDUError.self) { try AssociateRequest(parsing: bad.encoded.dropFirst(6)) }
        }
    }

    @Test func `text that is not a UID is not an abstract syntax, and the rest of the request is read`() throws {
        var request = try AssociateRequest(parsing: Self.body)
        request.contexts.append(
            ProposedContext(id: 3, abstractSyntax: "../../etc", transferSyntaxes: ["x", "1.2.840.10008.1.2"]))
        let read = try AssociateRequest(parsing: request.encoded.dropFirst(6))
        #expect(read.contexts[1].abstractSyntax == nil)
        #expect(read.contexts[1].transferSyntaxes == ["1.2.840.10008.1.2"])
    }

    @Test func `random changes never trap`() {
        var fuzzer = ByteFuzzer(seed: 11)
        for _ in 0..<20_000 {
            let bytes = fuzzer.spoil(Array(Self.body), changes: 4)
            guard let request = try? AssociateRequest(parsing: bytes[...]) else { continue }
            let answer = Negotiation.answer(
                to: request, aeTitle: AETitle("KONTUR")!, peer: Peer(name: "a", aeTitle: AETitle("ENDO1")!))
            if case .success(let accept) = answer { _ = accept.encoded(answering: request) }
            _ = try? AssociateAccept(parsing: bytes[...])
        }
    }
}
