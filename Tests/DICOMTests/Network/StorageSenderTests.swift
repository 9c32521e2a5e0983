// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import TestSupport
import Testing

@Suite(.serialized) struct StorageSenderTests {
    static let context = SOPClassAndSyntax(
        sopClassUID: RawClient.ctImageStorage, transferSyntaxUID: "1.2.840.10008.1.2.4.50")

    /// A Part 10 file around `dataSet`.
    private func withFile<Result>(_ dataSet: [UInt8], _ body: (String) async throws -> Result) async throws -> Result {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString).dcm").path
        let meta = FileMeta(
            sopClassUID: Self.context.sopClassUID, sopInstanceUID: "1.2.3.4",
            transferSyntaxUID: Self.context.transferSyntaxUID)
        try Data(meta.encoded + dataSet).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    private func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await DedicatedThread.run(name: "test-sender", body)
    }

    private func sender(_ limits: AssociationLimits = AssociationLimits()) -> StorageSender {
        StorageSender(aeTitle: LoopbackNode.caller, limits: limits)
    }

    @Test(arguments: [0, 2, 4090, 131_066, 131_068, 3_000_000])
    func `a data set arrives as it lies on disk`(size: Int) async throws {
        var fuzzer = ByteFuzzer(seed: UInt64(size))
        let dataSet = (0..<size).map { _ in UInt8.random(in: 0...255, using: &fuzzer) }
        try await LoopbackNode.with { node in
            let peer = node.peer
            try await withFile(dataSet) { path in
                let status = try await onThread {
                    let association = try sender().connect(to: peer, contexts: [Self.context])
                    defer { association.release() }
                    return try association.store(path: path)
                }
                #expect(status == .success)
            }
            #expect(
                node.received == [
                    .init(
                        sopInstanceUID: "1.2.3.4", transferSyntaxUID: Self.context.transferSyntaxUID, dataSet: dataSet)
                ])
            #expect(try await node.ending() == "released")
        }
    }

    @Test func `several instances go over one association, and a refusal is a status`() async throws {
        try await LoopbackNode.with(status: .outOfResources) { node in
            let peer = node.peer
            try await withFile([1, 2, 3, 4]) { path in
                let statuses = try await onThread {
                    let association = try sender().connect(to: peer, contexts: [Self.context])
                    defer { association.release() }
                    return try (0..<5).map { _ in try association.store(path: path) }
                }
                #expect(statuses == [DIMSEStatus](repeating: .outOfResources, count: 5))
            }
        }
    }

    @Test func `a peer that does not accept the class says so, and the association goes on`() async throws {
        try await LoopbackNode.with(may: [.echo]) { node in
            let peer = node.peer
            try await withFile([1, 2]) { path in
                let errors = try await onThread {
                    let association = try sender().connect(to: peer, contexts: [Self.context])
                    defer { association.release() }
                    return (0..<2).map { _ in
                        #expect(throws: AssociationError.self) { try association.store(path: path) }
                    }
                }
                let expected = AssociationError.noPresentationContext(
                    sopClassUID: Self.context.sopClassUID, transferSyntaxUID: Self.context.transferSyntaxUID)
                #expect(errors == [expected, expected])
            }
            #expect(try await node.ending() == "released")
        }
    }

    @Test func `a file that is not a Part 10 file is not sent, and the association goes on`() async throws {
        try await LoopbackNode.with { node in
            let peer = node.peer
            try await withFile([1, 2]) { path in
                try await onThread {
                    let association = try sender().connect(to: peer, contexts: [Self.context])
                    defer { association.release() }
                    #expect(throws: AssociationError.unreadableFile(reason: "No such file or directory")) {
                        try association.store(path: path + ".missing")
                    }
                    let notPart10 = AssociationError.unreadableFile(
                        reason: "not a DICOM file: no File Meta Information")
                    #expect(throws: notPart10) { try association.store(path: "/proc/self/status") }
                    #expect(try association.store(path: path) == .success)
                }
            }
        }
    }

    @Test func `an unknown peer is rejected permanently`() async throws {
        try await LoopbackNode.with { node in
            let peer = node.peer
            let error = try await onThread {
                #expect(throws: AssociationError.self) {
                    try StorageSender(aeTitle: AETitle("STRANGER")!).echo(peer)
                }
            }
            #expect(error == .rejected(.callingAETitleNotRecognized))
            #expect(AssociationRejection.localLimitExceeded.isTransient)
            #expect(!AssociationRejection.callingAETitleNotRecognized.isTransient)
        }
    }

    @Test(arguments: ["127.0.0.1", "::1", "localhost"])
    func `a node on every address is reached over both families`(host: String) async throws {
        try await LoopbackNode.with(bind: IPAddress("::")!) { node in
            var peer = node.peer
            peer.host = host
            let called = peer
            let status = try await onThread { try sender().echo(called) }
            #expect(status == .success)
        }
    }

    @Test func `a peer that does not listen cannot be connected`() async throws {
        let port = try AssociationListener(bind: .anyIPv4, port: 0).port
        let peers = [
            Peer(name: "none", aeTitle: LoopbackNode.aeTitle, host: "127.0.0.1", port: port),
            Peer(name: "nameless", aeTitle: LoopbackNode.aeTitle, host: "does-not-exist.invalid", port: 104),
            Peer(name: "hostless", aeTitle: LoopbackNode.aeTitle),
        ]
        for peer in peers {
            let error = try await onThread { #expect(throws: AssociationError.self) { try sender().echo(peer) } }
            guard case .notConnected = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func `a peer that never answers is given up`() async throws {
        // Nobody accepts: the kernel takes the connection and the request.
        let listener = try AssociationListener(bind: .anyIPv4, port: 0)
        let peer = Peer(name: "mute", aeTitle: LoopbackNode.aeTitle, host: "127.0.0.1", port: listener.port)
        let error = try await onThread {
            #expect(throws: AssociationError.self) {
                try sender(AssociationLimits(negotiation: .milliseconds(500))).echo(peer)
            }
        }
        #expect(error == .timeout(waitingFor: "the answer to A-ASSOCIATE-RQ"))
        withExtendedLifetime(listener) {}
    }

    @Test func `an interruption ends a blocked call`() async throws {
        let listener = try AssociationListener(bind: .anyIPv4, port: 0)
        let peer = Peer(name: "mute", aeTitle: LoopbackNode.aeTitle, host: "127.0.0.1", port: listener.port)
        let interruption = Interruption()
        let start = SuspendingClock.now
        async let error = onThread {
            #expect(throws: AssociationError.self) { try sender().echo(peer, interruption: interruption) }
        }
        try await Task.sleep(for: .milliseconds(300))
        interruption.stop()
        #expect(try await error == .connectionLost(reason: "the node is stopping"))
        #expect(SuspendingClock.now - start < .seconds(5))
        withExtendedLifetime(listener) {}
    }
}
