// SPDX-License-Identifier: Apache-2.0

import DICOM
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
        #expect(directory.peer(calling: Self.title, from: Self.address)?.name == "a")
        #expect(directory.peer(calling: Self.title, from: IPAddress("10.1.0.8")!) == nil)
        #expect(directory.peer(calling: AETitle("OTHER")!, from: Self.address) == nil)
    }

    @Test func `blocks replace the host's addresses`() {
        let blocks = [AddressBlock("192.0.2.0/24")!]
        let directory = PeerDirectory([Peer(name: "a", aeTitle: Self.title, host: "10.1.0.7", port: 104, from: blocks)])
        #expect(directory.peer(calling: Self.title, from: Self.address) == nil)
        #expect(directory.peer(calling: Self.title, from: IPAddress("192.0.2.9")!)?.name == "a")
    }

    @Test func `a peer without permissions or addresses cannot call`() {
        let directory = PeerDirectory([
            Peer(name: "called", aeTitle: Self.title, host: "10.1.0.7", port: 104, may: []),
            Peer(name: "nowhere", aeTitle: Self.title),
        ])
        #expect(directory.peer(calling: Self.title, from: Self.address) == nil)
    }

    @Test func `one AE title at two addresses is two peers`() {
        let directory = PeerDirectory([
            Peer(name: "first", aeTitle: Self.title, from: [AddressBlock("10.2.0.0/16")!]),
            Peer(name: "second", aeTitle: Self.title, from: [AddressBlock("10.1.0.0/16")!]),
        ])
        #expect(directory.peer(calling: Self.title, from: Self.address)?.name == "second")
    }

    @Test func `a host's name is looked up`() {
        let directory = PeerDirectory([Peer(name: "local", aeTitle: Self.title, host: "localhost", port: 104)])
        #expect(directory.peer(calling: Self.title, from: IPAddress("127.0.0.1")!)?.name == "local")
    }
}
