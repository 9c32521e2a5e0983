// SPDX-License-Identifier: Apache-2.0

import DICOM
import TestSupport
import Testing

@Suite struct RLEDecoderTests {
    /// A header with these segments behind it.
    private func frame(_ segments: [UInt8]..., count: UInt8? = nil) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 64)
        header[0] = count ?? UInt8(segments.count)
        var offset = 64
        for (index, segment) in segments.enumerated() {
            header[4 + 4 * index] = UInt8(offset & 0xFF)
            header[5 + 4 * index] = UInt8(offset >> 8)
            offset += segment.count
        }
        return header + segments.flatMap { $0 }
    }

    @Test func `decodes literal and replicate runs, and skips the no-operation`() throws {
        // Three literals, -128, four times 9, and a literal past the end that is padding.
        let bytes = frame([2, 1, 2, 3, 0x80, 0xFD, 9, 0, 77])
        #expect(
            try RLEDecoder.decode(bytes, segmentLength: 7, samples: 1, bytesPerSample: 1) == [1, 2, 3, 9, 9, 9, 9])
    }

    @Test func `puts the more significant byte first and interleaves samples`() throws {
        let bytes = frame(
            [1, 0x01, 0x02], [1, 0x03, 0x04], [0xFF, 0x0A], [0xFF, 0x0B], [0xFF, 0x0C], [0xFF, 0x0D])
        #expect(
            try RLEDecoder.decode(bytes, segmentLength: 2, samples: 3, bytesPerSample: 2)
                == [0x0103, 0x0A0B, 0x0C0D, 0x0204, 0x0A0B, 0x0C0D])
    }

    @Test func `refuses counts beyond the bounds of input and output`() {
        let cases: [[UInt8]] = [
            [], [UInt8](repeating: 0, count: 63), [UInt8](repeating: 0, count: 64),
            // A literal longer than the bytes there are, a replicate without its byte, nothing at all.
            frame([5, 1, 2]), frame([0xFD]), frame([]),
            // Fewer pixels than promised.
            frame([1, 1, 2]),
            // More segments than there should be.
            frame([6, 1, 2, 3, 4, 5, 6, 7], [0, 1]), frame([6, 1, 2, 3, 4, 5, 6, 7], count: 255),
        ]
        for bytes in cases {
            #expect(throws: (any Error).self) {
                try RLEDecoder.decode(bytes, segmentLength: 7, samples: 1, bytesPerSample: 1)
            }
        }
    }

    @Test func `refuses segments that lie outside of the frame or overlap`() {
        for offset in [0, 63, 73, 0xFFFF] {
            var bytes = frame([6, 1, 2, 3, 4, 5, 6, 7])
            bytes[4] = UInt8(offset & 0xFF)
            bytes[5] = UInt8(offset >> 8)
            bytes[7] = offset == 0xFFFF ? 0xFF : 0
            #expect(throws: (any Error).self) {
                try RLEDecoder.decode(bytes, segmentLength: 7, samples: 1, bytesPerSample: 1)
            }
        }
    }

    @Test func `survives any bytes`() {
        var random = SplitMix64(seed: 99)
        for _ in 0..<2000 {
            var bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if bytes.count >= 8, Bool.random(using: &random) {
                bytes.replaceSubrange(0..<8, with: [1, 0, 0, 0, 64, 0, 0, 0])
            }
            _ = try? RLEDecoder.decode(bytes, segmentLength: 50, samples: 1, bytesPerSample: 1)
        }
    }
}
