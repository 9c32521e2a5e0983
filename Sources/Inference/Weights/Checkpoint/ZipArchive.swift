// SPDX-License-Identifier: Apache-2.0
//
// Zip archives (PKWARE APPNOTE.TXT 6.3) as PyTorch writes them: every entry is stored, zip64
// records are everywhere, and the local headers have sizes of 0. The entries are read from the
// central directory. The reader refuses everything that PyTorch does not write: compression,
// encryption, several disks, bytes before the archive, repeated names, overlapping entries, and
// entries whose two headers disagree. `EntryChecksums` compares the checksums.

import Platform

/// The entries of a zip archive and the places of their bytes in the file.
struct ZipArchive {
    /// The place and the checksum of one entry.
    struct ArchiveEntry: Equatable {
        /// The offset of the first byte in the file.
        var offset: Int
        var size: Int
        /// The stored CRC-32 of the bytes.
        var checksum: UInt32

        /// Whether the entry has a checksum: PyTorch writes 0 if it was told not to compute
        /// checksums.
        var isChecked: Bool { checksum != 0 }
    }

    /// The largest central directory, in bytes.
    ///
    /// A ViT-H with its optimizer has 2,400 entries.
    static let largestDirectory = 16 << 20
    /// The largest number of entries.
    static let mostEntries = 1 << 16

    /// The entries by their names.
    private(set) var entries: [String: ArchiveEntry] = [:]

    /// Reads the central directory of a file.
    ///
    /// - Parameter file: the file.
    /// - Throws: `CheckpointError.archive` or `.unreadable`.
    init(_ file: CheckpointFile) throws(CheckpointError) {
        let directory = try CentralDirectory(file)
        let bytes = LittleEndian(try file.bytes(at: directory.offset, count: directory.size))
        var position = 0
        var taken: [Range<Int>] = []
        for _ in 0..<directory.entries {
            let header = try CentralHeader(bytes, at: position)
            position += header.length
            let entry = try Self.locate(header, in: file, before: directory.offset)
            guard entries.updateValue(entry, forKey: header.name) == nil else {
                throw .archive(reason: "two entries have the name \(header.name.quoted)")
            }
            taken.append(header.localOffset..<entry.offset + entry.size)
        }
        guard position == directory.size else { throw .archive(reason: "its directory does not end where it should") }
        taken.sort { $0.lowerBound < $1.lowerBound }
        for (one, next) in zip(taken, taken.dropFirst()) where next.lowerBound < one.upperBound {
            throw .archive(reason: "entries overlap at byte \(next.lowerBound)")
        }
    }

    /// Finds the bytes of an entry behind its local header.
    private static func locate(
        _ header: CentralHeader, in file: CheckpointFile, before end: Int
    ) throws(CheckpointError) -> ArchiveEntry {
        let name = header.name.quoted
        guard header.localOffset <= end - 30 else { throw .archive(reason: "entry \(name) lies outside the file") }
        let count = min(30 + header.nameBytes.count, end - header.localOffset)
        let local = LittleEndian(try file.bytes(at: header.localOffset, count: count))
        guard local.integer(at: 0, width: 4) == 0x0403_4b50, let nameLength = local.small(at: 26, width: 2),
            let extraLength = local.small(at: 28, width: 2), local.bytes.dropFirst(30).elementsEqual(header.nameBytes),
            nameLength == header.nameBytes.count
        else { throw .archive(reason: "entry \(name) does not begin where the directory says") }
        let offset = header.localOffset + 30 + nameLength + extraLength
        guard offset <= end, header.size <= end - offset else {
            throw .archive(
                reason: "the file ends inside the \(header.size) bytes of entry \(name); it may be truncated")
        }
        return ArchiveEntry(offset: offset, size: header.size, checksum: header.checksum)
    }
}

/// The place of the central directory, from the end record or from the zip64 end record before it.
private struct CentralDirectory {
    var offset: Int
    var size: Int
    var entries: Int

    init(_ file: CheckpointFile) throws(CheckpointError) {
        guard file.size >= 22 else { throw .archive(reason: "it is too short") }
        let tail = min(file.size, 22 + 0xffff)
        let base = file.size - tail
        let bytes = LittleEndian(try file.bytes(at: base, count: tail))
        // The comment behind the end record fills the rest of the file exactly.
        let found = stride(from: tail - 22, through: 0, by: -1).first { place in
            bytes.integer(at: place, width: 4) == 0x0605_4b50
                && bytes.small(at: place + 20, width: 2) == tail - 22 - place
        }
        guard let place = found, let disks = bytes.integer(at: place + 4, width: 4),
            let here = bytes.integer(at: place + 8, width: 2), var entries = bytes.integer(at: place + 10, width: 2),
            var size = bytes.integer(at: place + 12, width: 4), var offset = bytes.integer(at: place + 16, width: 4)
        else { throw .archive(reason: "it does not have an end record; the file may be truncated") }
        guard disks == 0, here == entries else { throw .archive(reason: "it spans several disks") }
        var end = base + place
        if let zip64 = try Self.zip64(file, before: end) {
            let record = LittleEndian(try file.bytes(at: zip64, count: 56))
            guard record.integer(at: 0, width: 4) == 0x0606_4b50, record.integer(at: 16, width: 8) == 0,
                let all = record.integer(at: 32, width: 8), record.integer(at: 24, width: 8) == all,
                let length = record.integer(at: 40, width: 8), let start = record.integer(at: 48, width: 8)
            else { throw .archive(reason: "its zip64 record is damaged") }
            (entries, size, offset, end) = (all, length, start, zip64)
        }
        guard entries <= UInt64(ZipArchive.mostEntries), size <= UInt64(ZipArchive.largestDirectory) else {
            throw .archive(reason: "its directory has \(entries) entries in \(size) bytes, more than any checkpoint")
        }
        guard offset <= UInt64(end), Int(offset) + Int(size) == end else {
            throw .archive(reason: "its directory is not where the end record says; the file may be truncated")
        }
        self.offset = Int(offset)
        self.size = Int(size)
        self.entries = Int(entries)
    }

