// SPDX-License-Identifier: Apache-2.0

import DICOM
import TestSupport
import Testing

@Suite struct JPEG2000StreamTests {
    /// SOC, SIZ and the bytes of one empty tile.
    private func codestream(
        capabilities: UInt16 = 0, columns: UInt32 = 3, rows: UInt32 = 2, offset: UInt32 = 0, tile: UInt32 = 64,
        depths: [UInt8] = [7], length: UInt16? = nil
    ) -> [UInt8] {
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        let numbers: [UInt32] = [columns + offset, rows + offset, offset, offset, tile, tile, 0, 0]
        return [0xFF, 0x4F, 0xFF, 0x51] + bytes(length ?? UInt16(38 + 3 * depths.count)) + bytes(capabilities)
            + numbers.flatMap(bytes) + bytes(UInt16(depths.count)) + depths.flatMap { [$0, 1, 1] }
            + [UInt8](repeating: 0, count: 14)
    }

    @Test func `reads size, depth and components`() throws {
        let stream = try JPEG2000Stream.read(codestream(offset: 5, depths: [11 | 0x80, 11 | 0x80, 11 | 0x80]))
        #expect((stream.rows, stream.columns, stream.components, stream.precision) == (2, 3, 3, 12))
    }

    @Test func `finds the codestream in boxes`() throws {
        let plain = codestream()
        let boxes: [UInt8] =
            [0, 0, 0, 12] + Array("jP  \r\n".utf8) + [0x87, 0x0A] + [0, 0, 0, 10] + Array("free..".utf8)
        for length in [[0, 0, 0, 0], [0, 0, 0, UInt8(plain.count + 8)]] as [[UInt8]] {
            let stream = try JPEG2000Stream.read(boxes + length + Array("jp2c".utf8) + plain)
            #expect(stream.codestream.count == plain.count)
        }
        let long = [0, 0, 0, 1] + Array("jp2c".utf8) + [0, 0, 0, 0, 0, 0, 0, UInt8(plain.count + 16)]
        #expect(try JPEG2000Stream.read(boxes + long + plain + [0, 0]).codestream.count == plain.count)
        #expect(throws: JPEG2000Stream.Failure.self) { try JPEG2000Stream.read(boxes) }
    }

    @Test func `refuses Part 2 by name`() {
        let failure = #expect(throws: JPEG2000Stream.Failure.self) {
            try JPEG2000Stream.read(codestream(capabilities: 0x8000))
        }
        #expect(failure.map { "\($0)".contains("Part 2") } == true)
        // A capability of Part 15 is HTJ2K.
        #expect(throws: Never.self) { try JPEG2000Stream.read(codestream(capabilities: 0x4000)) }
    }

    @Test func `refuses headers that claim more than the bytes can hold`() {
        let cases: [[UInt8]] = [
            [], [0xFF, 0x4F, 0xFF, 0x51], codestream(columns: 0), codestream(rows: 0), codestream(tile: 0),
            codestream(columns: 65_535, rows: 65_535), codestream(columns: .max, rows: .max),
            codestream(columns: 200, rows: 200, tile: 1), codestream(depths: []), codestream(depths: [7, 8, 7]),
            codestream(depths: [16]), codestream(depths: [7, 7, 7, 7, 7]), codestream(length: 40),
        ]
        for bytes in cases {
            #expect(throws: JPEG2000Stream.Failure.self) { try JPEG2000Stream.read(bytes) }
        }
    }
}
