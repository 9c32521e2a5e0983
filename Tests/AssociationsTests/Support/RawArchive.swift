// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import Synchronization

/// A storage SCP of sockets and bytes on a free port of this machine that behaves as it is told.
///
/// It takes one connection after the other.
final class RawArchive: Sendable {
    /// What the archive does.
    struct Behaviour: Sendable {
        /// The maximum PDU length that it announces.
        var maximumLength: UInt32 = 16_384
        /// The transfer syntaxes that it takes; `nil` for the first that is proposed.
        var transferSyntaxes: [String]?
        /// The transfer syntax with which it answers, whatever was proposed.
        var answeredSyntax: String?
        /// The bytes that it sends instead of A-ASSOCIATE-AC; empty to say nothing.
        var insteadOfAcceptance: [UInt8]?
        /// Whether it closes the connection after `insteadOfAcceptance` or `insteadOfResponse`.
        var closes = false
        /// The P-DATA-TF after which it stops reading, as a count.
        var readsOnly: Int?
        /// The bytes that it sends instead of a response; empty to say nothing.
        var insteadOfResponse: [UInt8]?
        /// The statuses of its responses; the last one for all others.
        var statuses: [UInt16] = [0]
        /// The message ID that it answers, instead of the request's.
        var messageID: UInt16?
        /// The bytes that it sends after the first response.
        var afterResponse: [UInt8] = []
    }

    struct State: Sendable {
        var associations = 0
        /// Bytes of the longest variable part of a P-DATA-TF that came.
        var longest = 0
        var hasOddFragment = false
        var transferSyntaxes: [String] = []
        var dataSets: [[UInt8]] = []
        /// The A-ABORT that came: source and reason.
        var abort: [UInt8]?
        var isReleased = false
    }

    private let listening: ListeningSocket
    private let behaviour: Behaviour
    private let mutex = Mutex(State())

    init(_ behaviour: Behaviour = Behaviour(), bind: String = "127.0.0.1") throws {
        self.behaviour = behaviour
        listening = try ListeningSocket(bind: IPAddress(bind)!, port: 0)
        DedicatedThread.start(name: "test-archive") { [self] in
            while true {
                var entries = [PollEntry(listening.descriptor, reading: true)]
                guard Polling.wait(&entries, atMost: .seconds(20)) else { return }
                guard case .connection(let socket) = listening.accept() else { return }
                try? serve(socket)
            }
        }
    }

    var peer: Peer { Peer(name: "archive", aeTitle: AETitle("ARCHIVE")!, host: "127.0.0.1", port: listening.port) }
    var state: State { mutex.withLock { $0 } }

    /// Waits until the state is as expected, for five seconds at most.
    func waits(until isReached: (State) -> Bool) async -> Bool {
        for _ in 0..<100 {
            if isReached(state) { return true }
            await Pause.wait(.milliseconds(50))
        }
        return false
    }

    private func serve(_ socket: StreamSocket) throws {
        let request = try Self.pdu(socket).body
        mutex.withLock { $0.associations += 1 }
        if let bytes = behaviour.insteadOfAcceptance { return try say(bytes, socket) }
        let contexts = Self.contexts(request)
        let answers = contexts.map { (id: $0.id, syntax: answer(to: $0.syntaxes)) }
        try Self.write(acceptance(of: request, answers), socket)
        var (command, dataSet): ([UInt8], [UInt8]) = ([], [])
        var count = 0
        while true {
            let (type, body) = try Self.pdu(socket)
            switch type {
            case 4: break
            case 5:
                mutex.withLock { $0.isReleased = true }
                return try Self.write([6, 0, 0, 0, 0, 4, 0, 0, 0, 0], socket)
            default: return mutex.withLock { $0.abort = Array(body[2...3]) }
            }
            count += 1
            if count == behaviour.readsOnly {
                while true { usleep(100_000) }
            }
            let (id, flags, fragment) = (body[4], body[5], body[6...])
            mutex.withLock {
                $0.longest = max($0.longest, body.count)
                $0.hasOddFragment = $0.hasOddFragment || fragment.count % 2 == 1
            }
            if flags & 1 != 0 { command += fragment } else { dataSet += fragment }
            // A C-ECHO-RQ does not have a data set.
            guard flags == 2 || flags == 3 && Self.element(0x0800, command) == [1, 1] else { continue }
            if flags == 2 {
                let (whole, syntax) = (dataSet, answers.first { $0.id == id }?.syntax)
                mutex.withLock {
                    $0.dataSets.append(whole)
                    $0.transferSyntaxes.append(syntax ?? "")
                }
            }
            if let bytes = behaviour.insteadOfResponse { return try say(bytes, socket) }
            let answered = state.dataSets.count
            try Self.write(response(to: command, id: id, answered: answered), socket)
            if answered == 1 { try Self.write(behaviour.afterResponse, socket) }
            (command, dataSet) = ([], [])
        }
    }

