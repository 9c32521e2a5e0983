// SPDX-License-Identifier: Apache-2.0
//
// Headers of data elements: PS3.5 7.1. Writers also make headers that PS3.5 does not allow: a value representation that
// does not exist, or a length of another width than the representation has. Such a header can be read in up to three
// ways. The reading counts after which the data set goes on with the header of a later element.

import CDCMTK

/// The encoding of elements (PS3.5 7.1).
struct ElementEncoding: Hashable, Sendable {
    var isExplicit: Bool
    var isBigEndian: Bool

    static let implicitLittleEndian = ElementEncoding(isExplicit: false, isBigEndian: false)
    static let explicitLittleEndian = ElementEncoding(isExplicit: true, isBigEndian: false)
    static let explicitBigEndian = ElementEncoding(isExplicit: true, isBigEndian: true)
}

/// Tag, value representation and length of one element, item or delimiter.
struct ElementHeader {
    static let item: UInt32 = 0xFFFE_E000
    static let itemDelimitation: UInt32 = 0xFFFE_E00D
    static let sequenceDelimitation: UInt32 = 0xFFFE_E0DD
    static let undefinedLength: UInt32 = 0xFFFF_FFFF

    var tag: UInt32
    /// The representation that the file names, or that the dictionary has in implicit encoding; UN if neither is known.
    var vr: ValueRepresentation
    var length: UInt32
    /// Offset of the value.
    var value: Int

    var isUndefined: Bool { length == Self.undefinedLength }
}

/// Reads headers.
struct ElementHeaderReader {
    /// The number of unknown representations in a row that are looked at to understand the first.
    private static let lookahead = 3

    let bytes: UnsafeRawBufferPointer
    private var dictionary: [UInt32: ValueRepresentation] = [:]
    /// The first byte other than 0 that `areZeros` found last.
    private var nonzero = -1

    /// - Parameter bytes: the whole file; offsets count from its start.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Reads the header at an offset.
    ///
    /// - Parameters:
    ///   - start: the offset.
    ///   - limit: the offset that the element should not pass. The length in the header is not checked against it.
    ///   - encoding: the encoding of the data set or item around the element.
    /// - Returns: the header.
    /// - Throws: `DataSetError` if the bytes before `limit` are too few for a header.
    mutating func header(
        at start: Int, limit: Int, _ encoding: ElementEncoding
    ) throws(DataSetError) -> ElementHeader {
        try need(8, from: start, limit: limit, what: "an element")
        let tag = tag(at: start, encoding)
        guard tag >> 16 != 0xFFFE, encoding.isExplicit else { return implicit(tag, at: start, encoding) }
        let vr = representation(at: start)
        if ValueRepresentation.withShortLength.contains(vr) { return short(tag, vr, at: start, encoding) }
        if ValueRepresentation.withLongLength.contains(vr), word(at: start + 6, encoding) == 0 {
            try need(12, from: start, limit: limit, what: Attribute.name(of: tag))
            return long(tag, vr, at: start, encoding)
        }
        let early = implicit(tag, at: start, encoding)
        if isEarly(early, limit: limit, encoding) { return early }
        let readings = readings(tag, vr, at: start, limit: limit, encoding)
        if let plausible = readings.first(where: { isFollowed($0, limit: limit, encoding, Self.lookahead) }) {
            return plausible
        }
        // One writer leaves out length and value after a blank representation.
        let bare = ElementHeader(tag: tag, vr: .unknown, length: 0, value: start + 6)
        if !vr.hasLetters, isFollowed(bare, limit: limit, encoding, 0) { return bare }
        guard let first = readings.first(where: { fits($0, limit: limit, encoding) }) else {
            throw .invalidEncoding(
                reason: "\(Attribute.name(of: tag)) does not have a known value representation", offset: start)
        }
        return first
    }

    /// The end of an element of defined length; `nil` if there is none.
    mutating func endOfElement(at start: Int, _ encoding: ElementEncoding) -> Int? {
        guard let header = try? header(at: start, limit: bytes.count, encoding), !header.isUndefined,
            Int(header.length) <= bytes.count - header.value
        else { return nil }
        return header.value + Int(header.length)
    }

