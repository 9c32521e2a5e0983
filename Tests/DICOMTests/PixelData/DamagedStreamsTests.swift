// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// Streams and tables that are wrong, and are decoded nevertheless, with a remark.
@Suite struct DamagedStreamsTests {
    private func decoded(_ name: String) throws -> (samples: [Float], remarks: [String]) {
        let decoder = try FrameDecoder(InstanceFile(path: Fixture.path(name)))
        let samples = try decoder.frame(1).samples.floats
        return (samples, decoder.remarks)
    }

    @Test(arguments: ["rgb_jpeg_cut_off", "rgb_jpeg2000_cut_off"])
    func `decodes a stream without its end as far as it goes, and says so`(name: String) throws {
        let (samples, remarks) = try decoded(name)
        #expect(remarks.count == 1 && remarks[0].contains("frame 1") && remarks[0].contains("as far as it goes"))
        #expect(Set(samples).count > 100)
    }

    @Test func `says nothing about whole streams`() throws {
        for name in ["movie_jpeg_baseline", "movie_jpeg2000_wrong_table", "rgb_jpeg2000_lossless", "ct_rle"] {
            #expect(try decoded(name).remarks == [], "\(name)")
        }
    }

    /// The fragments of three JPEG frames, each in some pieces, with a basic offset table of these numbers.
    private func movie(_ pieces: [[Int]], table: [UInt32], write url: URL) throws {
        let source = try Data(contentsOf: Fixture.url("movie_jpeg_baseline"))
        let tag = Data([0xE0, 0x7F, 0x10, 0x00])
        let start = try #require(source.range(of: tag)).lowerBound
        // Tag, VR, reserved bytes and length take 12 bytes.
        var streams: [[UInt8]] = []
        var next = start + 12
        while next + 8 <= source.count, source[next + 2] == 0, source[next + 3] == 0xE0 {
            let length = (0..<4).reduce(0) { $0 | Int(source[next + 4 + $1]) << (8 * $1) }
            streams.append([UInt8](source[next + 8..<next + 8 + length]))
            next += 8 + length
        }
        streams.removeFirst()
        func item(_ bytes: [UInt8]) -> [UInt8] {
            [0xFE, 0xFF, 0x00, 0xE0] + (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
        }
        var data = [UInt8](source[..<(start + 12)])
        data += item(table.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } })
        for frame in pieces {
            let stream = streams.removeFirst()
            var from = 0
            for to in frame + [stream.count] {
                data += item(Array(stream[from..<to]))
                from = to
            }
        }
        try Data(data + [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]).write(to: url)
    }

    @Test(arguments: [[], [0, 0, 0], [0, 108, 4], [0, 108, 216], [0, 4, .max]] as [[UInt32]])
    func `finds the frames by their markers if the offset table is wrong`(table: [UInt32]) throws {
        let expected = try InstanceFile(path: Fixture.path("movie_jpeg_baseline")).frames().map(\.samples)
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            for pieces in [[[100], [], [100, 200]], [[100, 100], [50], []]] {
                try movie(pieces, table: table, write: url)
                #expect(try InstanceFile(path: url.path).frames().map(\.samples) == expected)
            }
        }
    }

    @Test func `finds the frames of RLE by their headers if both offset tables are wrong`() throws {
        let expected = try InstanceFile(path: Fixture.path("movie_rgb")).frames().map { Array($0.samples) }
        var bytes = try Data(contentsOf: Fixture.url("movie_rle_extended_table"))
        let table = try #require(bytes.range(of: Data([0xE0, 0x7F, 0x01, 0x00] + Array("OV".utf8)))).upperBound
        // Two reserved bytes and a length of four come before the three offsets.
        bytes.replaceSubrange(table + 6..<table + 30, with: [UInt8](repeating: 7, count: 24))
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try bytes.write(to: url)
            #expect(try InstanceFile(path: url.path).frames().map { Array($0.samples) } == expected)
        }
    }

    @Test func `decodes the frames that are there if the last ones are missing`() throws {
        let expected = try InstanceFile(path: Fixture.path("movie_jpeg_baseline")).frames().map(\.samples)
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try movie([[], []], table: [], write: url)
            let decoder = try FrameDecoder(InstanceFile(path: url.path))
            #expect(try [1, 2].map { try decoder.frame($0).samples } == Array(expected[..<2]))
            #expect(throws: PixelDataError.self) { try decoder.frame(3) }
            #expect(decoder.remarks == ["Pixel Data holds 2 of its 3 frames"])
        }
    }
}
