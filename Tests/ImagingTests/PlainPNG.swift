// SPDX-License-Identifier: Apache-2.0

import Foundation

/// PNG files written byte by byte, without compression (ISO/IEC 15948): for kinds that our writer does not make.
struct PlainPNG {
    enum Kind: UInt8, CaseIterable {
        case grey = 0
        case rgb = 2
        case palette = 3
        case greyAlpha = 4
        case rgba = 6

        var channels: Int { [.grey: 1, .rgb: 3, .palette: 1, .greyAlpha: 2, .rgba: 4][self] ?? 1 }
    }

    var rows: Int
    var columns: Int
    var kind: Kind
    /// Bits a sample.
    var depth: Int
    /// `[rows, columns, channels]`.
    var samples: [Int]
    /// Chunks between the header and the samples.
    var chunks: [(type: String, data: [UInt8])] = []
    /// Rows and columns that the header tells instead of the true ones.
    var claimed: (Int, Int)?

    var file: Data {
        var file: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
        file += chunk(
            "IHDR", field(claimed?.1 ?? columns) + field(claimed?.0 ?? rows) + [UInt8(depth), kind.rawValue, 0, 0, 0])
        for (type, data) in chunks { file += chunk(type, data) }
        file += chunk("IDAT", zlib(lines))
        return Data(file + chunk("IEND", []))
    }

    /// Every line begins with its filter, 0: none.
    private var lines: [UInt8] {
        let count = columns * kind.channels
        return (0..<rows).flatMap { row -> [UInt8] in
            let line = samples[row * count..<(row + 1) * count]
            if depth == 16 { return [0] + line.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] } }
            var bytes = [UInt8](repeating: 0, count: (count * depth + 7) / 8)
            for (index, sample) in line.enumerated() {
                bytes[index * depth / 8] |= UInt8(sample << (8 - depth - index * depth % 8))
            }
            return [0] + bytes
        }
    }

    /// One stored block (RFC 1951 3.2.4) in a zlib stream (RFC 1950).
    private func zlib(_ bytes: [UInt8]) -> [UInt8] {
        precondition(bytes.count < 65_536, "one block is enough")
        let count = UInt16(bytes.count)
        let length = [UInt8(count & 0xff), UInt8(count >> 8), UInt8(~count & 0xff), UInt8(~count >> 8)]
        var (a, b) = (1, 0)
        for byte in bytes {
            a = (a + Int(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return [0x78, 0x01, 0x01] + length + bytes + field(b << 16 | a)
    }

    private func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + data
        var crc: UInt32 = 0xffff_ffff
        for byte in body {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        return field(data.count) + body + field(Int(~crc))
    }

    private func field(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
}