    /// The ways to read a header in explicit encoding whose representation is not known or does not have its length.
    ///
    /// Two letters are most often a representation of a later edition of PS3.5, which has a long length. Other bytes are
    /// most often a blank representation with a short length. The last reading is an element in implicit encoding.
    private mutating func readings(
        _ tag: UInt32, _ vr: ValueRepresentation, at start: Int, limit: Int, _ encoding: ElementEncoding
    ) -> [ElementHeader] {
        let isKnown = ValueRepresentation.withLongLength.contains(vr)
        let short = short(tag, isKnown ? vr : .unknown, at: start, encoding)
        let hasLong = limit - start >= 12 && (isKnown || word(at: start + 6, encoding) == 0)
        let long = hasLong ? [long(tag, isKnown ? vr : .unknown, at: start, encoding)] : []
        let implicit = implicit(tag, at: start, encoding)
        return vr.hasLetters ? long + [short, implicit] : [short] + long + [implicit]
    }

    private func short(
        _ tag: UInt32, _ vr: ValueRepresentation, at start: Int, _ encoding: ElementEncoding
    ) -> ElementHeader {
        ElementHeader(tag: tag, vr: vr, length: UInt32(word(at: start + 6, encoding)), value: start + 8)
    }

    private func long(
        _ tag: UInt32, _ vr: ValueRepresentation, at start: Int, _ encoding: ElementEncoding
    ) -> ElementHeader {
        ElementHeader(tag: tag, vr: vr, length: longWord(at: start + 8, encoding), value: start + 12)
    }

    private mutating func implicit(_ tag: UInt32, at start: Int, _ encoding: ElementEncoding) -> ElementHeader {
        let length = longWord(at: start + 4, encoding)
        let vr = tag >> 16 == 0xFFFE ? .unknown : dictionaryVR(tag, length: length)
        return ElementHeader(tag: tag, vr: vr, length: length, value: start + 8)
    }

    /// The VR that implicit encoding leaves out, from the dictionary.
    ///
    /// An unknown attribute of defined length is not scanned as a sequence.
    private mutating func dictionaryVR(_ tag: UInt32, length: UInt32) -> ValueRepresentation {
        if length == 0 { return .unknown }
        if let known = dictionary[tag] { return known }
        var letters: (CChar, CChar, CChar) = (0, 0, 0)
        withUnsafeMutablePointer(to: &letters) { tuple in
            tuple.withMemoryRebound(to: CChar.self, capacity: 3) { cdcmtk_dictionary_vr(tag, $0) }
        }
        let vr = ValueRepresentation(
            code: UInt16(UInt8(bitPattern: letters.0)) | UInt16(UInt8(bitPattern: letters.1)) << 8)
        dictionary[tag] = vr
        return vr
    }

    // MARK: What follows

    /// Whether a header is explicit although the encoding around it is implicit: some writers put explicit encoding into
    /// a sequence of VR UN.
    mutating func isExplicit(at start: Int, limit: Int) -> Bool {
        guard limit - start >= 8, isKnown(at: start, limit: limit, .explicitLittleEndian) else { return false }
        let tag = tag(at: start, .implicitLittleEndian)
        guard tag >> 16 != 0xFFFE else { return false }
        // The letters of a representation, read as a length, are more than 16,000 bytes. They can still fit into a large
        // file, and whatever comes after so many bytes can look like an element.
        return goesOn(at: start, limit: limit, .explicitLittleEndian)
            || !isFollowed(implicit(tag, at: start, .implicitLittleEndian), limit: limit, .implicitLittleEndian, 0)
    }

    /// Whether an element with a value of defined length, and then another element, a delimiter or the end, can be read
    /// at an offset.
    ///
    /// - Parameters:
    ///   - start: the offset.
    ///   - limit: the offset that the element should not pass; `nil` for the end of the file.
    ///   - encoding: the encoding to try.
    /// - Returns: whether the bytes can be read so.
    mutating func goesOn(at start: Int, limit: Int? = nil, _ encoding: ElementEncoding) -> Bool {
        let limit = limit ?? bytes.count
        guard let header = try? header(at: start, limit: limit, encoding), !header.isUndefined else { return false }
        return isFollowed(header, limit: limit, encoding, 1)
    }

    /// Whether an item, a delimiter or the end follows at an offset: what the value of a sequence begins with.
    func isSequence(at start: Int, limit: Int, _ encoding: ElementEncoding) -> Bool {
        guard limit - start >= 8 else { return start == limit }
        let tag = tag(at: start, encoding)
        return tag == ElementHeader.item || tag == ElementHeader.sequenceDelimitation
    }

