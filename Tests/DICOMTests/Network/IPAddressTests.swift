// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("10.1.0.0/24", "10.1.0.255", true), ("10.1.0.0/24", "10.1.1.0", false), ("10.1.0.0/23", "10.1.1.0", true),
        ("10.1.0.7", "10.1.0.7", true), ("10.1.0.7", "10.1.0.8", false), ("0.0.0.0/0", "192.0.2.1", true),
        ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false), ("::1", "::1", true),
        ("::/0", "10.0.0.1", false),
        // An IPv4 caller on an IPv6 socket is an IPv4 caller.
        ("10.1.0.0/24", "::ffff:10.1.0.9", true), ("0.0.0.0/0", "fd00::1", false),
    ])
    func `a block holds the addresses whose leading bits agree`(block: String, address: String, holds: Bool) throws {
        let block = try #require(AddressBlock(block))
        #expect(block.contains(try #require(IPAddress(address))) == holds)
    }

    @Test(arguments: [
        "", "archive", "10.1.0", "10.1.0.0/", "10.1.0.0/33", "10.1.0.0/-1", "fd00::/129", "10.1.0.0/2 4", "/8",
    ])
    func `what is no block is refused`(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test func `addresses print as they are written`() {
        #expect(IPAddress("10.1.0.7")?.description == "10.1.0.7")
        #expect(IPAddress("FD00:0:0::7")?.description == "fd00::7")
        #expect(IPAddress("::ffff:10.1.0.7")?.description == "10.1.0.7")
    }

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

    @Test func `a peer that may nothing or is nowhere never calls`() {
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
