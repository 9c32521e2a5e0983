// SPDX-License-Identifier: Apache-2.0
//
// Lookup tables: PS3.3 C.7.6.3.1.5 and .6 (palettes), C.7.9.2 (segmented palettes), C.11.1 (Modality LUT).

/// A lookup table with its descriptor: number of entries, first mapped value, bits.
struct LookupTable {
    private let entries: [UInt16]
    private let first: Int32
    /// Bits of an entry.
    let bits: Int

    /// The largest entry.
    var largest: UInt16 { entries.max() ?? 0 }

    /// Reads a table.
    ///
    /// A table that says 8 bits and holds larger words is one of 16 bits.
    ///
    /// - Parameters:
    ///   - descriptor: the three numbers of the descriptor.
    ///   - element: the entries, or the segments of a segmented table.
    ///   - isSegmented: whether `element` holds segments.
    ///   - data: the data set that holds them.
    ///   - isSigned: whether stored values are signed.
    ///   - name: the table's name for messages.
    /// - Throws: `PixelDataError.inconsistent` if the descriptor is not usable or entries are missing.
    init(
        descriptor: [Int], data element: ScannedElement?, isSegmented: Bool = false, of data: DataSet, isSigned: Bool,
        name: String
    ) throws(PixelDataError) {
        guard descriptor.count == 3, descriptor[2] == 8 || (10...16).contains(descriptor[2]) else {
            throw .inconsistent(reason: "the descriptor of \(name) is not usable")
        }
        // In a signed image a US value above 32767 is a negative number. A count of 0 means 65,536.
        let count = descriptor[0] & 0xFFFF == 0 ? 65_536 : descriptor[0] & 0xFFFF
        let unsigned = descriptor[1] & 0xFFFF
        first = isSigned ? Int32(Int16(truncatingIfNeeded: unsigned)) : Int32(unsigned)
        guard let element else { throw .inconsistent(reason: "\(name) has no data") }
        // Entries of 8 bits are in bytes. Some writers put them into words, and others say 16 bits.
        let holdsBytes = (count...count + 1).contains(element.length) && count > 1
        let isBytes =
            isSegmented ? descriptor[2] == 8 : element.length < 2 * count && (descriptor[2] == 8 || holdsBytes)
        var words =
            isBytes ? Self.bytes(element, of: data).map(UInt16.init) : data.numbers(element, UInt16.self)
        if isSegmented {
            guard let expanded = Self.expanded(words, isBytes: isBytes, limit: count) else {
                throw .inconsistent(reason: "the segments of \(name) are not usable")
            }
            words = expanded
        }
        entries = Array(words.prefix(count))
        guard entries.count == count else {
            throw .inconsistent(reason: "\(name) has \(entries.count) entries and should have \(count)")
        }
        bits = isBytes ? 8 : descriptor[2] == 8 && entries.contains { $0 > 255 } ? 16 : descriptor[2]
    }

    /// Entries of one byte.
    ///
    /// The words of a big-endian element other than OB are swapped, so that the low byte comes first.
    private static func bytes(_ element: ScannedElement, of data: DataSet) -> [UInt8] {
        guard element.encoding.isBigEndian, element.vr != .otherByte else { return Array(data.bytes[element.range]) }
        return data.numbers(element, UInt16.self).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }

    /// The entry of a value.
    ///
    /// Values outside the table get its first or last entry.
    subscript(value: Int32) -> UInt16 {
        entries[Int(min(max(Int(value) - Int(first), 0), entries.count - 1))]
    }
}

// MARK: Segmented tables

extension LookupTable {
    /// The segments of a table: PS3.3 C.7.9.2.
    private enum Segment: UInt16 {
        /// Its length, and that many entries.
        case discrete = 0
        /// Its length and its last entry: a line from the entry before.
        case linear = 1
        /// A number of segments, and the place of the first of them, in bytes, as two words: these segments again.
        case indirect = 2
    }

