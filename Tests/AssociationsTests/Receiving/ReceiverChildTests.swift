// SPDX-License-Identifier: Apache-2.0

import Associations
import Foundation
import Platform
import Testing

/// Associations of raw peers with a real `kontur receiver` process.
@Suite(.serialized) struct ReceiverChildTests {
    /// Runs `body` on a thread with an association whose three contexts are accepted.
    private func associate<Result: Sendable>(
        _ request: [UInt8] = RawBytes.request(), _ body: @escaping @Sendable (ReceiverChild) throws -> Result
    ) async throws -> Result {
        try await DedicatedThread.run(name: "test-receiver") {
            let child = try ReceiverChild()
            try child.connect(first: request)
            try child.accept()
            #expect(try child.pdu()?.type == 2)
            return try body(child)
        }
    }

    /// Answers `store` with `take`, and the data set with `answer`. Returns the fields of `whole` and the file's bytes.
    private static func take(
        _ child: ReceiverChild, most: UInt64 = 1 << 30, meanwhile: () throws -> Void = {}
    ) throws -> (bytes: UInt64, digest: [UInt8], error: UInt32, file: [UInt8]) {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(FileManager.default.createFile(atPath: path, contents: Data("HEAD".utf8)))
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try child.send(13, with: handle.fileDescriptor) { $0.integer(most) }
        try meanwhile()
        var whole = try child.expect(22)
        let bytes = try whole.integer(UInt64.self)
        let digest = Array(try whole.bytes(32))
        let error = try whole.integer(UInt32.self)
        try child.send(15) { $0.integer(UInt16(error == 0 ? 0 : 0xA700)) }
        return (bytes, digest, error, Array(try Data(contentsOf: URL(fileURLWithPath: path))))
    }

    // MARK: Requests

    @Test func `a process serves one association after the other`() async throws {
        try await DedicatedThread.run(name: "test-receiver") {
            let child = try ReceiverChild()
            for _ in 0..<3 {
                try child.connect(first: RawBytes.request())
                #expect(try child.accept() == "PEER")
                #expect(try child.pdu()?.type == 2)
                try child.say(RawBytes.echo)
                #expect(try child.status() == 0)
                var served = try child.expect(26)
                #expect(try served.integer(UInt16.self) == 0x0030)
                try child.say(RawBytes.releaseRequest)
                #expect(try child.pdu()?.type == 6)
                #expect(try child.ended() == [0, 0, 0, 0])
            }
        }
    }

    @Test(arguments: ["1.2.840.10008.1.2", "1.2.840.10008.1.2.4.201", "1.2.3.4.5"])
    func `a data set of any transfer syntax arrives as it was sent`(syntax: String) async throws {
        let dataSet: [UInt8] = (0..<100_001).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await associate(RawBytes.request([(3, RawBytes.ct, [syntax])])) { child in
            try child.say(RawBytes.store)
            var store = try child.expect(21)
            #expect(try store.integer(UInt8.self) == 3)
            #expect(try store.text() == RawBytes.ct)
            #expect(try store.text() == "1.2.3.4")
            #expect(try store.integer(UInt8.self) == 1)
            let whole = try Self.take(child) {
                try child.say(RawBytes.data(3, 0, Array(dataSet[..<1])))
                try child.say(RawBytes.data(3, 0, Array(dataSet[1..<100_000])))
                try child.say(RawBytes.data(3, 2, Array(dataSet[100_000...])))
            }
            #expect(whole.bytes == 100_001 && whole.error == 0)
            #expect(whole.file == Array("HEAD".utf8) + dataSet)
            #expect(whole.digest == Array(SHA256.hash(data: Data(dataSet))))
            #expect(try child.status() == 0)
        }
    }

