// SPDX-License-Identifier: Apache-2.0

import Associations
import Foundation
import Platform
import TestSupport

/// A real `kontur receiver` process, and a peer of bytes that calls it.
///
/// The test plays the node and the peer on one thread.
final class ReceiverChild {
    /// A message or a PDU came that the test does not expect.
    struct Unexpected: Error { let what: String }

    let process: ChannelProcess
    private let listening: ListeningSocket
    /// The peer's end of the connection.
    var peer: StreamSocket {
        get throws {
            guard let connected else { throw Unexpected(what: "the peer is not connected") }
            return connected
        }
    }
    private var connected: StreamSocket?

    /// Starts the process, and waits until it is ready.
    init() throws {
        process = try ChannelProcess(executable: Executables.kontur, arguments: ["receiver"], environment: [:])
        listening = try ListeningSocket(bind: IPAddress("127.0.0.1")!, port: 0)
        _ = try expect(1)
    }

    // MARK: The node

    /// The next message, which has this kind.
    func expect(_ kind: UInt8) throws -> MessageReader {
        let message = try process.receive(until: MonotonicClock.now() + .seconds(60))
        guard message[0] == kind else { throw Unexpected(what: "message \(message[0]) in place of \(kind)") }
        return MessageReader(kind: message[0], fields: message[1...])
    }

    func send(_ kind: UInt8, with descriptor: Int32 = -1, _ fields: (inout MessageWriter) -> Void = { _ in }) throws {
        var writer = MessageWriter(kind: kind)
        fields(&writer)
        try process.send(writer.message, with: descriptor)
    }

    /// Connects the peer, and hands the other end of its connection to the receiver.
    ///
    /// - Parameter first: what the node has read already.
    func connect(first: [UInt8]) throws {
        let socket = try StreamSocket(
            connectingTo: [IPAddress("127.0.0.1")!], port: listening.port, within: .seconds(5), isStopped: { false })
        connected = socket
        var entries = [PollEntry(listening.descriptor, reading: true)]
        guard Polling.wait(&entries, atMost: .seconds(5)), case .connection(let accepted) = listening.accept() else {
            throw Unexpected(what: "no connection")
        }
        try send(10, with: accepted.descriptor) {
            $0.integer(UInt32(131_072))
            $0.integer(UInt8(0))
            $0.data(first)
        }
    }

    /// Accepts every proposed context with its first transfer syntax. Returns the calling AE title.
    @discardableResult
    func accept() throws -> String {
        var request = try expect(20)
        let calling = try request.text()
        for _ in 0..<2 { _ = try request.text() }
        _ = try request.integer(UInt32.self)
        for _ in 0..<2 { _ = try request.text() }
        _ = try request.data()
        for _ in 0..<2 { _ = try request.text() }
        _ = try request.integer(UInt16.self)
        var contexts: [(UInt8, String, UInt8)] = []
        for _ in 0..<(try request.integer(UInt16.self)) {
            let id = try request.integer(UInt8.self)
            _ = try request.text()
            let role = try request.integer(UInt8.self)
            let syntaxes = try (0..<(try request.integer(UInt16.self))).map { _ in try request.text() }
            contexts.append((id, syntaxes[0], role))
        }
        try request.end()
        try send(11) {
            $0.integer(UInt16(contexts.count))
            for (id, syntax, role) in contexts {
                $0.integer(id)
                $0.integer(UInt8(0))
                $0.text(syntax)
                $0.integer(role)
            }
        }
        return calling
    }

    /// The fields of `ended`: how, result, source and reason. The process is ready again then.
    func ended() throws -> [UInt8] {
        var message = try expect(3)
        let fields = Array(try message.bytes(4))
        _ = try expect(1)
        return fields
    }

    // MARK: The peer

    func say(_ bytes: [UInt8]) throws { try peer.say(bytes) }

    /// The next PDU of the receiver; `nil` if it closed the connection.
    func pdu() throws -> (type: UInt8, body: [UInt8])? {
        guard let head = try read(6) else { return nil }
        guard let body = try read(head[2...].reduce(0) { $0 << 8 | Int($1) }) else { return nil }
        return (head[0], body)
    }

