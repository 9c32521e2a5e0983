// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

@Suite struct InstanceFileComparisonTests {
    private func isSame(_ first: String, _ second: String) throws -> Bool {
        let (file, other) = (
            try InstanceFile(path: Fixture.path(first)), try InstanceFile(path: Fixture.path(second))
        )
        var steps: [Int] = []
        let isSame = try file.showsSameImage(as: other) { done, total in
            #expect(total == file.header.numberOfFrames)
            steps.append(done)
        }
        if isSame { #expect(steps == Array(1...file.header.numberOfFrames)) }
        return isSame
    }

    @Test func `one image in every lossless encoding is one image`() throws {
        let encodings = Fixture.decoded.filter { $0.hasPrefix("ct_") }
        #expect(encodings.count >= 8)
        for encoding in encodings {
            #expect(try isSame(encoding, "ct_explicit_little_endian"), "\(encoding)")
        }
        #expect(try isSame("movie_rle", "movie_rgb"))
    }

    @Test(arguments: [
        ("ct_explicit_little_endian", "mr_unsigned_12bit"), ("ct_explicit_little_endian", "modality_lut"),
        ("movie_rgb", "movie_jpeg_baseline"), ("mr_jpegls_near", "mr_jpegls_near"),
    ])
    func `another image, and any lossy encoding, is another image`(first: String, second: String) throws {
        #expect(try !isSame(first, second))
    }

    @Test func `one changed pixel or table makes another image`() throws {
        try withTemporaryFolder { folder in
            func image(pixel: UInt8 = 7, entry: UInt8 = 3) throws -> InstanceFile {
                var data = ElementBytes.identified()
                data.add(0x0028_0002, short: 1)
                data.add(0x0028_0004, "CS", text: "MONOCHROME2")
                data.add(0x0028_0010, short: 1)
                data.add(0x0028_0011, short: 2)
                data.add(0x0028_0100, short: 8)
                data.add(0x0028_0101, short: 8)
                data.add(0x0028_0102, short: 7)
                data.add(0x0028_0103, short: 0)
                var item = ElementBytes()
                item.add(0x0028_3002, "US", [2, 0, 7, 0, 8, 0])
                item.add(0x0028_3006, "OW", [1, 0, entry, 0])
                var sequence = ElementBytes()
                sequence.add(0xFFFE_E000, "", length: UInt32(item.bytes.count))
                data.add(0x0028_3000, "SQ", sequence.bytes + item.bytes)
                data.add(0x7FE0_0010, "OW", [pixel, 8])
                let url = folder.appending(path: UUID().uuidString)
                try data.write(to: url)
                return try InstanceFile(path: url.path)
            }
            let first = try image()
            #expect(try first.showsSameImage(as: image()) { _, _ in })
            #expect(try first.imageDigest() == image().imageDigest())
            for other in [try image(pixel: 8), try image(entry: 4)] {
                #expect(try !first.showsSameImage(as: other) { _, _ in })
                #expect(try first.imageDigest() != other.imageDigest())
            }
        }
    }
}
