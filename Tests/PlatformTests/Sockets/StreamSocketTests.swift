// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Testing

/// The watchdog's judgement, at made-up times.
@Suite struct StreamSocketTests {
    /// A socket and the descriptor of its other end.
    private func pair() -> (socket: StreamSocket, other: Int32) {
        var pair: [Int32] = [-1, -1]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        return (StreamSocket(adopting: FileDescriptor(owning: pair[0]), address: .anyIPv4), pair[1])
    }

    private var now: Duration { MonotonicClock.now() }

    private func send(_ count: Int, over other: Int32, to socket: StreamSocket) throws {
        let bytes = [UInt8](repeating: 7, count: count)
        precondition(write(other, bytes, count) == count)
        var buffer = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            got += try buffer.withUnsafeMutableBytes { try socket.read(into: $0) }
        }
    }

    private func readByte(from socket: StreamSocket) throws {
        var byte: UInt8 = 0
        try withUnsafeMutableBytes(of: &byte) { _ = try socket.read(into: $0) }
    }

    @Test func `the work of the owner is not limited`() {
        let (socket, other) = pair()
        defer { close(other) }
        socket.begin(.working)
        #expect(socket.judge(at: now + .seconds(100_000)) == nil)
    }

    @Test func `a peer that has to answer is limited in time`() {
        let (socket, other) = pair()
        defer { close(other) }
        socket.begin(.waiting(.seconds(10), what: "a request"))
        #expect(socket.judge(at: now + .seconds(9)) == nil)
        #expect(socket.judge(at: now + .seconds(11)) == .timeout(waitingFor: "a request"))
    }

    @Test func `a peer in the middle of something has to move 1 KiB a second over 30 seconds`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        socket.begin(.moving(what: "a data set"))
        try send(30 * 1024, over: other, to: socket)
        #expect(socket.judge(at: now + .seconds(29)) == nil)
        #expect(socket.judge(at: now + .seconds(31)) == nil)
        // The next window has seen nothing yet.
        #expect(socket.judge(at: now + .seconds(60)) == nil)
        try send(29 * 1024, over: other, to: socket)
        #expect(socket.judge(at: now + .seconds(62)) == .timeout(waitingFor: "a data set"))
    }

    @Test func `the time of the owner does not count against the peer`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        socket.begin(.moving(what: "a data set"))
        socket.pausing { #expect(socket.judge(at: now + .seconds(31)) == nil) }
        _ = socket.pausing { usleep(50_000) }
        #expect(socket.judge(at: now + .seconds(29.97)) == nil)
    }

    @Test func `a socket that is shut down says why`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        socket.shutDown(.timeout(waitingFor: "a request"))
        #expect(throws: SocketError.timeout(waitingFor: "a request")) { try readByte(from: socket) }
    }

    @Test func `a peer that exceeded its limit still gets a last message`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        socket.expire(.timeout(waitingFor: "a request"))
        #expect(throws: SocketError.timeout(waitingFor: "a request")) { try readByte(from: socket) }
        #expect(socket.writeAvailable([1, 2, 3]))
        var got = [UInt8](repeating: 0, count: 3)
        #expect(recv(other, &got, 3, 0) == 3 && got == [1, 2, 3])
    }

    @Test func `a peer that goes on sending after its limit is not read any more`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        precondition(write(other, [7], 1) == 1)
        socket.expire(.timeout(waitingFor: "a data set"))
        #expect(throws: SocketError.timeout(waitingFor: "a data set")) { try readByte(from: socket) }
    }

    @Test func `stopping when idle waits for the transfer`() throws {
        let (socket, other) = pair()
        defer { close(other) }
        socket.begin(.moving(what: "a data set"))
        socket.stopWhenIdle()
        try send(10, over: other, to: socket)
        socket.begin(.waiting(.seconds(10), what: "a request"))
        #expect(throws: SocketError.stopped) { try readByte(from: socket) }
    }

    @Test func `a listening socket hands out what connects, and says that nothing waits`() throws {
        let address = try #require(IPAddress("127.0.0.1"))
        let listening = try ListeningSocket(bind: address, port: 0)
        guard case .none = listening.accept() else {
            Issue.record("a connection that nothing made")
            return
        }
        let client = try StreamSocket(
            connectingTo: [address], port: listening.port, within: .seconds(5), isStopped: { false })
        var entries = [PollEntry(listening.descriptor, reading: true)]
        #expect(Polling.wait(&entries, atMost: .seconds(5)))
        guard case .connection(let server) = listening.accept() else {
            Issue.record("the connection is missing")
            return
        }
        #expect(server.address == address)
        try [UInt8](repeating: 7, count: 100).withUnsafeBytes { try server.write($0) }
        var buffer = [UInt8](repeating: 0, count: 200)
        #expect(try buffer.withUnsafeMutableBytes { try client.read(into: $0) } == 100)
        #expect(buffer.withUnsafeMutableBytes { client.readAvailable(into: $0) } == .wouldBlock)
        server.finishSending()
        #expect(try buffer.withUnsafeMutableBytes { try client.read(into: $0) } == 0)
    }

    @Test func `a connection attempt fails where nothing listens`() throws {
        let address = try #require(IPAddress("127.0.0.1"))
        let port = try ListeningSocket(bind: address, port: 0).port
        #expect(throws: SystemCallError(call: "connect", code: ECONNREFUSED)) {
            _ = try StreamSocket(connectingTo: [address], port: port, within: .seconds(5), isStopped: { false })
        }
    }
}
