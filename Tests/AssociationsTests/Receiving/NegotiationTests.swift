// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Testing

@Suite struct NegotiationTests {
    static let us = AETitle("KONTUR")!
    static let them = AETitle("ENDO1")!
    static let ctImageStorage = "1.2.840.10008.5.1.4.1.1.2"
    static let implicit = TransferSyntax.implicitVRLittleEndian.rawValue
    static let jpegXL = "1.2.840.10008.1.2.4.110"
    static let jpip = "1.2.840.10008.1.2.4.94"

    static func request(_ proposals: [(String, [String])], role: ContextRole = .default) -> AssociationProposal {
        AssociationProposal(
            calling: them.text, called: us.text,
            contexts: proposals.enumerated().map {
                .init(id: UInt8(2 * $0 + 1), abstractSyntax: $1.0, role: role, transferSyntaxes: $1.1)
            })
    }

    static func answers(
        _ proposals: [(String, [String])], may: Set<Peer.Permission> = [.store, .echo], role: ContextRole = .default
    ) throws -> [ContextAnswer] {
        let peer = Peer(name: "scope", aeTitle: them, may: may)
        return try Negotiation.answer(to: request(proposals, role: role), aeTitle: us, peer: peer).get()
    }

    static func rejection(of request: AssociationProposal, peer: Peer?) -> AssociationRejection? {
        guard case .failure(let rejection) = Negotiation.answer(to: request, aeTitle: us, peer: peer) else {
            return nil
        }
        return rejection
    }

    @Test func `an unknown caller is rejected with 1/1/3`() {
        let request = Self.request([(Self.ctImageStorage, [Self.implicit])])
        #expect(Self.rejection(of: request, peer: nil) == .callingAETitleNotRecognized)
        #expect(
            Self.rejection(of: request, peer: Peer(name: "a", aeTitle: Self.them, may: []))
                == .callingAETitleNotRecognized)
    }

    @Test func `a caller of another AE title is rejected with 1/1/7`() {
        var request = Self.request([(Self.ctImageStorage, [Self.implicit])])
        request.called = "OTHER"
        #expect(Self.rejection(of: request, peer: Peer(name: "a", aeTitle: Self.them)) == .calledAETitleNotRecognized)
    }

    @Test func `another application context is rejected`() {
        let peer = Peer(name: "a", aeTitle: Self.them)
        var request = Self.request([(Self.ctImageStorage, [Self.implicit])])
        request.applicationContext = "1.2.3"
        #expect(Self.rejection(of: request, peer: peer) == .applicationContextNameNotSupported)
    }

    @Test(arguments: [
        "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.77.1.1",
        "1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.999", "1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.1.29",
    ])
    func `every class that stores is accepted, private and unknown ones too`(sopClass: String) throws {
        #expect(try Self.answers([(sopClass, [Self.implicit])])[0].result == .acceptance)
    }

    @Test(arguments: [
        "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.1.9",
        "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.20.2", "1.2.840.10008.5.1.4.38.2", "1.2.840.10008.5.1.4.34.6.1",
    ])
    func `classes of query, retrieve, print, worklist and similar services are not accepted`(sopClass: String) throws {
        #expect(try Self.answers([(sopClass, [Self.implicit])])[0].result == .abstractSyntaxNotSupported)
    }

    @Test func `a peer gets the services that it may use`() throws {
        let both = [(Self.ctImageStorage, [Self.implicit]), (SOPClass.verification, [Self.implicit])]
        #expect(try Self.answers(both, may: [.store]).map(\.result) == [.acceptance, .userRejection])
        #expect(try Self.answers(both, may: [.echo]).map(\.result) == [.userRejection, .acceptance])
        #expect(try Self.answers(both).map(\.result) == [.acceptance, .acceptance])
    }

    @Test func `the first transfer syntax that can be decoded is accepted`() throws {
        let jpeg = TransferSyntax.jpegBaseline.rawValue
        #expect(
            try Self.answers([(Self.ctImageStorage, [Self.jpegXL, jpeg, Self.implicit])])[0].transferSyntax == jpeg)
        for syntax in ["90", "91", "201", "202", "203", "100", "101.1", "102", "106.1", "107", "108"] {
            let uid = "1.2.840.10008.1.2.4.\(syntax)"
            let answer = try Self.answers([("1.2.840.10008.5.1.4.1.1.77.1.1.1", [Self.jpegXL, uid, Self.implicit])])[0]
            #expect(answer.result == .acceptance && answer.transferSyntax == uid)
        }
    }

    @Test func `other transfer syntaxes are stored unchanged, except JPIP`() throws {
        #expect(
            try Self.answers([(Self.ctImageStorage, [Self.jpip, Self.jpegXL])])[0].transferSyntax == Self.jpegXL)
        #expect(try Self.answers([(Self.ctImageStorage, [Self.jpip])])[0].result == .transferSyntaxesNotSupported)
        #expect(try Self.answers([(Self.ctImageStorage, [])])[0].result == .transferSyntaxesNotSupported)
    }

    @Test(arguments: [ctImageStorage, SOPClass.verification])
    func `the node is the SCP, and a role that was not proposed is not answered`(sopClass: String) throws {
        let expected: [(ContextRole, ContextAnswer.Result, ContextRole)] = [
            (.default, .acceptance, .default), (.scu, .acceptance, .scu), (.both, .acceptance, .scu),
            (.scp, .userRejection, .default),
        ]
        for (proposed, result, role) in expected {
            let answer = try Self.answers([(sopClass, [Self.implicit])], role: proposed)[0]
            #expect(answer.result == result && answer.role == role)
        }
    }

    @Test(arguments: [ContextRole.default, .scu, .scp, .both])
    func `a peer that may store asks for commitment, and tells results`(role: ContextRole) throws {
        let proposal = [(CommitmentRequest.PushModel.sopClassUID, [Self.implicit])]
        let answer = try Self.answers(proposal, may: [.store], role: role)[0]
        #expect(answer.result == .acceptance && answer.role == role)
        #expect(try Self.answers(proposal, may: [.echo], role: role)[0].result == .userRejection)
    }

    @Test func `text that is not a UID is not accepted`() throws {
        #expect(try Self.answers([("../../etc", [Self.implicit])])[0].result == .abstractSyntaxNotSupported)
        #expect(try Self.answers([(Self.ctImageStorage, ["../../etc"])])[0].result == .transferSyntaxesNotSupported)
    }

    @Test(arguments: [(0, true), (1, false), (7, false), (8, true), (128, true)] as [(UInt32, Bool)])
    func `a peer that takes no fragment at all is rejected`(maximum: UInt32, isAccepted: Bool) {
        var request = Self.request([(Self.ctImageStorage, [Self.implicit])])
        request.maximumLength = maximum
        let rejection = Self.rejection(of: request, peer: Peer(name: "a", aeTitle: Self.them))
        #expect(rejection == (isAccepted ? nil : .permanentLocalLimit))
    }

    @Test func `every context is answered, in order`() throws {
        let proposals = (0..<128).map { ("1.2.3.\($0)", [Self.implicit]) }
        #expect(try Self.answers(proposals).map(\.id) == (0..<128).map { UInt8(2 * $0 + 1) })
    }
}