    /// The status of the response that comes next.
    func status() throws -> UInt16 {
        guard let (type, body) = try pdu(), type == 4, let status = RawBytes.element(0x0900, body[6...]) else {
            throw Unexpected(what: "no response")
        }
        return UInt16(status[0]) | UInt16(status[1]) << 8
    }

    private func read(_ count: Int) throws -> [UInt8]? { try peer.bytes(count) }
}

/// The bytes of PDUs and command sets (PS3.8 9.3, PS3.7 6.3).
enum RawBytes {
    static let verification = "1.2.840.10008.1.1"
    static let ct = "1.2.840.10008.5.1.4.1.1.2"
    static let commitment = "1.2.840.10008.1.20.1"
    static let implicit = "1.2.840.10008.1.2"

    static func pdu(_ type: UInt8, _ body: [UInt8]) -> [UInt8] { [type, 0] + big(UInt32(body.count)) + body }
    static func item(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
        [type, 0, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    /// An A-ASSOCIATE-RQ.
    static func request(
        _ contexts: [(id: UInt8, abstractSyntax: String, syntaxes: [String])] = [
            (1, verification, [implicit]), (3, ct, [implicit]), (5, commitment, [implicit]),
        ], version: UInt8 = 1, maximumLength: UInt32 = 16_384, user: [UInt8] = []
    ) -> [UInt8] {
        var body: [UInt8] = [0, version, 0, 0] + Array("KONTUR          PEER            ".utf8)
        body += [UInt8](repeating: 0, count: 32) + item(0x10, Array("1.2.840.10008.3.1.1.1".utf8))
        for context in contexts {
            let syntaxes = context.syntaxes.flatMap { item(0x40, Array($0.utf8)) }
            body += item(0x20, [context.id, 0, 0, 0] + item(0x30, Array(context.abstractSyntax.utf8)) + syntaxes)
        }
        return pdu(1, body + item(0x50, item(0x51, big(maximumLength)) + item(0x52, Array("1.2.3".utf8)) + user))
    }

    /// A P-DATA-TF with one fragment. `control`: 1 command, 2 last fragment.
    static func data(_ context: UInt8, _ control: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        pdu(4, big(UInt32(bytes.count + 2)) + [context, control] + bytes)
    }

    /// A command set with its elements in order.
    static func command(
        _ field: UInt16, sopClass: String = ct, instance: String = "1.2.3.4", hasDataSet: Bool = false,
        more: [UInt8] = []
    ) -> [UInt8] {
        let elements =
            put(2, padded(sopClass)) + put(0x0100, little(field)) + put(0x0110, [1, 0])
            + put(0x0800, hasDataSet ? [0, 0] : [1, 1]) + put(0x1000, padded(instance)) + more
        return put(0, big(UInt32(elements.count)).reversed()) + elements
    }

    static let echo = data(1, 3, command(0x0030, sopClass: verification))
    static let store = data(3, 3, command(0x0001, hasDataSet: true))
    static let releaseRequest = pdu(5, [0, 0, 0, 0])

    static func put(_ element: UInt16, _ value: [UInt8], group: UInt16 = 0) -> [UInt8] {
        little(group) + little(element) + big(UInt32(value.count)).reversed() + value
    }

    /// The value of an element of a command set.
    static func element(_ number: UInt16, _ command: ArraySlice<UInt8>) -> [UInt8]? {
        var rest = command
        while rest.count >= 8 {
            let head = Array(rest.prefix(8))
            let length = Int(head[4]) | Int(head[5]) << 8
            if Array(head[2...3]) == little(number) { return Array(rest.dropFirst(8).prefix(length)) }
            rest = rest.dropFirst(8 + length)
        }
        return nil
    }

    static func padded(_ text: String) -> [UInt8] { Array(text.utf8) + (text.utf8.count % 2 == 0 ? [] : [0]) }
    static func little(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
    static func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
}
