// SPDX-License-Identifier: Apache-2.0
//
// A flat reader of encoded data sets: PS3.5 section 7 (data elements, nested sequences) and A.4 (fragments). The
// scanner keeps a stack of its own and does not recurse, so that a hostile file cannot overflow the thread's stack. It
// checks every length against the item around it, and does not copy values. Left out: the meaning of attributes.

import CDCMTK

/// The encoding of elements (PS3.5 7.1).
struct ElementEncoding: Hashable, Sendable {
    var isExplicit: Bool
    var isBigEndian: Bool

    static let implicitLittleEndian = ElementEncoding(isExplicit: false, isBigEndian: false)
    static let explicitLittleEndian = ElementEncoding(isExplicit: true, isBigEndian: false)
    static let explicitBigEndian = ElementEncoding(isExplicit: true, isBigEndian: true)
}

/// The place of one element, item or fragment in a file.
///
/// A scan lists elements in the order of the file: a sequence comes before its items, an item before its elements.
struct ScannedElement {
    var tag: UInt32
    var vr: ValueRepresentation
    var encoding: ElementEncoding
    /// Offset of the value.
    var offset: Int
    /// Bytes of the value.
    ///
    /// A sequence or item of undefined length counts up to its delimiter.
    var length: Int
    /// Index of the first element that is not part of this one.
    var next: Int

    /// The byte range of the value.
    var range: Range<Int> { offset..<offset + length }
    var isSequence: Bool { vr == .sequence }
}

/// The scanner of one data set.
struct DataSetScanner {
    /// The deepest nesting of sequences that is read; real files stay under ten.
    static let depthLimit = 32
    /// The largest number of elements, items and fragments that is read.
    static let elementLimit = 1_000_000

    private static let item: UInt32 = 0xFFFE_E000
    private static let itemDelimitation: UInt32 = 0xFFFE_E00D
    private static let sequenceDelimitation: UInt32 = 0xFFFE_E0DD
    private static let pixelData: UInt32 = 0x7FE0_0010
    private static let undefinedLength: UInt32 = 0xFFFF_FFFF

    private enum Kind { case root, sequence, item, fragments }

    /// A sequence, item or run of fragments that is being scanned.
    private struct Container {
        var kind: Kind
        /// The offset of its end; `nil` until its delimiter is found.
        var end: Int?
        /// The offset that elements inside may not pass.
        var limit: Int
        /// The index of its element; -1 for the root.
        var element: Int
        var encoding: ElementEncoding
        /// The number of sequences around and including this one.
        var depth: Int
        /// The tag of the previous element, to find doubled elements.
        var lastTag: UInt32?
    }

    private let bytes: UnsafeRawBufferPointer
    private var position: Int
    private var containers: [Container]
    private var elements: [ScannedElement] = []
    private var vrCache: [UInt32: ValueRepresentation] = [:]

    /// Scans a data set and checks its nesting, lengths and encoding.
    ///
    /// - Parameters:
    ///   - bytes: the whole file; offsets count from its start.
    ///   - start: the offset of the data set, which goes to the end of the bytes.
    ///   - encoding: the encoding of the data set.
    /// - Returns: all elements, items and fragments in the order of the file.
    /// - Throws: `DataSetError`.
    static func scan(
        _ bytes: UnsafeRawBufferPointer, from start: Int, encoding: ElementEncoding
    ) throws(DataSetError) -> [ScannedElement] {
        var scanner = DataSetScanner(bytes: bytes, start: start, encoding: encoding)
        try scanner.run()
        return scanner.elements
    }

    private init(bytes: UnsafeRawBufferPointer, start: Int, encoding: ElementEncoding) {
        self.bytes = bytes
        position = start
        containers = [
            Container(kind: .root, end: bytes.count, limit: bytes.count, element: -1, encoding: encoding, depth: 0)
        ]
    }

    private mutating func run() throws(DataSetError) {
        while let container = containers.last {
            if let end = container.end, position == end {
                close(contentEnd: position)
                continue
            }
            switch container.kind {
            case .root, .item: try scanElement(in: container)
            case .sequence: try scanItem(in: container)
            case .fragments: try scanFragment(in: container)
            }
        }
    }

    private mutating func close(contentEnd: Int) {
        let closed = containers.removeLast()
        guard closed.element >= 0 else { return }
        elements[closed.element].length = contentEnd - elements[closed.element].offset
        elements[closed.element].next = elements.count
    }

    private mutating func append(_ element: ScannedElement) throws(DataSetError) {
        guard elements.count < Self.elementLimit else {
            throw .tooLarge(what: "the number of elements", limit: Self.elementLimit)
        }
        elements.append(element)
    }