    @Test func `a data set that is too long, or discarded by the node, is drained and the association goes on`()
        async throws
    {
        try await associate { child in
            let dataSet = [UInt8](repeating: 1, count: 50_000)
            try child.say(RawBytes.store + RawBytes.data(3, 2, dataSet))
            _ = try child.expect(21)
            #expect(try Self.take(child, most: 49_999).error == 27)
            #expect(try child.status() == 0xA700)

            try child.say(RawBytes.store)
            _ = try child.expect(21)
            let discarded = try Self.take(child) {
                try child.send(18) { $0.integer(UInt32(28)) }
                Thread.sleep(forTimeInterval: 0.1)
                try child.say(RawBytes.data(3, 2, dataSet))
            }
            #expect(discarded.error == 28)
            #expect(try child.status() == 0xA700)

            try child.say(RawBytes.store + RawBytes.data(3, 2, dataSet))
            _ = try child.expect(21)
            try child.send(14) { $0.integer(UInt16(0x0117)) }
            #expect(try child.status() == 0x0117)
            try child.say(RawBytes.echo)
            #expect(try child.status() == 0)
        }
    }

    @Test(arguments: [100_000, 1_000_001])
    func `a data set is read while the node decides, and is whole afterwards`(count: Int) async throws {
        let dataSet: [UInt8] = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await associate { child in
            let peer = try child.peer
            // A long data set fills the connection, so that its sender waits.
            DedicatedThread.start(name: "test-peer") {
                try? peer.say(RawBytes.store)
                for start in stride(from: 0, to: count, by: 16_000) {
                    let end = min(start + 16_000, count)
                    try? peer.say(RawBytes.data(3, end == count ? 2 : 0, Array(dataSet[start..<end])))
                }
            }
            _ = try child.expect(21)
            // The receiver holds some of the data set by now.
            Thread.sleep(forTimeInterval: 0.2)
            let whole = try Self.take(child)
            #expect(whole.bytes == count && whole.error == 0)
            #expect(whole.file == Array("HEAD".utf8) + dataSet)
            #expect(whole.digest == Array(SHA256.hash(data: Data(dataSet))))
            #expect(try child.status() == 0)
        }
    }

    @Test func `an association that ends before the node has decided ends after the decision`() async throws {
        let half = RawBytes.store + RawBytes.data(3, 0, [UInt8](repeating: 1, count: 1000))
        for takes in [true, false] {
            try await associate { child in
                try child.say(half + RawBytes.pdu(7, [0, 0, 0, 0]))
                _ = try child.expect(21)
                Thread.sleep(forTimeInterval: 0.1)
                if takes {
                    let file = try FileDescriptor(path: "/dev/null", for: .appending)
                    try child.send(13, with: file.number) { $0.integer(UInt64(1_000_000)) }
                } else {
                    try child.send(14) { $0.integer(UInt16(0xA700)) }
                }
                #expect(try child.ended() == [2, 0, 0, 0])
            }
        }
    }

    @Test func `UIDs reach the node as they were sent`() async throws {
        try await associate { child in
            for uid in ["../../etc/passwd\\x", String(repeating: "9", count: 300), "1.2\u{0}3"] {
                try child.say(RawBytes.data(3, 3, RawBytes.command(0x0001, instance: uid)))
                var store = try child.expect(21)
                _ = try store.integer(UInt8.self)
                _ = try store.text()
                #expect(try store.text() == uid)
                try child.send(14) { $0.integer(UInt16(0x0117)) }
                #expect(try child.status() == 0x0117)
            }
        }
    }

    @Test(arguments: [true, false])
    func `an operation that the node does not have is answered with 0211`(hasDataSet: Bool) async throws {
        try await associate { child in
            for field in [0x0020, 0x0021, 0x0010, 0x0140, 0x4444] as [UInt16] {
                try child.say(RawBytes.data(3, 3, RawBytes.command(field, hasDataSet: hasDataSet)))
                if hasDataSet { try child.say(RawBytes.data(3, 2, [1, 2])) }
                #expect(try child.status() == 0x0211)
                var served = try child.expect(26)
                #expect(try served.integer(UInt16.self) == field)
            }
        }
    }

