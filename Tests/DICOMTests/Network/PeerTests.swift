// SPDX-License-Identifier: Apache-2.0

import DICOM
import Dispatch
import Platform
import Testing

@Suite struct AETitleTests {
    @Test func `an AE title is 1 to 16 characters without control characters and backslash`() {
        #expect(AETitle("  KONTUR ")?.text == "KONTUR")
        #expect(AETitle("A TITLE OF 16 CH")?.text == "A TITLE OF 16 CH")
        for bad in ["", "   ", "SEVENTEEN LETTERS", "A\\B", "A\nB", "É"] { #expect(AETitle(bad) == nil) }
    }
}

@Suite struct PeerDirectoryTests {
    static let address = IPAddress("10.1.0.7")!
    static let title = AETitle("ENDO1")!

    @Test func `a peer with a host calls from its host`() {
        let directory = PeerDirectory([Peer(name: "a", aeTitle: Self.title, host: "10.1.0.7", port: 104)])
        #expect(directory.name(Self.title, Self.address) == "a")
        #expect(directory.name(Self.title, IPAddress("10.1.0.8")!) == nil)
        #expect(directory.name(AETitle("OTHER")!, Self.address) == nil)
    }

    @Test func `blocks replace the host's addresses`() {
        let blocks = [AddressBlock("192.0.2.0/24")!]
        let directory = PeerDirectory([Peer(name: "a", aeTitle: Self.title, host: "10.1.0.7", port: 104, from: blocks)])
        #expect(directory.name(Self.title, Self.address) == nil)
        #expect(directory.name(Self.title, IPAddress("192.0.2.9")!) == "a")
    }

    @Test func `a peer without permissions or addresses cannot call`() {
        let directory = PeerDirectory([
            Peer(name: "called", aeTitle: Self.title, host: "10.1.0.7", port: 104, may: []),
            Peer(name: "nowhere", aeTitle: Self.title),
        ])
        #expect(directory.name(Self.title, Self.address) == nil)
    }

    @Test func `one AE title at two addresses is two peers`() {
        let directory = PeerDirectory([
            Peer(name: "first", aeTitle: Self.title, from: [AddressBlock("10.2.0.0/16")!]),
            Peer(name: "second", aeTitle: Self.title, from: [AddressBlock("10.1.0.0/16")!]),
        ])
        #expect(directory.name(Self.title, Self.address) == "second")
    }

    @Test func `a host's name is looked up, and nobody waits for it`() async throws {
        let answer = AsyncStream<Void>.makeStream()
        let gate = Gate()
        let directory = PeerDirectory(
            [
                Peer(name: "named", aeTitle: Self.title, host: "pacs.example", port: 104),
                Peer(name: "other", aeTitle: AETitle("OTHER")!, host: "10.1.0.8", port: 104),
            ],
            resolver: HostResolver(lookUp: { _ in
                gate.wait()
                answer.continuation.yield()
                return .addresses([Self.address])
            }))
        #expect(directory.peer(calling: Self.title, from: Self.address, over: .plain) == .notKnownYet)
        #expect(directory.name(AETitle("OTHER")!, IPAddress("10.1.0.8")!) == "other")
        gate.open()
        for await _ in answer.stream { break }
        for _ in 0..<100 where directory.peer(calling: Self.title, from: Self.address, over: .plain) == .notKnownYet {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(directory.name(Self.title, Self.address) == "named")
        #expect(directory.peer(calling: Self.title, from: IPAddress("10.1.0.9")!, over: .plain) == .stranger)
    }
}

/// Holds threads until it is opened.
final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func wait() {
        semaphore.wait()
        semaphore.signal()
    }

    func open() { semaphore.signal() }
}

extension PeerDirectory {
    /// The name of the peer that calls; `nil` for a stranger.
    fileprivate func name(_ title: AETitle, _ address: IPAddress) -> String? {
        if case .peer(let peer) = peer(calling: title, from: address, over: .plain) { peer.name } else { nil }
    }
}