    // MARK: Elements

    private mutating func scanElement(in container: Container) throws(DataSetError) {
        let start = position
        if container.kind == .root, isPadding(from: start) {
            position = bytes.count
            return
        }
        let header = try readHeader(in: container)
        let tag = header.tag
        if tag == Self.itemDelimitation, container.kind == .item, container.end == nil {
            guard header.length == 0 else {
                throw .invalidLength(attribute: "Item Delimitation Item", offset: start, length: header.length)
            }
            position = header.value
            close(contentEnd: start)
            return
        }
        guard tag >> 16 != 0xFFFE else {
            throw .invalidEncoding(reason: "\(Attribute.name(of: tag)) where an element should be", offset: start)
        }
        guard tag != container.lastTag else {
            throw .invalidEncoding(reason: "\(Attribute.name(of: tag)) occurs twice", offset: start)
        }
        containers[containers.count - 1].lastTag = tag

        var element = ScannedElement(
            tag: tag, vr: header.vr, encoding: container.encoding, offset: header.value, length: 0,
            next: elements.count + 1)
        position = header.value
        if header.length == Self.undefinedLength {
            try openUndefined(&element, in: container, start: start)
            return
        }
        let length = Int(header.length)
        try check(length, from: header.value, limit: container.limit, tag: tag, start: start, found: header.length)
        element.length = length
        try append(element)
        if element.vr == .sequence {
            try open(.sequence, end: header.value + length, encoding: container.encoding, in: container)
        } else {
            position = header.value + length
        }
    }

    private mutating func openUndefined(
        _ element: inout ScannedElement, in container: Container, start: Int
    ) throws(DataSetError) {
        let isExplicit = container.encoding.isExplicit
        if isExplicit, element.tag == Self.pixelData, element.vr == .otherByte || element.vr == .otherWord {
            try append(element)
            try open(.fragments, end: nil, encoding: container.encoding, in: container)
        } else if element.vr == .sequence || element.vr == .unknown && element.tag != Self.pixelData {
            // A sequence of VR UN is in Implicit VR Little Endian, also in a data set of another encoding: PS3.5 6.2.2,
            // note 4.
            let inside = element.vr == .unknown ? .implicitLittleEndian : container.encoding
            element.vr = .sequence
            try append(element)
            try open(.sequence, end: nil, encoding: inside, in: container)
        } else {
            throw .invalidLength(
                attribute: Attribute.name(of: element.tag), offset: start, length: Self.undefinedLength)
        }
    }

    private mutating func open(
        _ kind: Kind, end: Int?, encoding: ElementEncoding, in parent: Container
    ) throws(DataSetError) {
        let depth = kind == .item ? parent.depth : parent.depth + 1
        guard depth <= Self.depthLimit else { throw .nestedTooDeep(limit: Self.depthLimit) }
        containers.append(
            Container(
                kind: kind, end: end, limit: end ?? parent.limit, element: elements.count - 1, encoding: encoding,
                depth: depth))
    }

    // MARK: Items and fragments

    private mutating func scanItem(in container: Container) throws(DataSetError) {
        let start = position
        let (tag, length) = try readItemHeader(in: container)
        if tag == Self.sequenceDelimitation, container.end == nil {
            close(contentEnd: start)
            return
        }
        guard tag == Self.item else {
            throw .invalidEncoding(reason: "\(Attribute.name(of: tag)) where an item should be", offset: start)
        }
        let isUndefined = length == Self.undefinedLength
        if !isUndefined {
            try check(Int(length), from: position, limit: container.limit, tag: tag, start: start, found: length)
        }
        try append(
            ScannedElement(
                tag: tag, vr: .unknown, encoding: container.encoding, offset: position,
                length: isUndefined ? 0 : Int(length), next: elements.count + 1))
        try open(
            .item, end: isUndefined ? nil : position + Int(length), encoding: container.encoding, in: container)
    }

    private mutating func scanFragment(in container: Container) throws(DataSetError) {
        let start = position
        let (tag, length) = try readItemHeader(in: container)
        if tag == Self.sequenceDelimitation {
            close(contentEnd: start)
            return
        }
        guard tag == Self.item else {
            throw .invalidEncoding(reason: "\(Attribute.name(of: tag)) where a fragment should be", offset: start)
        }
        guard length != Self.undefinedLength else {
            throw .invalidLength(attribute: "a fragment of PixelData", offset: start, length: length)
        }
        try check(Int(length), from: position, limit: container.limit, tag: tag, start: start, found: length)
        try append(
            ScannedElement(
                tag: tag, vr: .otherByte, encoding: container.encoding, offset: position, length: Int(length),
                next: elements.count + 1))
        position += Int(length)
    }