    /// Sends bytes, and closes the connection or waits for the peer to do so.
    private func say(_ bytes: [UInt8], _ socket: StreamSocket) throws {
        try Self.write(bytes, socket)
        while !behaviour.closes {
            let (type, body) = try Self.pdu(socket)
            if type == 7 { mutex.withLock { $0.abort = Array(body[2...3]) } }
        }
    }

    private func answer(to proposed: [String]) -> String? {
        if let answered = behaviour.answeredSyntax { return answered }
        guard let taken = behaviour.transferSyntaxes else { return proposed.first }
        return proposed.first { taken.contains($0) }
    }

    // MARK: Bytes

    private func acceptance(of request: [UInt8], _ answers: [(id: UInt8, syntax: String?)]) -> [UInt8] {
        var items = Self.item(0x10, Array("1.2.840.10008.3.1.1.1".utf8))
        for (id, syntax) in answers {
            let name = Self.item(0x40, Array((syntax ?? "1.2.840.10008.1.2").utf8))
            items += Self.item(0x21, [id, 0, syntax == nil ? 4 : 0, 0] + name)
        }
        items += Self.item(
            0x50, Self.item(0x51, Self.big(behaviour.maximumLength)) + Self.item(0x52, Array("1.2.3".utf8)))
        let body = [0, 1, 0, 0] + request[4..<36] + [UInt8](repeating: 0, count: 32) + items
        return [2, 0] + Self.big(UInt32(body.count)) + body
    }

    private func response(to command: [UInt8], id: UInt8, answered: Int) -> [UInt8] {
        let status = behaviour.statuses[min(max(answered, 1), behaviour.statuses.count) - 1]
        let field = Self.element(0x0100, command) ?? []
        let elements =
            Self.put(0x0100, [field[0], 0x80])
            + Self.put(0x0120, behaviour.messageID.map(Self.little) ?? Self.element(0x0110, command) ?? [])
            + Self.put(0x0800, [1, 1]) + Self.put(0x0900, Self.little(status))
        let whole = Self.put(0, [UInt8(elements.count), 0, 0, 0]) + elements
        return [4, 0] + Self.big(UInt32(whole.count + 6)) + Self.big(UInt32(whole.count + 2)) + [id, 3] + whole
    }

    /// The presentation contexts of an A-ASSOCIATE-RQ (PS3.8 9.3.2).
    private static func contexts(_ request: [UInt8]) -> [(id: UInt8, syntaxes: [String])] {
        items(request[68...]).filter { $0.type == 0x20 }.map { _, body in
            (
                body[body.startIndex],
                items(body.dropFirst(4)).filter { $0.type == 0x40 }.map { String(decoding: $0.body, as: UTF8.self) }
            )
        }
    }

    private static func items(_ bytes: ArraySlice<UInt8>) -> [(type: UInt8, body: ArraySlice<UInt8>)] {
        var (items, rest): ([(UInt8, ArraySlice<UInt8>)], ArraySlice<UInt8>) = ([], bytes)
        while rest.count >= 4 {
            let head = Array(rest.prefix(4))
            let length = Int(head[2]) << 8 | Int(head[3])
            items.append((head[0], rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return items
    }

    private static func item(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
        [type, 0, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    /// The value of an element of a command set.
    private static func element(_ number: UInt16, _ command: [UInt8]) -> [UInt8]? {
        var rest = command[...]
        while rest.count >= 8 {
            let head = Array(rest.prefix(8))
            let length = Int(head[4]) | Int(head[5]) << 8
            if head[2] == UInt8(number & 0xFF), head[3] == UInt8(number >> 8) {
                return Array(rest.dropFirst(8).prefix(length))
            }
            rest = rest.dropFirst(8 + length)
        }
        return nil
    }

    private static func put(_ number: UInt16, _ value: [UInt8]) -> [UInt8] {
        [0, 0] + little(number) + [UInt8(value.count), 0, 0, 0] + value
    }

    private static func little(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
    private static func big(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func pdu(_ socket: StreamSocket) throws -> (type: UInt8, body: [UInt8]) {
        let head = try read(6, socket)
        return (head[0], try read(head[2...].reduce(0) { $0 << 8 | Int($1) }, socket))
    }

    private static func read(_ count: Int, _ socket: StreamSocket) throws -> [UInt8] {
        guard let bytes = try socket.bytes(count) else { throw CancellationError() }
        return bytes
    }

    private static func write(_ bytes: [UInt8], _ socket: StreamSocket) throws { try socket.say(bytes) }
}
