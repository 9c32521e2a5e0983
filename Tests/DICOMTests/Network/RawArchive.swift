// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import Synchronization

/// A storage SCP on a free port of this machine that negotiates as it is told, and takes one association.
///
/// It is made of PDUs and sockets, without Kontur's own acceptor.
final class RawArchive: Sendable {
    struct State {
        /// Bytes of the longest variable part of a P-DATA-TF that came.
        var longest = 0
        var transferSyntax: String?
        var dataSet: [UInt8] = []
        var isReleased = false
    }

    private let listening: ListeningSocket
    private let maximumLength: UInt32
    private let transferSyntaxes: [String]
    private let mutex = Mutex(State())

    /// - Parameters:
    ///   - maximumLength: the length that the archive announces.
    ///   - transferSyntaxes: the syntaxes that it takes.
    init(maximumLength: UInt32 = 16_384, transferSyntaxes: [String]) throws {
        self.maximumLength = maximumLength
        self.transferSyntaxes = transferSyntaxes
        listening = try ListeningSocket(bind: IPAddress("127.0.0.1")!, port: 0)
        DedicatedThread.start(name: "test-archive") { [self] in try? serve() }
    }

    var peer: Peer { Peer(name: "archive", aeTitle: AETitle("ARCHIVE")!, host: "127.0.0.1", port: listening.port) }
    var state: State { mutex.withLock { $0 } }

    private func serve() throws {
        var entries = [PollEntry(listening.descriptor, reading: true)]
        Polling.wait(&entries, atMost: .seconds(10))
        guard case .connection(let socket) = listening.accept() else { return }
        let request = try AssociateRequest(parsing: Self.pdu(socket).body[...])
        let answers = request.contexts.map { context in
            let syntax = context.transferSyntaxes.first { transferSyntaxes.contains($0) }
            return ContextAnswer(
                id: context.id, result: syntax == nil ? .transferSyntaxesNotSupported : .acceptance,
                transferSyntax: syntax ?? "1.2.840.10008.1.2")
        }
        let accept = AssociateAccept(contexts: answers, user: UserInformation(maximumLength: maximumLength))
        try Self.write(accept.encoded(answering: request), socket)
        var machine = MessageMachine(contextIDs: Set(answers.filter { $0.result == .acceptance }.map(\.id)))
        var command = CommandSet()
        while true {
            let (type, body) = try Self.pdu(socket)
            if type == 5 {
                mutex.withLock { $0.isReleased = true }
                return try Self.write([6, 0, 0, 0, 0, 4, 0, 0, 0, 0], socket)
            }
            guard type == 4 else { return }
            mutex.withLock { $0.longest = max($0.longest, body.count) }
            // One fragment in each PDU, as Kontur sends them.
            let fragment = Array(body[6...])
            try fragment.withUnsafeBytes { bytes in
                let value = PresentationDataValue(
                    contextID: body[4], isCommand: body[5] & 1 != 0, isLast: body[5] & 2 != 0, bytes: bytes)
                switch try machine.receive(value) {
                case .none: break
                case .command(let received, let contextID):
                    command = received
                    let syntax = answers.first { $0.id == contextID }?.transferSyntax
                    mutex.withLock { $0.transferSyntax = syntax }
                case .dataSet(let part, let isLast):
                    mutex.withLock { $0.dataSet += part }
                    guard isLast else { break }
                    let response = command.response(.success).encoded
                    let length = UInt32(response.count + 2)
                    try Self.write(
                        [4, 0] + Self.field(length + 4) + Self.field(length) + [body[4], 3] + response, socket)
                }
            }
        }
    }

    private static func field(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func pdu(_ socket: StreamSocket) throws -> (type: UInt8, body: [UInt8]) {
        let header = try read(6, socket)
        return (header[0], try read(header[2...].reduce(0) { $0 << 8 | Int($1) }, socket))
    }

    private static func read(_ count: Int, _ socket: StreamSocket) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = try bytes.withUnsafeMutableBytes {
                try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[done...]))
            }
            if got == 0 { throw CancellationError() }
            done += got
        }
        return bytes
    }

    private static func write(_ bytes: [UInt8], _ socket: StreamSocket) throws {
        try bytes.withUnsafeBytes { try socket.write($0) }
    }
}