    // MARK: Bytes

    private struct Header {
        var tag: UInt32
        var vr: ValueRepresentation
        var length: UInt32
        /// Offset of the value.
        var value: Int
    }

    private mutating func readHeader(in container: Container) throws(DataSetError) -> Header {
        let start = position
        let encoding = container.encoding
        try need(8, from: start, limit: container.limit, what: "an element")
        let tag = readTag(at: start, encoding)
        if tag >> 16 == 0xFFFE {
            return Header(tag: tag, vr: .unknown, length: read32(at: start + 4, encoding), value: start + 8)
        }
        guard encoding.isExplicit else {
            let length = read32(at: start + 4, encoding)
            return Header(tag: tag, vr: dictionaryVR(tag, length: length), length: length, value: start + 8)
        }
        let vr = ValueRepresentation(code: UInt16(bytes[start + 4]) | UInt16(bytes[start + 5]) << 8)
        if ValueRepresentation.withShortLength.contains(vr) {
            return Header(tag: tag, vr: vr, length: UInt32(read16(at: start + 6, encoding)), value: start + 8)
        }
        guard ValueRepresentation.withLongLength.contains(vr) else {
            throw .invalidEncoding(
                reason: "\(Attribute.name(of: tag)) does not have a known value representation", offset: start)
        }
        try need(12, from: start, limit: container.limit, what: Attribute.name(of: tag))
        return Header(tag: tag, vr: vr, length: read32(at: start + 8, encoding), value: start + 12)
    }

    private mutating func readItemHeader(in container: Container) throws(DataSetError) -> (UInt32, UInt32) {
        let start = position
        try need(8, from: start, limit: container.limit, what: "an item")
        position = start + 8
        return (readTag(at: start, container.encoding), read32(at: start + 4, container.encoding))
    }

    /// The VR that implicit encoding leaves out, from the dictionary.
    ///
    /// An unknown attribute of defined length is not scanned as a sequence.
    private mutating func dictionaryVR(_ tag: UInt32, length: UInt32) -> ValueRepresentation {
        if length == 0 { return .unknown }
        if let known = vrCache[tag] { return known }
        var letters: (CChar, CChar, CChar) = (0, 0, 0)
        withUnsafeMutablePointer(to: &letters) { tuple in
            tuple.withMemoryRebound(to: CChar.self, capacity: 3) { cdcmtk_dictionary_vr(tag, $0) }
        }
        let vr = ValueRepresentation(
            code: UInt16(UInt8(bitPattern: letters.0)) | UInt16(UInt8(bitPattern: letters.1)) << 8)
        vrCache[tag] = vr
        return vr
    }

    private func need(_ count: Int, from start: Int, limit: Int, what: String) throws(DataSetError) {
        guard limit - start >= count else {
            guard limit == bytes.count else {
                throw .invalidEncoding(reason: "\(what) is longer than the item around it", offset: start)
            }
            throw .truncated(attribute: what, offset: start, missing: count - (limit - start))
        }
    }

    private func check(
        _ length: Int, from value: Int, limit: Int, tag: UInt32, start: Int, found: UInt32
    ) throws(DataSetError) {
        guard length > limit - value else { return }
        guard limit == bytes.count else {
            throw .invalidLength(attribute: Attribute.name(of: tag), offset: start, length: found)
        }
        throw .truncated(attribute: Attribute.name(of: tag), offset: start, missing: length - (limit - value))
    }

    /// Whether only zeros follow: some writers fill up their last block.
    private func isPadding(from start: Int) -> Bool {
        guard bytes[start] == 0, start + 4 > bytes.count || readTag(at: start, .explicitLittleEndian) == 0 else {
            return false
        }
        return bytes[start...].allSatisfy { $0 == 0 }
    }

    private func readTag(at offset: Int, _ encoding: ElementEncoding) -> UInt32 {
        UInt32(read16(at: offset, encoding)) << 16 | UInt32(read16(at: offset + 2, encoding))
    }

    private func read16(at offset: Int, _ encoding: ElementEncoding) -> UInt16 {
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
        return encoding.isBigEndian ? UInt16(bigEndian: value) : UInt16(littleEndian: value)
    }

    private func read32(at offset: Int, _ encoding: ElementEncoding) -> UInt32 {
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return encoding.isBigEndian ? UInt32(bigEndian: value) : UInt32(littleEndian: value)
    }
}
