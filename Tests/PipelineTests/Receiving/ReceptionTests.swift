// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import TestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(2))) struct ReceptionTests {
    /// Stores an instance of `count` bytes.
    ///
    /// - Returns: the status, as four digits; nil when the association is over.
    private static func store(_ client: RawClient, _ instance: String = "1.2.3.4", count: Int = 2000) -> String? {
        client.send(RawClient.data(RawClient.store(instance), command: true, last: true))
        let part = [UInt8](repeating: 7, count: count / 2)
        client.send(RawClient.data(part, command: false, last: false))
        client.send(RawClient.data(part, command: false, last: true))
        return client.status()
    }

    private func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await DedicatedThread.run(name: "test-client", body)
    }

    @Test(arguments: [
        ("open", ENOSPC, "A700"), ("write", ENOSPC, "A700"), ("fdatasync", ENOSPC, "A700"), ("fsync", ENOSPC, "A700"),
        ("commit", ENOSPC, "A700"), ("open", EIO, "0110"), ("write", EIO, "0110"), ("fdatasync", EIO, "0110"),
        ("fsync", EIO, "0110"), ("commit", EIO, "0110"),
    ])
    func `a full or failing disk is refused, leaves nothing, and the association goes on`(
        call: String, code: Int32, status: String
    ) async throws {
        let disk = FailingDisk()
        try await RunningListener.with(calls: disk.calls) { listener in
            let statuses = try await onThread {
                let client = try #require(listener.client())
                let before = Self.store(client, "1.2.3.1")
                disk.fail(call, code)
                let during = Self.store(client, "1.2.3.2")
                disk.fail(nil)
                return [before, during, Self.store(client, "1.2.3.3")]
            }
            #expect(statuses == ["0000", status, "0000"])
            #expect(try await listener.received().map(\.sopInstanceUID) == ["1.2.3.1", "1.2.3.3"])
            #expect(try listener.files().count == 2)
        }
    }

    @Test func `an instance larger than the limit is read to its end and refused`() async throws {
        try await RunningListener.with(maxInstance: 10_000) { listener in
            let statuses = try await onThread {
                let client = try #require(listener.client())
                return [Self.store(client, "1.2.3.1", count: 60_000), Self.store(client, "1.2.3.2")]
            }
            #expect(statuses == ["A700", "0000"])
            #expect(try listener.files().count == 1)
        }
    }

    @Test func `an association that cannot be given room is turned away for now, and Verification is not`() async throws
    {
        try await RunningListener.with(minimumFree: 1 << 60) { listener in
            let peer = Peer(name: "us", aeTitle: RunningListener.us, host: "127.0.0.1", port: listener.port)
            let sender = AssociationRequestor(aeTitle: RunningListener.them, senders: .tests)
            let contexts = [
                SOPClassAndSyntax(sopClassUID: RawClient.ctImageStorage, transferSyntaxUID: "1.2.840.10008.1.2")
            ]
            try await onThread {
                #expect(throws: AssociationError.rejected(.localLimitExceeded)) {
                    try sender.connect(to: peer, contexts: ContextProposal.storage(contexts)).release()
                }
                let status = try sender.echo(peer)
                #expect(status == .success)
            }
        }
    }

    @Test func `when all slots are taken two are left for Verification`() async throws {
        try await RunningListener.with(maxAssociations: 2) { listener in
            let peer = Peer(name: "us", aeTitle: RunningListener.us, host: "127.0.0.1", port: listener.port)
            let sender = AssociationRequestor(aeTitle: RunningListener.them, senders: .tests)
            let contexts = [
                SOPClassAndSyntax(sopClassUID: RawClient.ctImageStorage, transferSyntaxUID: "1.2.840.10008.1.2")
            ]
            try await onThread {
                let open = try (0..<2).map { _ in
                    try sender.connect(to: peer, contexts: ContextProposal.storage(contexts))
                }
                #expect(throws: AssociationError.rejected(.localLimitExceeded)) {
                    try sender.connect(to: peer, contexts: ContextProposal.storage(contexts)).release()
                }
                let status = try sender.echo(peer)
                #expect(status == .success)
                for association in open { association.release() }
                try sender.connect(to: peer, contexts: ContextProposal.storage(contexts)).release()
            }
        }
    }

    @Test func `an association is open while it may bring more`() async throws {
        try await RunningListener.with { listener in
            let client = try await onThread {
                let client = try #require(listener.client())
                #expect(Self.store(client) == "0000")
                return UncheckedClient(client)
            }
            let association = try #require(try await listener.received().first?.association)
            #expect(listener.open.isAnyOpen(of: [association]))
            try await onThread {
                client.value.send([5, 0, 0, 0, 0, 4, 0, 0, 0, 0])
                #expect(client.value.receive() == .pdu(type: 6, body: [0, 0, 0, 0]))
            }
            for _ in 0..<100 where listener.open.isAnyOpen(of: [association]) {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(!listener.open.isAnyOpen(of: [association]))
        }
    }

    @Test func `an association that breaks off within a data set leaves nothing`() async throws {
        try await RunningListener.with { listener in
            let (ended, end) = AsyncStream<UUID>.makeStream()
            listener.open.whenOneEnds { end.yield($0) }
            try await onThread {
                let client = try #require(listener.client())
                client.send(RawClient.data(RawClient.store(), command: true, last: true))
                client.send(RawClient.data([1, 2], command: false, last: false))
            }
            for await _ in ended { break }
            #expect(try listener.files().isEmpty)
            #expect(try await listener.received().isEmpty)
        }
    }

    @Test func `a class that was not negotiated for the context is refused`() async throws {
        try await RunningListener.with { listener in
            let status = try await onThread {
                let client = try #require(listener.client())
                let command = RawClient.store(of: "1.2.840.10008.5.1.4.1.1.4")
                client.send(RawClient.data(command, command: true, last: true))
                client.send(RawClient.data([1, 2], command: false, last: true))
                return client.status()
            }
            #expect(status == "0122")
            #expect(try listener.files().isEmpty)
        }
    }
}