    /// Writes out the entries of a segmented table.
    ///
    /// - Parameters:
    ///   - words: the segments.
    ///   - isBytes: whether a word was one byte.
    ///   - limit: the number of entries after which the rest is left out.
    /// - Returns: the entries; `nil` if the segments are not usable.
    private static func expanded(_ words: [UInt16], isBytes: Bool, limit: Int) -> [UInt16]? {
        var out: [UInt16] = []
        var position = 0
        while position < words.count, out.count < limit {
            // An odd number of bytes has a zero at its end.
            if isBytes, position == words.count - 1, words[position] == 0 { break }
            guard let next = append(words, at: position, isBytes: isBytes, mayRefer: true, to: &out, limit: limit)
            else { return nil }
            position = next
        }
        return out
    }

    /// Appends the entries of the segment at `position`.
    ///
    /// - Returns: the place of the next segment; `nil` if the segment is not usable.
    private static func append(
        _ words: [UInt16], at position: Int, isBytes: Bool, mayRefer: Bool, to out: inout [UInt16], limit: Int
    ) -> Int? {
        guard position >= 0, position + 1 < words.count, let segment = Segment(rawValue: words[position]) else {
            return nil
        }
        let length = Int(words[position + 1])
        switch segment {
        case .discrete:
            guard words.count - position - 2 >= length else { return nil }
            out += words[position + 2..<position + 2 + length]
            return position + 2 + length
        case .linear:
            guard let start = out.last, position + 2 < words.count else { return nil }
            let step = (Double(words[position + 2]) - Double(start)) / Double(max(length, 1))
            out += (0..<length).map { UInt16((Double(start) + step * Double($0 + 1)).rounded()) }
            return position + 3
        case .indirect:
            // A segment that is referred to does not refer to others: otherwise references could run in circles.
            let width = isBytes ? 4 : 2
            guard mayRefer, position + 2 + width <= words.count else { return nil }
            let offset = (0..<width).reduce(0) { $0 | Int(words[position + 2 + $1]) << ((isBytes ? 8 : 16) * $1) }
            var from = isBytes ? offset : offset / 2
            for _ in 0..<length where out.count < limit {
                guard let next = append(words, at: from, isBytes: isBytes, mayRefer: false, to: &out, limit: limit)
                else { return nil }
                from = next
            }
            return position + 2 + width
        }
    }
}

/// The red, green and blue Palette Color Lookup Tables.
struct ColorPalette {
    private let tables: [LookupTable]
    /// The largest entry that the tables can have.
    private let range: Float

    /// Reads the three tables.
    ///
    /// - Throws: `PixelDataError.inconsistent` if they are not usable.
    init(_ data: DataSet, isSigned: Bool) throws(PixelDataError) {
        let attributes: [(descriptor: Attribute, entries: Attribute, segments: Attribute)] = [
            (
                .redPaletteColorLookupTableDescriptor, .redPaletteColorLookupTableData,
                .segmentedRedPaletteColorLookupTableData
            ),
            (
                .greenPaletteColorLookupTableDescriptor, .greenPaletteColorLookupTableData,
                .segmentedGreenPaletteColorLookupTableData
            ),
            (
                .bluePaletteColorLookupTableDescriptor, .bluePaletteColorLookupTableData,
                .segmentedBluePaletteColorLookupTableData
            ),
        ]
        var tables: [LookupTable] = []
        for (descriptor, entries, segments) in attributes {
            let plain = data.element(entries).flatMap { $0.length > 0 ? $0 : nil }
            tables.append(
                try LookupTable(
                    descriptor: data.integers(descriptor), data: plain ?? data.element(segments),
                    isSegmented: plain == nil, of: data, isSigned: isSigned, name: "the palette"))
        }
        self.tables = tables
        // Some writers put entries of 8 bits into words and say 16 bits.
        let bits = tables.allSatisfy { $0.largest <= 255 } ? 8 : tables.map(\.bits).max() ?? 8
        range = Float(Int32(1) << Int32(bits) - 1)
    }

    /// Turns `[pixels]` into `[pixels, 3]`, 0...255.
    func apply(_ values: [Int32]) -> [Float] {
        var out = [Float](repeating: 0, count: values.count * 3)
        let factor = 255 / range
        for (channel, table) in tables.enumerated() {
            for (pixel, value) in values.enumerated() { out[3 * pixel + channel] = Float(table[value]) * factor }
        }
        return out
    }
}
