// SPDX-License-Identifier: Apache-2.0
//
// CRC-32 as zip archives have it (ISO 3309, reflected, 0xEDB88320), sixteen bytes a step from tables (Kounavis 2005).

/// The CRC-32 of bytes that come piece by piece.
package struct CRC32 {
    private var state = UInt32.max

    package init() {}

    package init(_ bytes: UnsafeRawBufferPointer) { update(bytes) }

    package var value: UInt32 { ~state }

    /// Sixteen tables of 256: table n is what a byte does that n others follow.
    private static let tables: [UInt32] = {
        var tables = (0..<256).map { byte in
            (0..<8).reduce(UInt32(byte)) { value, _ in value >> 1 ^ (value & 1 == 0 ? 0 : 0xedb8_8320) }
        }
        for index in 256..<16 * 256 {
            let before = tables[index - 256]
            tables.append(before >> 8 ^ tables[Int(before & 0xff)])
        }
        return tables
    }()

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        Self.tables.withUnsafeBufferPointer { tables in
            var state = state
            var place = 0
            while place + 16 <= bytes.count {
                var words = bytes.loadUnaligned(fromByteOffset: place, as: SIMD4<UInt32>.self)
                words[0] = UInt32(littleEndian: words[0]) ^ state
                state = 0
                for word in 0..<4 {
                    let value = word == 0 ? words[0] : UInt32(littleEndian: words[word])
                    let table = (12 - 4 * word) * 256
                    state ^= tables[table + 768 + Int(value & 0xff)] ^ tables[table + 512 + Int(value >> 8 & 0xff)]
                    state ^= tables[table + 256 + Int(value >> 16 & 0xff)] ^ tables[table + Int(value >> 24)]
                }
                place += 16
            }
            while place < bytes.count {
                state = state >> 8 ^ tables[Int((state ^ UInt32(bytes[place])) & 0xff)]
                place += 1
            }
            self.state = state
        }
    }
}

/// Compares an archive's entries with the checksums in its directory while the file passes by.
package struct EntryChecksums: Sendable {
    private let entries: [(name: String, entry: ZipArchive.Entry)]
    private var next = 0
    private var checksum = CRC32()
    /// How much of the file has passed by.
    private var position = 0

    /// - Parameter archive: whose entries do not overlap.
    init(_ archive: ZipArchive) {
        entries = archive.entries.filter { $0.value.isChecked && $0.value.size > 0 }.map { ($0.key, $0.value) }
            .sorted { $0.entry.offset < $1.entry.offset }
    }

    /// Takes the next bytes of the file.
    ///
    /// - Throws: `CheckpointError.damaged`.
    package mutating func pass(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        let end = position + bytes.count
        while next < entries.count {
            let (name, entry) = entries[next]
            let (first, last) = (max(entry.offset, position), min(entry.offset + entry.size, end))
            guard first < last else { break }
            checksum.update(UnsafeRawBufferPointer(rebasing: bytes[first - position..<last - position]))
            guard last == entry.offset + entry.size else { break }
            guard checksum.value == entry.checksum else { throw .damaged(entry: name) }
            checksum = CRC32()
            next += 1
        }
        position = end
    }
}
