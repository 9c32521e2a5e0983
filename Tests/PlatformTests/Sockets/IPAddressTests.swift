// SPDX-License-Identifier: Apache-2.0

import Platform
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
    func `text that is not a block is refused`(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test func `addresses print as they are written`() {
        #expect(IPAddress("10.1.0.7")?.description == "10.1.0.7")
        #expect(IPAddress("FD00:0:0::7")?.description == "fd00::7")
        #expect(IPAddress("::ffff:10.1.0.7")?.description == "10.1.0.7")
    }
}