    @Test(arguments: [8, 9, 14, 100, 0] as [UInt32])
    func `a response fits the peer's maximum PDU length`(maximum: UInt32) async throws {
        try await associate(RawBytes.request(maximumLength: maximum)) { child in
            try child.say(RawBytes.echo)
            while let (type, body) = try child.pdu() {
                #expect(type == 4)
                #expect(maximum == 0 || body.count <= Int(maximum))
                if body[5] & 2 != 0 { break }
            }
        }
    }

    // MARK: Negotiation

    @Test func `60 transfer syntaxes, 128 contexts, unknown items and user identities are taken`() async throws {
        let syntaxes = [RawBytes.implicit] + (0..<60).map { "1.2.3.\($0)" }
        let many = RawBytes.request(
            stride(from: 1, to: 256, by: 2).map { (UInt8($0), RawBytes.verification, syntaxes) })
        let user =
            RawBytes.item(0x53, [0, 5, 0, 5]) + RawBytes.item(0x58, [2, 1, 0, 3, 97, 98, 99, 0, 2, 112, 119])
            + RawBytes.item(0x77, [1, 2, 3])
        for request in [many, RawBytes.request(user: user)] {
            try await associate(request) { child in
                try child.say(RawBytes.echo)
                #expect(try child.status() == 0)
            }
        }
    }

    @Test func `the node's rejection reaches the peer`() async throws {
        try await DedicatedThread.run(name: "test-receiver") {
            let child = try ReceiverChild()
            for rejection in [[1, 1, 3], [1, 1, 7], [1, 3, 2], [2, 3, 2]] as [[UInt8]] {
                try child.connect(first: RawBytes.request())
                _ = try child.expect(20)
                try child.send(12) { for field in rejection { $0.integer(field) } }
                let answer = try #require(try child.pdu())
                #expect(answer.type == 3 && Array(answer.body[1...]) == rejection)
                #expect(try child.ended() == [1] + rejection)
            }
        }
    }

    /// What is no request for an association, and how it ends.
    private static let requests: [(bytes: [UInt8], end: [UInt8])] = [
        (RawBytes.request(version: 2), [1, 1, 2, 2]),
        (RawBytes.request([]), [3, 0, 2, 6]),
        (RawBytes.request([(2, RawBytes.ct, [RawBytes.implicit])]), [3, 0, 2, 6]),
        (RawBytes.request([(1, RawBytes.ct, [RawBytes.implicit]), (1, RawBytes.ct, ["1.2.3"])]), [3, 0, 2, 6]),
        (RawBytes.request([(1, RawBytes.ct, [])]), [3, 0, 2, 6]),
        (RawBytes.request(user: [0x54, 0, 0xFF, 0xFF]), [3, 0, 2, 6]),
        (RawBytes.pdu(1, []), [3, 0, 2, 6]),
        (Array("GET / HTTP/1.0\r\n\r\n".utf8), [3, 0, 2, 6]),
        (RawBytes.echo, [3, 0, 0, 0]),
    ]

    @Test func `what is no request is answered, and the process lives`() async throws {
        try await DedicatedThread.run(name: "test-receiver") {
            let child = try ReceiverChild()
            for (bytes, end) in Self.requests {
                try child.connect(first: bytes)
                let answer = try #require(try child.pdu())
                let isRejection = end[0] == 1
                #expect(answer.type == (isRejection ? 3 : 7))
                #expect(answer.body.suffix(isRejection ? 3 : 2) == end.suffix(isRejection ? 3 : 2))
                #expect(try child.ended() == end)
            }
        }
    }

    // MARK: Attacks

