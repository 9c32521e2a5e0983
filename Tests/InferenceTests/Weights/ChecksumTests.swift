// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

/// The checksums of a PyTorch checkpoint's records.
@Suite struct ChecksumTests {
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
                    "the file is damaged: entry '\(name)' does not match its stored checksum; download the file again"
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