/// What becomes of associations when the node stops.
@Suite(.serialized) struct StoppingTests {
    /// Runs `client` against a listener that is stopped when `client` says so.
    ///
    /// - Returns: what `client` returned, and how long stopping took.
    private func stopping<Result: Sendable>(
        _ client: @escaping @Sendable (RawClient, _ stop: @Sendable () -> Void) -> Result
    ) async throws -> (Result, Duration) {
        let (stopped, stop) = AsyncStream<Void>.makeStream()
        let result = try await RunningListener.with { listener in
            let work = Task {
                try await DedicatedThread.run(name: "test-client") {
                    client(try #require(listener.client())) { stop.yield() }
                }
            }
            for await _ in stopped { break }
            return (work, SuspendingClock.now)
        }
        let duration = SuspendingClock.now - result.1
        return (try await result.0.value, duration)
    }

    @Test func `an idle association is aborted at once`() async throws {
        let (answer, duration) = try await stopping { client, stop in
            stop()
            return client.receive()
        }
        #expect(answer == .pdu(type: 7, body: [0, 0, 2, 0]))
        #expect(duration < .seconds(2))
    }

    @Test func `an instance in flight is finished and acknowledged`() async throws {
        let (answers, duration) = try await stopping { client, stop in
            client.send(RawClient.data(RawClient.store(), command: true, last: true))
            client.send(RawClient.data([1, 2], command: false, last: false))
            usleep(100_000)
            stop()
            usleep(500_000)
            client.send(RawClient.data([3, 4], command: false, last: true))
            return [client.receive(), client.receive()]
        }
        guard case .pdu(4, let body) = answers[0] else {
            Issue.record("\(answers)")
            return
        }
        #expect(body.suffix(2).count == 2)
        #expect(answers[1] == .pdu(type: 7, body: [0, 0, 2, 0]))
        #expect(duration < .seconds(3))
    }

    @Test func `an instance that does not come to its end is cut off after five seconds`() async throws {
        let (answer, duration) = try await stopping { client, stop in
            client.send(RawClient.data(RawClient.store(), command: true, last: true))
            client.send(RawClient.data([1, 2], command: false, last: false))
            usleep(100_000)
            stop()
            return client.receive()
        }
        #expect(answer == .pdu(type: 7, body: [0, 0, 2, 0]))
        #expect(duration > .seconds(4) && duration < .seconds(9))
    }
}

/// Carries a client between threads that use it one after the other.
// Sendable: the tests hand the client on, they do not share it.
private struct UncheckedClient: @unchecked Sendable {
    let value: RawClient

    init(_ value: RawClient) { self.value = value }
}