    /// A sequence of undefined length, as the last element of a command set, with 500 sequences in it.
    private static let nested: [UInt8] = {
        let item: [UInt8] = [0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 8, 0, 0x15, 0x11, 0xFF, 0xFF, 0xFF, 0xFF]
        let sequence: [UInt8] = [0, 0, 0x02, 0x10, 0xFF, 0xFF, 0xFF, 0xFF]
        return sequence + [[UInt8]](repeating: item, count: 500).joined()
    }()

    /// A command set of 20,000 bytes in fragments that are not the last.
    private static let endless: [UInt8] = {
        let fragment = RawBytes.data(3, 1, [UInt8](repeating: 0, count: 2_000))
        return Array([[UInt8]](repeating: fragment, count: 10).joined())
    }()

    /// What a peer may not send, and the reason of the A-ABORT that answers it (PS3.8 table 9-26).
    private static let attacks: [(bytes: [UInt8], reason: UInt8)] = [
        (RawBytes.data(3, 3, RawBytes.command(1) + nested), 6),
        (endless, 6),
        (RawBytes.data(1, 1, []), 6),
        (RawBytes.data(9, 3, RawBytes.command(1)), 6),
        (RawBytes.data(1, 3, RawBytes.command(1) + RawBytes.put(5, [1, 2])), 6),
        (RawBytes.data(1, 3, RawBytes.command(1) + RawBytes.put(0x2000, [1, 2], group: 8)), 6),
        (RawBytes.data(1, 3, Array(RawBytes.command(1).dropLast())), 6),
        (RawBytes.data(1, 3, RawBytes.put(0x0100, [0x30, 0])), 6),
        (RawBytes.pdu(4, []), 6),
        (RawBytes.pdu(4, [0, 0, 0, 1, 1]), 6),
        (RawBytes.pdu(4, [0xFF, 0xFF, 0xFF, 0xFF, 1, 3]), 6),
        ([4, 0, 0, 2, 0, 1], 6),
        ([5, 0, 0xFF, 0xFF, 0xFF, 0xFF], 6),
        (RawBytes.pdu(9, [1]), 1),
        (RawBytes.request(), 2),
        (RawBytes.data(3, 2, [1, 2]), 2),
        (RawBytes.data(3, 1, [0, 0]) + RawBytes.echo, 2),
        (RawBytes.data(1, 3, RawBytes.command(0x4020, hasDataSet: true)) + RawBytes.releaseRequest, 2),
    ]

    @Test func `a mistake of the peer ends its association, and the process lives`() async throws {
        try await DedicatedThread.run(name: "test-receiver") {
            let child = try ReceiverChild()
            for (bytes, reason) in Self.attacks {
                try child.connect(first: RawBytes.request())
                try child.accept()
                #expect(try child.pdu()?.type == 2)
                try child.say(bytes)
                let answer = try #require(try child.pdu())
                #expect(answer.type == 7)
                #expect(answer.body.suffix(2) == [2, reason])
                #expect(try child.ended() == [3, 0, 2, reason])
            }
        }
    }

    @Test func `a peer's abort, and a connection that closes, are told apart`() async throws {
        let ends = try await associate { child in
            try child.say(RawBytes.pdu(7, [0, 0, 2, 5]))
            return try child.ended()
        }
        #expect(ends == [2, 0, 2, 5])
        let closed = try await associate { child in
            try child.peer.finishSending()
            return try child.ended()
        }
        #expect(closed == [4, 0, 0, 0])
    }

    // MARK: Orders at any time

    @Test func `stop waits for the answer to a request, and abort for nothing`() async throws {
        let stopped = try await associate { child in
            try child.say(RawBytes.store)
            _ = try child.expect(21)
            try child.send(17)
            _ = try Self.take(child) { try child.say(RawBytes.data(3, 2, [1, 2])) }
            #expect(try child.status() == 0)
            #expect(try child.pdu()?.type == 7)
            return try child.ended()
        }
        #expect(stopped == [3, 0, 2, 0])
        let aborted = try await associate { child in
            try child.say(RawBytes.store)
            _ = try child.expect(21)
            try child.send(19) { for field in [2, 0] as [UInt8] { $0.integer(field) } }
            #expect(try child.pdu()?.type == 7)
            return try child.ended()
        }
        #expect(aborted == [3, 0, 2, 0])
    }