    /// The offset of the zip64 end record, if its locator precedes the end record.
    private static func zip64(_ file: CheckpointFile, before end: Int) throws(CheckpointError) -> Int? {
        guard end >= 20 else { return nil }
        let locator = LittleEndian(try file.bytes(at: end - 20, count: 20))
        guard locator.integer(at: 0, width: 4) == 0x0706_4b50 else { return nil }
        guard locator.integer(at: 4, width: 4) == 0, let offset = locator.integer(at: 8, width: 8),
            file.size >= 56, offset <= UInt64(end - 20), Int(offset) <= file.size - 56
        else { throw .archive(reason: "its zip64 record is not in the file; it may be truncated") }
        return Int(offset)
    }
}

/// The header of an entry in the central directory.
private struct CentralHeader {
    var name: String
    var nameBytes: [UInt8]
    var size: Int
    var checksum: UInt32
    var localOffset: Int
    /// The number of bytes of the header itself.
    var length: Int

    init(_ bytes: LittleEndian, at place: Int) throws(CheckpointError) {
        guard bytes.integer(at: place, width: 4) == 0x0201_4b50, let flags = bytes.small(at: place + 8, width: 2),
            let method = bytes.small(at: place + 10, width: 2), let checksum = bytes.integer(at: place + 16, width: 4),
            let packed = bytes.integer(at: place + 20, width: 4),
            let size = bytes.integer(at: place + 24, width: 4), let nameLength = bytes.small(at: place + 28, width: 2),
            let extraLength = bytes.small(at: place + 30, width: 2),
            let commentLength = bytes.small(at: place + 32, width: 2), let disk = bytes.small(at: place + 34, width: 2),
            let offset = bytes.integer(at: place + 42, width: 4)
        else { throw .archive(reason: "its directory is damaged") }
        length = 46 + nameLength + extraLength + commentLength
        guard length <= bytes.bytes.count - place else { throw .archive(reason: "its directory is damaged") }
        nameBytes = Array(bytes.bytes.dropFirst(place + 46).prefix(nameLength))
        name = String(decoding: nameBytes, as: UTF8.self)
        guard flags & 1 == 0 else { throw .archive(reason: "entry \(name.quoted) is encrypted") }
        guard method == 0 else {
            throw .archive(reason: "entry \(name.quoted) is compressed; PyTorch does not compress entries")
        }
        var large = Zip64Extra(bytes.bytes.dropFirst(place + 46 + nameLength).prefix(extraLength))
        guard let whole = large.value(size, unless: 0xffff_ffff), let stored = large.value(packed, unless: 0xffff_ffff),
            let start = large.value(offset, unless: 0xffff_ffff), disk == 0 || disk == 0xffff,
            let localOffset = Int(exactly: start), let bytes = Int(exactly: whole)
        else { throw .archive(reason: "the sizes of entry \(name.quoted) are damaged") }
        guard stored == whole else { throw .archive(reason: "entry \(name.quoted) is compressed") }
        self.size = bytes
        self.checksum = UInt32(checksum)
        self.localOffset = localOffset
    }
}

/// The zip64 field of an entry.
///
/// It holds the size, the packed size and the offset, in this order, but only those that exceed 32 bits.
private struct Zip64Extra {
    private var values: [UInt64] = []

    init(_ extra: some Collection<UInt8>) {
        let bytes = LittleEndian(extra)
        var place = 0
        while let kind = bytes.small(at: place, width: 2), let length = bytes.small(at: place + 2, width: 2) {
            if kind == 1 {
                values = (0..<length / 8).compactMap { bytes.integer(at: place + 4 + $0 * 8, width: 8) }
                return
            }
            place += 4 + length
        }
    }

    /// The value of a short field, or the next long value if the short field holds the escape.
    mutating func value(_ short: UInt64, unless escape: UInt64) -> UInt64? {
        guard short == escape else { return short }
        return values.isEmpty ? nil : values.removeFirst()
    }
}

/// Compares the entries of an archive with the stored checksums while the file is read from its
/// beginning.
package struct EntryChecksums: Sendable {
    private let entries: [(name: String, entry: ZipArchive.ArchiveEntry)]
    private var next = 0
    private var checksum = CRC32()
    /// The number of bytes of the file that were read so far.
    private var position = 0

    /// Prepares the checksums of an archive.
    init(_ archive: ZipArchive) {
        entries = archive.entries.filter { $0.value.isChecked && $0.value.size > 0 }.map { ($0.key, $0.value) }
            .sorted { $0.entry.offset < $1.entry.offset }
    }

    /// Takes the next bytes of the file.
    ///
    /// - Parameter bytes: the bytes that follow those of the last call.
    /// - Throws: `CheckpointError.damaged` if an entry does not match its stored checksum.
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
