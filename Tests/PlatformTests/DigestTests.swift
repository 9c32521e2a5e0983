// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Testing

@Suite struct DigestTests {
    /// FIPS 180-4 examples, as NIST publishes them.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ]) func `hashes the examples of the standard`(text: String, hash: String) {
        #expect(SHA256.hash(data: Data(text.utf8)).hexadecimal == hash)
        var pieces = SHA256()
        for byte in text.utf8 { pieces.update(data: [byte]) }
        #expect(pieces.finalize().hexadecimal == hash)
    }

    @Test func `a copied hash continues on its own`() {
        var first = SHA256()
        first.update(data: Data("ab".utf8))
        var second = first
        second.update(data: Data("c".utf8))
        let before = first.finalize()
        first.update(data: Data("x".utf8))
        #expect(before == SHA256.hash(data: Data("ab".utf8)))
        #expect(second.finalize() == SHA256.hash(data: Data("abc".utf8)))
        #expect(first.finalize() == SHA256.hash(data: Data("abx".utf8)))
    }

    /// RFC 4231, test cases 1 and 2.
    @Test func `authenticates the examples of the standard`() {
        let first = SHA256.authenticationCode(for: Data("Hi There".utf8), key: [UInt8](repeating: 0x0b, count: 20))
        #expect(first.hexadecimal == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        let second = SHA256.authenticationCode(for: Data("what do ya want for nothing?".utf8), key: Array("Jefe".utf8))
        #expect(second.hexadecimal == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    /// The check value of the CRC catalogue's CRC-32/ISO-HDLC.
    @Test func `checksums the example of the catalogue, in one piece and in two`() {
        let text = Array("123456789".utf8)
        #expect(text.withUnsafeBytes { CRC32($0) }.value == 0xcbf4_3926)
        var pieces = CRC32()
        #expect(pieces.value == 0)
        text[..<4].withUnsafeBytes { pieces.update($0) }
        pieces.update(UnsafeRawBufferPointer(start: nil, count: 0))
        text[4...].withUnsafeBytes { pieces.update($0) }
        #expect(pieces.value == 0xcbf4_3926)
    }

    /// CRC-32 bit by bit, as ISO 3309 describes it.
    private func plainChecksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 0 ? 0 : 0xedb8_8320) }
        }
        return ~value
    }

    @Test func `a checksum does not depend on the pieces or their addresses`() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 3) }
        for start in 0..<17 {
            for count in [0, 1, 7, 15, 16, 17, 31, 32, 33, 64, 250] {
                let expected = plainChecksum(bytes[start..<start + count])
                for cut in Set([0, count / 3, count]) {
                    var checksum = CRC32()
                    bytes.withUnsafeBytes { all in
                        checksum.update(UnsafeRawBufferPointer(rebasing: all[start..<start + cut]))
                        checksum.update(UnsafeRawBufferPointer(rebasing: all[start + cut..<start + count]))
                    }
                    #expect(checksum.value == expected)
                }
            }
        }
    }

    @Test func `writes two digits per byte`() {
        #expect([UInt8]([0, 9, 10, 255]).hexadecimal == "00090aff")
        #expect([UInt8]().hexadecimal.isEmpty)
    }
}