    /// Whether an element of a command or of File Meta Information is in implicit encoding: whether its groups, or the
    /// first of a data set, follow.
    private func isEarly(_ header: ElementHeader, limit: Int, _ encoding: ElementEncoding) -> Bool {
        guard header.tag >> 16 <= 2, !header.isUndefined, fits(header, limit: limit, encoding) else { return false }
        let next = header.value + Int(header.length)
        guard limit - next >= 4 else { return next == limit }
        let tag = tag(at: next, encoding)
        return tag > header.tag && tag >> 16 <= 8
    }

    /// Whether the value ends before the limit, or is a sequence that ends with a delimiter.
    private func fits(_ header: ElementHeader, limit: Int, _ encoding: ElementEncoding) -> Bool {
        header.isUndefined
            ? isSequence(at: header.value, limit: limit, encoding) : Int(header.length) <= limit - header.value
    }

    /// Whether the value fits, and the end, a delimiter or the header of a later element comes after it.
    private mutating func isFollowed(
        _ header: ElementHeader, limit: Int, _ encoding: ElementEncoding, _ depth: Int
    ) -> Bool {
        guard fits(header, limit: limit, encoding) else { return false }
        if header.isUndefined { return true }
        let next = header.value + Int(header.length)
        guard limit - next >= 8 else { return next == limit }
        let tag = tag(at: next, encoding)
        guard tag >> 16 != 0xFFFE else { return true }
        // Zeros fill up the last block of some files.
        guard tag > header.tag else { return tag == 0 && longWord(at: next + 4, encoding) == 0 }
        guard encoding.isExplicit, !isKnown(at: next, limit: limit, encoding) else { return true }
        guard depth > 0 else { return false }
        for reading in readings(tag, representation(at: next), at: next, limit: limit, encoding)
        where isFollowed(reading, limit: limit, encoding, depth - 1) {
            return true
        }
        return false
    }

    /// Whether a header names a known representation and has a length that fits.
    private func isKnown(at start: Int, limit: Int, _ encoding: ElementEncoding) -> Bool {
        let vr = representation(at: start)
        let tag = tag(at: start, encoding)
        if ValueRepresentation.withShortLength.contains(vr) {
            return fits(short(tag, vr, at: start, encoding), limit: limit, encoding)
        }
        guard ValueRepresentation.withLongLength.contains(vr), limit - start >= 12 else { return false }
        return word(at: start + 6, encoding) == 0
            && fits(long(tag, vr, at: start, encoding), limit: limit, encoding)
    }

    // MARK: Bytes

    func tag(at offset: Int, _ encoding: ElementEncoding) -> UInt32 {
        UInt32(word(at: offset, encoding)) << 16 | UInt32(word(at: offset + 2, encoding))
    }

    /// Whether only zeros come before the limit.
    ///
    /// A file may hold many elements of zeros. Each of its bytes is looked at only once.
    mutating func areZeros(from start: Int, limit: Int) -> Bool {
        guard start + 4 > limit || tag(at: start, .explicitLittleEndian) == 0 else { return false }
        if nonzero < start { nonzero = bytes[start...].firstIndex { $0 != 0 } ?? bytes.count }
        return nonzero >= limit
    }

    /// Checks that bytes are there.
    func need(_ count: Int, from start: Int, limit: Int, what: String) throws(DataSetError) {
        guard limit - start >= count else {
            guard limit == bytes.count else {
                throw .invalidEncoding(reason: "\(what) is longer than the item around it", offset: start)
            }
            throw .truncated(attribute: what, offset: start, missing: count - (limit - start))
        }
    }

    private func representation(at start: Int) -> ValueRepresentation {
        ValueRepresentation(code: UInt16(bytes[start + 4]) | UInt16(bytes[start + 5]) << 8)
    }

    private func word(at offset: Int, _ encoding: ElementEncoding) -> UInt16 {
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
        return encoding.isBigEndian ? UInt16(bigEndian: value) : UInt16(littleEndian: value)
    }

    private func longWord(at offset: Int, _ encoding: ElementEncoding) -> UInt32 {
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return encoding.isBigEndian ? UInt32(bigEndian: value) : UInt32(littleEndian: value)
    }
}
