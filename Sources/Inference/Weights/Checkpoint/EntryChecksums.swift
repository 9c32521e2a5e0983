// SPDX-License-Identifier: Apache-2.0

import Platform

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
