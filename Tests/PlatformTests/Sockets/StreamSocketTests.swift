// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Testing

@Suite struct StreamSocketTests {
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
        #expect(server.writeAvailable([UInt8](repeating: 7, count: 100)))
        var buffer = [UInt8](repeating: 0, count: 200)
        var arrived = [PollEntry(client.descriptor, reading: true)]
        #expect(Polling.wait(&arrived, atMost: .seconds(5)) && client.unreadBytes == 100)
        #expect(buffer.withUnsafeMutableBytes { client.peek(into: $0) } == .bytes(100))
        #expect(buffer.withUnsafeMutableBytes { client.readAvailable(into: $0) } == .bytes(100))
        #expect(buffer.withUnsafeMutableBytes { client.readAvailable(into: $0) } == .wouldBlock)
        server.finishSending()
        #expect(Polling.wait(&arrived, atMost: .seconds(5)))
        #expect(buffer.withUnsafeMutableBytes { client.readAvailable(into: $0) } == .end)
        #expect(client.writeAvailable([1]))
        client.shutDown()
        #expect(!client.writeAvailable([1]))
    }

    @Test func `a connection attempt fails where nothing listens`() throws {
        let address = try #require(IPAddress("127.0.0.1"))
        let port = try ListeningSocket(bind: address, port: 0).port
        #expect(throws: SystemCallError(call: "connect", code: ECONNREFUSED)) {
            _ = try StreamSocket(connectingTo: [address], port: port, within: .seconds(5), isStopped: { false })
        }
    }
}
