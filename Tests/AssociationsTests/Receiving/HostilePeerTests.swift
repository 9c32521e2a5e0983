// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Platform
import TestSupport
import Testing

/// What strangers and broken peers send over raw sockets: each gets its answer, and the node answers C-ECHO within a
/// second throughout.
@Suite(.serialized, .enabled(if: ReceivingNode.hasKontur)) struct HostilePeerTests {
    /// Runs `attack` on a thread, and verifies the node while it stands and afterwards.
    private func attack(
        _ attack: @escaping @Sendable (UInt16) -> RawClient.Answer
    ) async throws -> RawClient.Answer {
        try await ReceivingNode.with { node in
            let port = node.port
            let answer = try await DedicatedThread.run(name: "test-attack") { attack(port) }
            try await echo(node)
            return answer
        }
    }

    /// Verifies the node, which has to take less than a second.
    private func echo(_ node: ReceivingNode) async throws {
        let port = node.port
        let start = SuspendingClock.now
        let status =
            try await DedicatedThread.run(name: "test-echo") {
                let client = RawClient(port: port)
                guard client.associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle) else { return nil }
                client.send(RawClient.data(RawClient.echo, context: 3, command: true, last: true))
                return client.status()
            } as String?
        #expect(status == "0000")
        #expect(SuspendingClock.now - start < .seconds(1))
    }

    /// The status of an answer to C-ECHO.
    private func expectEcho(_ answer: RawClient.Answer) {
        guard case .pdu(4, let body) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(body.suffix(2) == [0, 0])
    }

    private func abort(_ source: UInt8, _ reason: UInt8) -> RawClient.Answer {
        .pdu(type: 7, body: [0, 0, source, reason])
    }

    @Test func `20,000 nested sequences in a command get A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            var command = RawClient.command(0x0001)
            for _ in 0..<20_000 {
                command += RawClient.element(0x0901, [], length: 0xFFFF_FFFF)
                command += RawClient.element(0xE000, [], group: 0xFFFE, length: 0xFFFF_FFFF)
            }
            for start in stride(from: 0, to: command.count, by: 16_000) {
                let end = min(start + 16_000, command.count)
                let isSent = client.send(
                    RawClient.data(Array(command[start..<end]), command: true, last: end == command.count))
                if !isSent { break }
            }
            return client.receive()
        }
        #expect(answer == abort(2, 6))
    }

    @Test func `an endless command gets A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            while client.send(RawClient.data([UInt8](repeating: 0, count: 1000), command: true, last: false)) {}
            return client.receive()
        }
        #expect(answer == abort(2, 6))
    }

    @Test func `empty fragments without end get A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send(RawClient.data([], command: true, last: false))
            return client.receive()
        }
        #expect(answer == abort(2, 6))
    }

    @Test(arguments: [0xFFFF_FFFF, 131_073, 0] as [UInt32])
    func `a PDU longer than negotiated, or too short for its content, gets A-ABORT`(length: UInt32) async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send(RawClient.data(RawClient.echo, context: 3, command: true, last: true, pduLength: length))
            return client.receive()
        }
        guard case .pdu(7, let body) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(body[2] == 2)
    }

    @Test(arguments: [0xFFFF_FFFF, 1, 0, 100_000] as [UInt32])
    func `a PDV that is longer than its PDU or shorter than its header gets A-ABORT`(length: UInt32) async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send(RawClient.data(RawClient.echo, context: 3, command: true, last: true, pdvLength: length))
            return client.receive()
        }
        #expect(answer == abort(2, 6))
    }

    @Test func `a data set on another context than its command gets A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send(RawClient.data(RawClient.store(), command: true, last: true))
            client.send(RawClient.data([1, 2], context: 3, command: false, last: true))
            return client.receive()
        }
        #expect(answer == abort(2, 2))
    }

    @Test(arguments: [1, 2, 3, 6] as [UInt8])
    func `a PDU that is not allowed in data transfer gets A-ABORT`(type: UInt8) async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send([type, 0, 0, 0, 0, 4, 0, 0, 0, 0])
            return client.receive()
        }
        #expect(answer == abort(2, 2))
    }

    @Test func `an unknown type of PDU gets A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            client.send([9, 0, 0, 0, 0, 0])
            return client.receive()
        }
        #expect(answer == abort(2, 1))
    }

    @Test func `a response without a request gets A-ABORT`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            let response =
                RawClient.element(0x0100, [0x30, 0x80]) + RawClient.element(0x0120, [1, 0])
                + RawClient.element(0x0800, [1, 1])
            client.send(RawClient.data(response, context: 3, command: true, last: true))
            return client.receive()
        }
        #expect(answer == abort(2, 2))
    }

    @Test func `a malformed A-ASSOCIATE-RQ gets A-ABORT`() async throws {
        let answer = try await attack { port in
            let client = RawClient(port: port)
            client.send([1, 0, 0, 0, 0, 4, 0, 1, 0, 0])
            return client.receive()
        }
        #expect(answer == abort(2, 6))
    }

    @Test func `a peer that sends other bytes first is disconnected`() async throws {
        let answer = try await attack { port in
            let client = RawClient(port: port)
            client.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            return client.receive()
        }
        #expect(answer == .closed)
    }

    @Test func `a request of up to 1 MiB is answered, and a longer one is rejected`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            let answers = try await DedicatedThread.run(name: "test-long") {
                let longest = RawClient(port: port)
                longest.send(
                    RawClient.request(
                        calling: ReceivingNode.caller, called: ReceivingNode.aeTitle, length: 1 << 20))
                let longer = RawClient(port: port)
                longer.send(
                    RawClient.request(
                        calling: ReceivingNode.caller, called: ReceivingNode.aeTitle, length: 1 << 20 + 1))
                return (longest.receive(), longer.receive())
            }
            guard case .pdu(2, _) = answers.0 else {
                Issue.record("\(answers.0)")
                return
            }
            #expect(answers.1 == .pdu(type: 3, body: [0, 1, 3, 2]))
        }
    }

    @Test func `N-ACTION is answered 0211 and the association goes on`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            let action = RawClient.command(0x0130, dataSetType: 0)
            client.send(RawClient.data(action, command: true, last: true))
            client.send(RawClient.data([1, 2, 3, 4], command: false, last: true))
            guard case .pdu(4, let body) = client.receive(), body.suffix(2) == [0x11, 0x02] else { return .nothing }
            client.send(RawClient.data(RawClient.echo, context: 3, command: true, last: true))
            return client.receive()
        }
        expectEcho(answer)
    }

    @Test func `C-CANCEL is not answered`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            let cancel =
                RawClient.element(0x0100, [0xFF, 0x0F]) + RawClient.element(0x0120, [1, 0])
                + RawClient.element(0x0800, [1, 1])
            client.send(RawClient.data(cancel, command: true, last: true))
            client.send(RawClient.data(RawClient.echo, context: 3, command: true, last: true))
            return client.receive()
        }
        expectEcho(answer)
    }

    @Test func `fragments of one byte, several in a PDU, make a message`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            var values: [UInt8] = []
            for (index, byte) in RawClient.echo.enumerated() {
                values += [0, 0, 0, 3, 3, index == RawClient.echo.count - 1 ? 3 : 1, byte]
            }
            let length = UInt32(values.count)
            client.send([4, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + values)
            return client.receive()
        }
        expectEcho(answer)
    }

    @Test func `a request that begins within the PDU of another one is read to its end`() async throws {
        let answer = try await attack { port in
            guard let client = ReceivingNode.client(of: port) else { return .nothing }
            let first = RawClient.data(RawClient.echo, context: 3, command: true, last: true)
            let half = RawClient.data(Array(RawClient.echo[..<30]), context: 3, command: true, last: false)
            let values = Array(first[6...]) + Array(half[6...])
            client.send([4, 0, 0, 0, 0, UInt8(values.count)] + values)
            guard case .pdu(4, _) = client.receive() else { return .nothing }
            client.send(RawClient.data(Array(RawClient.echo[30...]), context: 3, command: true, last: true))
            return client.receive()
        }
        expectEcho(answer)
    }

    @Test func `200 silent connections do not delay others, and are closed after five seconds`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            let silent = try await DedicatedThread.run(name: "test-silent") {
                Unchecked((0..<200).map { _ in RawClient(port: port) })
            }
            try await echo(node)
            let start = SuspendingClock.now
            let answer = try await DedicatedThread.run(name: "test-silent") { silent.value.map { $0.receive() } }
            #expect(answer.allSatisfy { $0 == .closed })
            #expect(SuspendingClock.now - start < .seconds(7))
        }
    }

    @Test func `one byte per second is too slow for an A-ASSOCIATE-RQ`() async throws {
        try await ReceivingNode.with { node in
            let port = node.port
            async let sent = DedicatedThread.run(name: "test-slow") {
                let client = RawClient(port: port)
                let request = RawClient.request(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle)
                var count = 0
                while count < 10, client.send([request[count]]) {
                    count += 1
                    sleep(1)
                }
                return count
            }
            for _ in 0..<5 { try await echo(node) }
            #expect(try await sent < 10)
        }
    }

    @Test func `if too many connections wait, the oldest is closed`() async throws {
        try await ReceivingNode.with(bounds: ConnectionBounds(waiting: (4, 4))) { node in
            let port = node.port
            let answers = try await DedicatedThread.run(name: "test-many") {
                let first = RawClient(port: port)
                usleep(200_000)
                let others = (0..<4).map { _ in RawClient(port: port) }
                let start = SuspendingClock.now
                let answer = first.receive()
                return withExtendedLifetime(others) { (answer, SuspendingClock.now - start) }
            }
            #expect(answers.0 == .closed)
            #expect(answers.1 < .seconds(2))
        }
    }

    @Test func `an association without requests is ended after its idle limit`() async throws {
        try await ReceivingNode.with(idleLimit: .seconds(1)) { node in
            let port = node.port
            let answer = try await DedicatedThread.run(name: "test-idle") {
                let client = RawClient(port: port)
                guard client.associate(calling: ReceivingNode.caller, called: ReceivingNode.aeTitle) else {
                    return RawClient.Answer.nothing
                }
                return client.receive()
            }
            #expect(answer == abort(2, 0))
            #expect(try await node.ending() == "the peer did not answer in time: waiting for a request")
        }
    }

    @Test func `rejected connections that stay open are bounded, for each caller and in all`() async throws {
        try await ReceivingNode.with(bounds: ConnectionBounds(rejected: (8, 4), closingLimit: .seconds(30))) { node in
            let port = node.port
            let closed = try await DedicatedThread.run(name: "test-rejected") {
                let clients = (0..<20).map { _ in
                    let client = RawClient(port: port)
                    _ = client.associate(calling: AETitle("STRANGER")!, called: ReceivingNode.aeTitle)
                    return client
                }
                usleep(500_000)
                // The node has closed all but four: what is sent to the others is answered with a reset.
                for client in clients { client.send([0]) }
                usleep(200_000)
                return clients.count { !$0.send([0]) }
            }
            #expect(closed == 16)
            try await echo(node)
        }
    }
}