    @Test func `orders that cross the end of an association have no effect`() async throws {
        try await associate { child in
            try child.say(RawBytes.releaseRequest)
            _ = try child.ended()
            try child.send(17)
            try child.send(19) { for field in [2, 0] as [UInt8] { $0.integer(field) } }
            try child.connect(first: RawBytes.request())
            try child.accept()
            #expect(try child.pdu()?.type == 2)
            try child.say(RawBytes.echo)
            #expect(try child.status() == 0)
        }
    }

    @Test func `storage commitment is asked and reported on one association`() async throws {
        let reference =
            RawBytes.put(0x1150, RawBytes.padded(RawBytes.ct), group: 8)
            + RawBytes.put(0x1155, RawBytes.padded("1.2.3"), group: 8)
        let item = RawBytes.put(0xE000, reference, group: 0xFFFE)
        let dataSet = RawBytes.put(0x1195, RawBytes.padded("1.9"), group: 8) + RawBytes.put(0x1199, item, group: 8)
        let action = RawBytes.command(
            0x0130, sopClass: RawBytes.commitment, instance: "1.2.840.10008.1.20.1.1", hasDataSet: true,
            more: RawBytes.put(0x1008, [1, 0]))
        try await associate { child in
            try child.say(RawBytes.data(5, 3, action) + RawBytes.data(5, 2, dataSet))
            var asked = try child.expect(23)
            #expect(try asked.text() == "1.9")
            #expect(try asked.integer(UInt32.self) == 1)
            #expect(try [asked.text(), asked.text()] == [RawBytes.ct, "1.2.3"])
            #expect(try asked.integer(UInt32.self) == 0)
            try child.send(15) { $0.integer(UInt16(0)) }
            #expect(try child.status() == 0)
            try child.send(16) {
                $0.text("1.9")
                $0.integer(UInt32(1))
                for uid in [RawBytes.ct, "1.2.3"] { $0.text(uid) }
                $0.integer(UInt32(0))
            }
            let command = try #require(try child.pdu())
            #expect(RawBytes.element(0x0100, command.body[6...]) == [0, 1])
            #expect(RawBytes.element(0x1002, command.body[6...]) == [1, 0])
            let report = try #require(try child.pdu())
            #expect(Array(report.body[6...]) == dataSet)
            let response =
                RawBytes.put(0x0100, [0, 0x81]) + RawBytes.put(0x0120, [1, 0]) + RawBytes.put(0x0800, [1, 1])
                + RawBytes.put(0x0900, [0, 0])
            try child.say(RawBytes.data(5, 3, response))
            var reported = try child.expect(25)
            #expect(try reported.integer(UInt16.self) == 0)
        }
    }

    // MARK: The process

    @Test func `the process is confined, small, and ends with its channel`() async throws {
        try await associate { child in
            let text = try String(contentsOfFile: "/proc/\(child.process.processID)/status", encoding: .utf8)
            let fields = Dictionary(
                text.split(separator: "\n").map { $0.split(separator: ":", maxSplits: 1) }.filter { $0.count == 2 }
                    .map { ($0[0], $0[1].trimmingCharacters(in: .whitespaces)) },
                uniquingKeysWith: { first, _ in first })
            #expect(fields["NoNewPrivs"] == "1")
            #expect(fields["Seccomp"] == "2")
            let memory = try #require(fields["RssAnon"]?.split(separator: " ").first.flatMap { Int($0) })
            #expect(memory <= 12 << 10)
            child.process.hangUp()
            #expect(try child.pdu() == nil)
        }
    }
}
