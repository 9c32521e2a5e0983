// SPDX-License-Identifier: Apache-2.0
//
// A flat reader of encoded data sets: PS3.5 section 7 (data elements, nested sequences) and A.4 (fragments). The
// scanner keeps a stack of its own and does not recurse, so that a hostile file cannot overflow the thread's stack. It
// checks every length against the item around it, and does not copy values. Left out: the meaning of attributes.
//
// The scanner passes over mistakes of writers that leave no doubt about the rest: delimiters and items where none should
// be, delimiters that are missing, an element that occurs twice (readers find the first), a text under the tag of a
// sequence, and whatever cannot be read after Pixel Data. `ElementHeaderReader` finds the length of elements with an
// unknown value representation.

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
    static let depthLimit = 64
    /// The largest number of elements, items and fragments that is read.
    static let elementLimit = 1_000_000

    /// The length in bytes from which a value that is not there, apart from Pixel Data, is a mistake.
    private static let longestValue = 256 << 20
    private static let pixelData: UInt32 = 0x7FE0_0010

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
    }

    private let bytes: UnsafeRawBufferPointer
    private var headers: ElementHeaderReader
    private var position: Int
    private var containers: [Container]
    private var elements: [ScannedElement] = []
    /// Whether Pixel Data of the root has begun.
    private var hasPixelData = false
    /// The number of elements when the scan was last between two elements after Pixel Data; `nil` before Pixel Data.
    private var complete: Int?

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
        headers = ElementHeaderReader(bytes)
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
            do {
                try scan(in: container)
            } catch {
                // Nothing that Kontur reads comes after Pixel Data.
                guard let complete, error.isMalformation else { throw error }
                elements.removeLast(elements.count - complete)
                return
            }
        }
    }

    private mutating func scan(in container: Container) throws(DataSetError) {
        switch container.kind {
        case .root, .item: try scanElement(in: container)
        case .sequence: try scanItem(in: container)
        case .fragments: try scanFragment(in: container)
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
        if container.kind == .root {
            if hasPixelData { complete = elements.count }
            if headers.areZeros(from: start, limit: bytes.count) {
                position = bytes.count
                return
            }
        }
        if container.end == nil, start == container.limit, container.limit < bytes.count {
            close(contentEnd: start)
            return
        }
        let header = try headers.header(at: start, limit: container.limit, container.encoding)
        if header.tag >> 16 == 0xFFFE {
            try pass(header, from: start, in: container)
            return
        }
        if container.kind == .root, header.tag == Self.pixelData { hasPixelData = true }
        var element = ScannedElement(
            tag: header.tag, vr: header.vr, encoding: container.encoding, offset: header.value, length: 0,
            next: elements.count + 1)
        position = header.value
        if header.isUndefined {
            try openUndefined(&element, in: container, start: start)
            return
        }
        let end = try endOfValue(header, from: start, limit: container.limit)
        element.length = end - header.value
        if element.isSequence, !headers.isSequence(at: header.value, limit: end, container.encoding) {
            element.vr = .unknown
        }
        try append(element)
        if element.isSequence {
            try open(.sequence, end: end, encoding: container.encoding, in: container)
        } else {
            position = end
        }
    }

    /// Closes an item at its delimiter, and passes over an item or a delimiter that does not belong where it is.
    private mutating func pass(
        _ header: ElementHeader, from start: Int, in container: Container
    ) throws(DataSetError) {
        let isOpen = container.kind == .item && container.end == nil
        switch header.tag {
        case ElementHeader.itemDelimitation:
            position = header.value
            if isOpen { close(contentEnd: start) }
        case ElementHeader.sequenceDelimitation where isOpen, ElementHeader.item where isOpen:
            // The item lacks its delimiter. The sequence around it reads this header.
            close(contentEnd: start)
        case ElementHeader.sequenceDelimitation:
            position = header.value
        case ElementHeader.item:
            position = header.value
            if header.isUndefined {
                try openItem(header, in: container)
            } else {
                position = try endOfValue(header, from: start, limit: container.limit)
            }
        default:
            throw .invalidEncoding(
                reason: "\(Attribute.name(of: header.tag)) where an element should be", offset: start)
        }
    }

    private mutating func openUndefined(
        _ element: inout ScannedElement, in container: Container, start: Int
    ) throws(DataSetError) {
        let holdsItems = headers.isSequence(at: position, limit: container.limit, container.encoding)
        if element.tag == Self.pixelData, holdsItems {
            try append(element)
            try open(.fragments, end: nil, encoding: container.encoding, in: container)
        } else if element.isSequence || element.vr == .unknown && element.tag != Self.pixelData {
            // A sequence of VR UN is in Implicit VR Little Endian, also in a data set of another encoding: PS3.5 6.2.2,
            // note 4.
            let inside = element.vr == .unknown ? .implicitLittleEndian : container.encoding
            element.vr = .sequence
            try append(element)
            try open(.sequence, end: nil, encoding: inside, in: container)
        } else {
            throw .invalidLength(
                attribute: Attribute.name(of: element.tag), offset: start, length: ElementHeader.undefinedLength)
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
        if container.end == nil, start == container.limit, container.limit < bytes.count {
            close(contentEnd: start)
            return
        }
        let header = try itemHeader(in: container)
        switch header.tag {
        case ElementHeader.sequenceDelimitation where container.end == nil:
            close(contentEnd: start)
        case ElementHeader.sequenceDelimitation, ElementHeader.itemDelimitation:
            // The sequence has a length, or the item before had one: the delimiter does not end anything.
            break
        case ElementHeader.item:
            try openItem(header, in: container)
        default:
            throw .invalidEncoding(
                reason: "\(Attribute.name(of: header.tag)) where an item should be", offset: start)
        }
    }

    /// Opens the item whose value begins at `position`.
    private mutating func openItem(_ header: ElementHeader, in container: Container) throws(DataSetError) {
        let end =
            header.isUndefined ? nil : try endOfValue(header, from: header.value - 8, limit: container.limit)
        var encoding = container.encoding
        if containers[0].encoding.isExplicit, !encoding.isExplicit,
            headers.isExplicit(at: position, limit: end ?? container.limit)
        {
            encoding = .explicitLittleEndian
        }
        try append(
            ScannedElement(
                tag: header.tag, vr: .unknown, encoding: encoding, offset: position,
                length: end.map { $0 - position } ?? 0, next: elements.count + 1))
        try open(.item, end: end, encoding: encoding, in: container)
    }

    private mutating func scanFragment(in container: Container) throws(DataSetError) {
        let start = position
        if endsFragments(at: start, limit: container.limit) {
            position = container.limit
            close(contentEnd: start)
            return
        }
        let header = try itemHeader(in: container)
        if header.tag == ElementHeader.sequenceDelimitation {
            close(contentEnd: start)
            return
        }
        guard header.tag == ElementHeader.item else {
            // The delimiter is missing. Another element follows, as every element after Pixel Data has a larger tag.
            if header.tag > Self.pixelData, header.tag >> 16 != 0xFFFE, container.encoding.isExplicit {
                position = start
                close(contentEnd: start)
                return
            }
            throw .invalidEncoding(
                reason: "\(Attribute.name(of: header.tag)) where a fragment should be", offset: start)
        }
        guard !header.isUndefined else {
            throw .invalidLength(attribute: "a fragment of PixelData", offset: start, length: header.length)
        }
        let end = try endOfValue(header, from: start, limit: container.limit)
        try append(
            ScannedElement(
                tag: header.tag, vr: .otherByte, encoding: container.encoding, offset: position,
                length: end - position, next: elements.count + 1))
        position = end
    }

    /// Whether no header follows the last fragment: the delimiter is missing, cut off or written as zeros.
    private mutating func endsFragments(at start: Int, limit: Int) -> Bool {
        limit - start < 8 || headers.areZeros(from: start, limit: limit)
    }

    private mutating func itemHeader(in container: Container) throws(DataSetError) -> ElementHeader {
        let start = position
        try headers.need(8, from: start, limit: container.limit, what: "an item")
        // Items do not have a representation, also in explicit encoding.
        var encoding = container.encoding
        encoding.isExplicit = false
        position = start + 8
        return try headers.header(at: start, limit: container.limit, encoding)
    }

    /// The end of a value of defined length.
    ///
    /// - Throws: `DataSetError.truncated` if the file ends before it, `.invalidLength` if the item around it does, or if
    ///   no whole copy of the file could have such an element.
    private func endOfValue(_ header: ElementHeader, from start: Int, limit: Int) throws(DataSetError) -> Int {
        let length = Int(header.length)
        guard length > limit - header.value else { return header.value + length }
        let isPossible = header.tag == Self.pixelData || length < Self.longestValue
        guard limit == bytes.count, isPossible else {
            throw .invalidLength(attribute: Attribute.name(of: header.tag), offset: start, length: header.length)
        }
        throw .truncated(
            attribute: Attribute.name(of: header.tag), offset: start, missing: length - (limit - header.value))
    }
}
