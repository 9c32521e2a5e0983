// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

/// The checksums of a PyTorch checkpoint's records.
@Suite struct ChecksumTests {
    /// Bit by bit, as the standard describes it.
    private func plain(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 0 ? 0 : 0xedb8_8320) }
        }
        return ~value
    }

    @Test func `the check value of the standard is found`() {
        #expect(Array("123456789".utf8).withUnsafeBytes { CRC32($0).value } == 0xcbf4_3926)
        #expect(CRC32().value == 0)
    }

    @Test func `bytes in any pieces at any place give what they give one by one`() {
        var random = SeededGenerator(state: 3)
        let bytes = (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) }
        for start in 0..<17 {
            for count in [0, 1, 7, 15, 16, 17, 31, 32, 33, 64, 250] {
                let part = bytes[start..<start + count]
                let expected = plain(part)
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

    @Test(arguments: ["sam_flat.pth", "sam_strided.pth", "lite_medsam.pth"])
    func `a flipped bit in any record is damage, and the record is named`(fixture: String) throws {
        let whole = try Fixture.bytes(fixture)
        let records = Fixture.records(of: whole).filter { !$0.range.isEmpty }
        try #require(records.count > 5)
        for (name, range) in records.enumerated().filter({ $0.offset < 9 || $0.offset % 20 == 0 }).map(\.element) {
            for place in Set([range.lowerBound, range.upperBound - 1, (range.lowerBound + range.upperBound) / 2]) {
                var bytes = whole
                bytes[place] ^= 4
                let found = try HostileCheckpointTests.error(bytes)
                let expected =
                    "the file is damaged: '\(name)' in it has not the checksum that it was written with; download it again"
                // Big-endian numbers are refused before anything is compared.
                #expect(found == expected || name.hasSuffix("/byteorder"), "\(place): \(found)")
                #expect(found != "it was added")
            }
        }
    }

    @Test func `checksums that PyTorch was told not to compute are not compared`() throws {
        let whole = Fixture.withoutChecksums(try Fixture.bytes("sam_flat.pth"))
        #expect(try HostileCheckpointTests.error(whole) == "it was added")
        let record = try #require(Fixture.records(of: whole).first { $0.name.hasSuffix("/data/3") })
        var bytes = whole
        bytes[record.range.lowerBound] ^= 1
        #expect(try HostileCheckpointTests.error(bytes) == "it was added")
    }

    @Test func `pieces of any length see every record`() throws {
        let whole = try Fixture.bytes("sam_flat.pth")
        do {
            let checkpoint = try Checkpoint(path: Fixture.path("sam_flat.pth"))
            var broken = whole
            let last = try #require(Fixture.records(of: whole).map(\.range).max { $0.upperBound < $1.upperBound })
            broken[last.upperBound - 1] ^= 1
            for length in [1, 13, 4096, whole.count] {
                for bytes in [whole, broken] {
                    var checksums = try #require(checkpoint.checksums)
                    func pass() throws {
                        try bytes.withUnsafeBytes { all in
                            for start in stride(from: 0, to: all.count, by: length) {
                                let piece = all[start..<min(start + length, all.count)]
                                try checksums.pass(UnsafeRawBufferPointer(rebasing: piece))
                            }
                        }
                    }
                    if bytes == whole { try pass() } else { #expect(throws: CheckpointError.self) { try pass() } }
                }
            }
        }
    }
}
