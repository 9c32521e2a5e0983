// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Platform
import TestSupport
import Testing

/// Associations that the node requests of raw peers, by real `kontur sender` processes.
@Suite(.serialized) struct RequestedAssociationTests {
    private static let senders = SenderPool(executable: Executables.kontur)
    private static let ct = "1.2.840.10008.5.1.4.1.1.2"
    private static let explicit = TransferSyntax.explicitVRLittleEndian.rawValue
    private static let implicit = TransferSyntax.implicitVRLittleEndian.rawValue
    private static let context = SOPClassAndSyntax(sopClassUID: ct, transferSyntaxUID: explicit)

    /// Runs `body` on a thread, with an association to a peer and a Part 10 file around `dataSet`.
    private func associate<Result: Sendable>(
        _ peer: Peer, dataSet: [UInt8] = [1, 2], limits: AssociationLimits = AssociationLimits(),
        interruption: Interruption = Interruption(), contexts: [ContextProposal] = ContextProposal.storage([context]),
        _ body: @escaping @Sendable (RequestedAssociation, String) throws -> Result
    ) async throws -> Result {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString).dcm").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let meta = FileMeta(sopClassUID: Self.ct, sopInstanceUID: "1.2.3.4", transferSyntaxUID: Self.explicit)
        try Data(meta.encoded + dataSet).write(to: URL(fileURLWithPath: path))
        return try await DedicatedThread.run(name: "test-sender") {
            let association = try AssociationRequestor(
                aeTitle: AETitle("KONTUR")!, limits: limits, senders: Self.senders
            ).connect(to: peer, contexts: contexts, interruption: interruption)
            defer { association.release() }
            return try body(association, path)
        }
    }

    private func store(_ dataSet: [UInt8], at archive: RawArchive) async throws -> RawArchive.State {
        let status = try await associate(archive.peer, dataSet: dataSet) { try $0.store(path: $1) }
        #expect(status == .success)
        return archive.state
    }

    /// The error with which the association, or the C-STORE in it, ends.
    private func error(
        _ behaviour: RawArchive.Behaviour, dataSet: [UInt8] = [1, 2], limits: AssociationLimits = AssociationLimits()
    ) async throws -> (AssociationError?, RawArchive) {
        let archive = try RawArchive(behaviour)
        let error = await #expect(throws: AssociationError.self) {
            try await associate(archive.peer, dataSet: dataSet, limits: limits) { try $0.store(path: $1) }
        }
        return (error, archive)
    }

    // MARK: Data sets

    @Test(arguments: [8, 9, 128, 1024, 16_384, 131_072, 0] as [UInt32], [0, 1000, 300_000])
    func `a data set arrives as it lies on disk, in PDUs that the peer takes`(maximum: UInt32, size: Int) async throws {
        let archive = try RawArchive(.init(maximumLength: maximum))
        let dataSet = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let state = try await store(dataSet, at: archive)
        #expect(maximum == 0 || state.longest <= Int(maximum))
        #expect(!state.hasOddFragment)
        #expect(state.dataSets == [dataSet])
        #expect(await archive.waits { $0.isReleased })
    }

    @Test func `a peer that does not take a fragment at all gets A-ABORT`() async throws {
        let (error, archive) = try await error(.init(maximumLength: 7))
        let cause = "the peer takes PDUs that are too short for any data"
        #expect(error == .aborted(AssociationAbort(by: .us, source: 2, reason: 0, cause: cause)))
        #expect(await archive.waits { $0.abort != nil })
    }

    @Test func `several instances go over one association, and a refusal is a status`() async throws {
        let archive = try RawArchive(.init(statuses: [0xA700, 0x0107, 0x0000]))
        let statuses = try await associate(archive.peer) { association, path in
            try (0..<5).map { _ in try association.store(path: path).rawValue }
        }
        #expect(statuses == [0xA700, 0x0107, 0, 0, 0])
        #expect(archive.state.associations == 1)
    }

    /// An element; without VR in Implicit VR.
    private static func element(_ number: UInt16, _ vr: String, _ value: [UInt8], group: UInt16 = 8) -> [UInt8] {
        let tag = [UInt8(group & 0xFF), UInt8(group >> 8), UInt8(number & 0xFF), UInt8(number >> 8)]
        let length = (0..<4).map { UInt8(truncatingIfNeeded: value.count >> (8 * $0)) }
        if vr.isEmpty { return tag + length + value }
        return tag + Array(vr.utf8) + (["OW", "SQ"].contains(vr) ? [0, 0] + length : Array(length[..<2])) + value
    }

    /// Nested sequences, an empty one, and a long value.
    private static func dataSet(isExplicit: Bool) -> [UInt8] {
        func put(_ number: UInt16, _ vr: String, _ value: [UInt8], group: UInt16 = 8) -> [UInt8] {
            element(number, isExplicit ? vr : "", value, group: group)
        }
        func item(_ value: [UInt8]) -> [UInt8] { element(0xE000, "", value, group: 0xFFFE) }
        let code = put(0x0100, "SH", Array("T-32500 ".utf8))
        let inner = put(0x2218, "SQ", item(code) + item([]))
        return put(0x0016, "UI", Array(ct.utf8) + [0]) + put(0x1115, "SQ", item(inner) + item(code))
            + put(0x1199, "SQ", []) + put(0x0010, "PN", [], group: 0x10)
            + put(0x0010, "OW", (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }, group: 0x7FE0)
    }

    @Test func `an archive that takes Implicit VR alone gets the same values in it`() async throws {
        let archive = try RawArchive(.init(maximumLength: 1024, transferSyntaxes: [Self.implicit]))
        let state = try await store(Self.dataSet(isExplicit: true), at: archive)
        #expect(state.transferSyntaxes == [Self.implicit])
        #expect(state.dataSets == [Self.dataSet(isExplicit: false)])
    }

    @Test func `an archive that takes both gets the object unchanged`() async throws {
        let archive = try RawArchive(.init(transferSyntaxes: [Self.implicit, Self.explicit]))
        let state = try await store(Self.dataSet(isExplicit: true), at: archive)
        #expect(state.transferSyntaxes == [Self.explicit])
        #expect(state.dataSets == [Self.dataSet(isExplicit: true)])
    }

    @Test func `a data set that cannot be converted is not sent, and the association goes on`() async throws {
        let archive = try RawArchive(.init(transferSyntaxes: [Self.implicit]))
        let cut = Array(Self.dataSet(isExplicit: true).dropLast(2))
        let isRefused = try await associate(archive.peer, dataSet: cut) { association, path in
            (0..<2).allSatisfy { _ in
                guard
                    case .unreadableFile? = #expect(
                        throws: AssociationError.self,
                        performing: {
                            try association.store(path: path)
                        })
                else { return false }
                return true
            }
        }
        #expect(isRefused)
        #expect(archive.state.dataSets.isEmpty && archive.state.associations == 1)
    }

    @Test func `a file that is not a Part 10 file is not sent, and the association goes on`() async throws {
        let archive = try RawArchive()
        try await associate(archive.peer) { association, path in
            #expect(throws: AssociationError.unreadableFile(reason: "No such file or directory")) {
                try association.store(path: path + ".missing")
            }
            #expect(throws: AssociationError.unreadableFile(reason: "not a DICOM file: no File Meta Information")) {
                try association.store(path: "/proc/self/status")
            }
            let status = try association.store(path: path)
            #expect(status == .success)
        }
    }

    @Test(arguments: [RawArchive.Behaviour(transferSyntaxes: []), .init(answeredSyntax: "1.2.840.10008.1.2.4.50")])
    func `a peer that does not accept the syntax says so, and the association goes on`(
        behaviour: RawArchive.Behaviour
    ) async throws {
        let archive = try RawArchive(behaviour)
        try await associate(archive.peer) { association, path in
            for _ in 0..<2 {
                #expect(
                    throws: AssociationError.noPresentationContext(
                        sopClassUID: Self.ct, transferSyntaxUID: Self.explicit)
                ) { try association.store(path: path) }
            }
        }
        #expect(await archive.waits { $0.isReleased })
    }

    // MARK: Peers that do not do as they should

    private static func malformed(_ cause: String, reason: UInt8 = 6) -> AssociationError {
        .aborted(AssociationAbort(by: .us, source: 2, reason: reason, cause: cause))
    }

    private static let answers: [([UInt8], AssociationError)] = [
        ([3, 0, 0, 0, 0, 4, 0, 1, 1, 3], .rejected(.callingAETitleNotRecognized)),
        ([3, 0, 0, 0, 0, 4, 0, 2, 3, 2], .rejected(.localLimitExceeded)),
        ([7, 0, 0, 0, 0, 4, 0, 0, 2, 1], .aborted(AssociationAbort(by: .peer, source: 2, reason: 1))),
        (Array("HTTP/1.1 400 Bad request".utf8), malformed("Unrecognized PDU type: 48")),
        ([2, 0, 0, 0, 0, 4, 0, 1, 0, 0], malformed("DUL Illegal or ill-formed PDU")),
        (
            [6, 0, 0, 0, 0, 4, 0, 0, 0, 0],
            malformed("the answer to A-ASSOCIATE-RQ is neither acceptance nor rejection", reason: 2)
        ),
    ]

    @Test(arguments: 0..<6)
    func `another answer to A-ASSOCIATE-RQ is told precisely`(index: Int) async throws {
        let (bytes, expected) = Self.answers[index]
        let (error, archive) = try await error(.init(insteadOfAcceptance: bytes))
        #expect(error == expected)
        // A mistake is answered with an A-ABORT.
        if index >= 3 { #expect(await archive.waits { $0.abort != nil }) }
    }

    @Test(arguments: [true, false])
    func `a peer that closes the connection is told`(atOnce: Bool) async throws {
        let behaviour =
            atOnce
            ? RawArchive.Behaviour(insteadOfAcceptance: [], closes: true)
            : RawArchive.Behaviour(closes: true, insteadOfResponse: [])
        let (error, _) = try await error(behaviour)
        #expect(error == .connectionLost(reason: "the peer closed the connection"))
    }

    @Test func `a peer that never answers the request is given up`() async throws {
        let (error, archive) = try await error(
            .init(insteadOfAcceptance: []), limits: AssociationLimits(negotiation: .milliseconds(400)))
        #expect(error == .timeout(waitingFor: "the answer to A-ASSOCIATE-RQ"))
        #expect(await archive.waits { $0.abort == [0, 0] })
    }

    @Test func `a peer that never responds is given up`() async throws {
        let (error, archive) = try await error(
            .init(insteadOfResponse: []), limits: AssociationLimits(response: .milliseconds(400)))
        #expect(error == .timeout(waitingFor: "a response"))
        #expect(await archive.waits { $0.abort == [0, 0] })
    }

    @Test func `an abort instead of a response is told with its source and reason`() async throws {
        let (error, _) = try await error(.init(insteadOfResponse: [7, 0, 0, 0, 0, 4, 0, 0, 2, 5]))
        #expect(error == .aborted(AssociationAbort(by: .peer, source: 2, reason: 5)))
    }

    @Test func `a response to another message ends the association`() async throws {
        let (error, archive) = try await error(.init(messageID: 77))
        #expect(error == Self.malformed("the message is not the response to the request", reason: 2))
        #expect(await archive.waits { $0.abort == [2, 2] })
    }

    @Test(arguments: [[5, 0, 0, 0, 0, 4, 0, 0, 0, 0], [7, 0, 0, 0, 0, 4, 0, 0, 0, 0]] as [[UInt8]])
    func `a peer that ends the association between two requests is noticed`(bytes: [UInt8]) async throws {
        let archive = try RawArchive(.init(afterResponse: bytes))
        let error = try await associate(archive.peer) { association, path in
            let status = try association.store(path: path)
            #expect(status == .success)
            usleep(100_000)
            return #expect(throws: AssociationError.self) { try association.store(path: path) }
        }
        let expected: AssociationError =
            bytes[0] == 5
            ? .connectionLost(reason: "the peer released the association")
            : .aborted(AssociationAbort(by: .peer, source: 0, reason: 0))
        #expect(error == expected)
    }

    // MARK: Processes, interruptions, addresses

    @Test func `a process that is killed in the middle of a transfer costs one association`() async throws {
        let archive = try RawArchive(.init(readsOnly: 5))
        let error = try await associate(archive.peer, dataSet: [UInt8](repeating: 7, count: 30_000_000)) {
            association, path in
            let id = try #require(association.processID)
            DedicatedThread.start(name: "test-kill") {
                usleep(300_000)
                kill(id, SIGKILL)
            }
            return #expect(throws: AssociationError.self) { try association.store(path: path) }
        }
        #expect(error == .connectionLost(reason: "the sending process ended by signal 9"))
        #expect(archive.state.dataSets.isEmpty)
        #expect(try await store([1, 2], at: RawArchive()).dataSets == [[1, 2]])
    }

    @Test func `an interruption ends a blocked call, also in the middle of a transfer`() async throws {
        for behaviour in [RawArchive.Behaviour(insteadOfAcceptance: []), .init(readsOnly: 5)] {
            let archive = try RawArchive(behaviour)
            let interruption = Interruption()
            let start = SuspendingClock.now
            DedicatedThread.start(name: "test-stop") {
                usleep(1_000_000)
                interruption.stop()
            }
            let error = await #expect(throws: AssociationError.self) {
                try await associate(
                    archive.peer, dataSet: [UInt8](repeating: 7, count: 30_000_000), interruption: interruption
                ) { try $0.store(path: $1) }
            }
            #expect(error == .connectionLost(reason: "the node is stopping"))
            #expect(SuspendingClock.now - start < .seconds(5))
        }
    }

    @Test func `a process requests one association after the other`() async throws {
        let archive = try RawArchive()
        var processes: Set<Int32> = []
        for _ in 0..<20 {
            processes.insert(try await associate(archive.peer) { association, _ in association.processID ?? 0 })
        }
        #expect(processes.count <= 2)
    }

    @Test(arguments: ["127.0.0.1", "::1", "localhost"])
    func `a peer on every address is reached over both families`(host: String) async throws {
        var peer = try RawArchive(bind: "::").peer
        peer.host = host
        let called = peer
        let status = try await DedicatedThread.run(name: "test-sender") {
            try AssociationRequestor(aeTitle: AETitle("KONTUR")!, senders: Self.senders).echo(called)
        }
        #expect(status == .success)
    }

    @Test func `a peer that does not listen cannot be connected`() async throws {
        let port = try ListeningSocket(bind: IPAddress("127.0.0.1")!, port: 0).port
        let title = AETitle("ARCHIVE")!
        let peers = [
            Peer(name: "none", aeTitle: title, host: "127.0.0.1", port: port),
            Peer(name: "nameless", aeTitle: title, host: "does-not-exist.invalid", port: 104),
            Peer(name: "hostless", aeTitle: title),
        ]
        for peer in peers {
            let error = await #expect(throws: AssociationError.self) {
                try await associate(peer) { _, _ in }
            }
            guard case .notConnected? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }
}
