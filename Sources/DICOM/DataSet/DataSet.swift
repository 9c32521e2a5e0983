// SPDX-License-Identifier: Apache-2.0

import CDCMTK

/// One data set of a file, checked as a whole.
///
/// Values stay in the mapped file and are decoded for each call.
package struct DataSet {
    /// The elements of the data set or of one item of a sequence: a range of `elements`.
    package struct Item: Hashable, Sendable {
        var range: Range<Int>
    }

    let bytes: FileBytes
    let elements: [ScannedElement]
    /// The File Meta Information.
    let meta: FoundFileMeta
    /// The syntax that the file declares; without File Meta Information, the one that fits the encoding.
    package let transferSyntaxUID: String

    private var root: Item { Item(range: 0..<elements.count) }

    /// The first element with this tag that is not inside another element.
    func element(_ attribute: Attribute, in item: Item? = nil) -> ScannedElement? {
        index(of: attribute, in: item).map { elements[$0] }
    }

    private func index(of attribute: Attribute, in item: Item?) -> Int? {
        let range = (item ?? root).range
        var index = range.lowerBound
        while index < range.upperBound {
            if elements[index].tag == attribute.tag { return index }
            index = elements[index].next
        }
        return nil
    }

    /// Whether an element is present, also without a value.
    package func contains(_ attribute: Attribute, in item: Item? = nil) -> Bool {
        element(attribute, in: item) != nil
    }

    /// Whether an element is present with a value that is more than padding.
    ///
    /// Attributes of type 2 may be empty, and writers also leave attributes of type 3 empty (PS3.5 7.4). Both count as
    /// absent.
    package func hasValue(_ attribute: Attribute, in item: Item? = nil) -> Bool {
        guard let element = element(attribute, in: item), element.length > 0 else { return false }
        return element.length > 64 || bytes[element.range].contains { $0 != 0x20 && $0 != 0 }
    }

    /// The items of a sequence, in their order; an empty list if it is absent.
    package func items(_ attribute: Attribute, in item: Item? = nil) -> [Item] {
        guard let sequence = index(of: attribute, in: item), elements[sequence].isSequence else { return [] }
        var found: [Item] = []
        var index = sequence + 1
        while index < elements[sequence].next {
            found.append(Item(range: index + 1..<elements[index].next))
            index = elements[index].next
        }
        return found
    }

    /// The byte ranges of the fragments of Pixel Data, the basic offset table first; `nil` if it is not encapsulated.
    func fragments() -> [Range<Int>]? {
        guard let pixels = index(of: .pixelData, in: nil), elements[pixels].next > pixels + 1 else { return nil }
        return (pixels + 1..<elements[pixels].next).map { elements[$0].range }
    }

    /// The bytes of a value, with padding, in the byte order of the file; `nil` if the element is absent.
    package func raw(_ attribute: Attribute, in item: Item? = nil) -> [UInt8]? {
        element(attribute, in: item).map { Array(bytes[$0.range]) }
    }

    // MARK: Values

    /// The values of a text attribute, without padding.
    ///
    /// Bytes outside ASCII become question marks. Empty values are kept, so that the others keep their places.
    package func strings(_ attribute: Attribute, in item: Item? = nil) -> [String] {
        guard let element = element(attribute, in: item), element.length > 0 else { return [] }
        return bytes[element.range.clamped(to: element.offset..<element.offset + Self.textLimit)]
            .split(separator: UInt8(ascii: "\\"), omittingEmptySubsequences: false)
            .map { Self.trimmed($0.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }) }
    }

    /// The first value of a text attribute, in ASCII; `nil` if it is absent or empty.
    package func string(_ attribute: Attribute, in item: Item? = nil) -> String? {
        strings(attribute, in: item).first.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The whole numbers of an attribute of VR IS, US, SS, UL or SL, or of another VR that holds them.
    ///
    /// All are from -2^31 to 2^32 - 1, so that sums and products of two of them cannot overflow. Values that are not
    /// numbers are left out, and so is text beyond the range of an Integer String (PS3.5 6.2).
    package func integers(_ attribute: Attribute, in item: Item? = nil) -> [Int] {
        guard let element = element(attribute, in: item) else { return [] }
        switch representation(element, attribute).letters {
        case "US": return numbers(element, UInt16.self).map(Int.init)
        case "SS": return numbers(element, UInt16.self).map { Int(Int16(bitPattern: $0)) }
        case "UL": return numbers(element, UInt32.self).map(Int.init)
        case "SL": return numbers(element, UInt32.self).map { Int(Int32(bitPattern: $0)) }
        case "FD", "FL": return doubles(attribute, in: item).compactMap(Self.integer)
        default: return strings(attribute, in: item).compactMap { Int32($0).map(Int.init) ?? Self.integer($0) }
        }
    }

    /// The whole number that a text such as `1.0` stands for.
    private static func integer(_ text: String) -> Int? { Double(text).flatMap(integer) }

    private static func integer(_ number: Double) -> Int? { Int32(exactly: number).map(Int.init) }

    /// The first whole number of an attribute; `nil` if there is none.
    package func integer(_ attribute: Attribute, in item: Item? = nil) -> Int? {
        integers(attribute, in: item).first
    }

    /// The numbers of an attribute of VR DS, FD or FL, which may be infinite or NaN.
    ///
    /// A text that is not a number makes the whole list empty, since the other numbers would change their places.
    package func doubles(_ attribute: Attribute, in item: Item? = nil) -> [Double] {
        guard let element = element(attribute, in: item) else { return [] }
        switch representation(element, attribute).letters {
        case "FD": return numbers(element, UInt64.self).map(Double.init(bitPattern:))
        case "FL": return numbers(element, UInt32.self).map { Double(Float(bitPattern: $0)) }
        case "US", "SS", "UL", "SL": return integers(attribute, in: item).map(Double.init)
        default:
            let strings = strings(attribute, in: item)
            let numbers = strings.compactMap { Double($0) }
            return numbers.count == strings.count ? numbers : []
        }
    }

    /// The numbers of an attribute as decimal strings, which keep the text of a Decimal String.
    func decimals(_ attribute: Attribute, in item: Item? = nil) -> [String] {
        guard let element = element(attribute, in: item) else { return [] }
        switch representation(element, attribute).letters {
        case "FD": return doubles(attribute, in: item).map(WrittenText.decimal)
        case "FL": return numbers(element, UInt32.self).map { WrittenText.decimal(Float(bitPattern: $0)) }
        default: return strings(attribute, in: item)
        }
    }

    /// The first number of an attribute; `nil` if there is none.
    package func double(_ attribute: Attribute, in item: Item? = nil) -> Double? {
        doubles(attribute, in: item).first
    }

    /// The numbers of an element, of one width, in the byte order of the element.
    func numbers<Number: FixedWidthInteger>(_ element: ScannedElement, _ type: Number.Type) -> [Number] {
        let value = bytes[element.range.clamped(to: element.offset..<element.offset + Self.numberLimit)]
        return stride(
            from: 0, to: value.count / MemoryLayout<Number>.size * MemoryLayout<Number>.size,
            by: MemoryLayout<Number>.size
        )
        .map {
            let number = value.loadUnaligned(fromByteOffset: $0, as: Number.self)
            return element.encoding.isBigEndian ? Number(bigEndian: number) : Number(littleEndian: number)
        }
    }

    /// The VR that the file names, or the attribute's own if the file does not name one, or one of bytes without meaning.
    private func representation(_ element: ScannedElement, _ attribute: Attribute) -> ValueRepresentation {
        let isOpaque = [.unknown, .otherByte, .otherWord, .sequence].contains(element.vr)
        return element.encoding.isExplicit && !isOpaque ? element.vr : attribute.vr
    }

    /// The number of bytes after which text is cut: no attribute that Kontur reads is longer.
    private static let textLimit = 64 << 10
    /// The number of bytes after which numbers are cut: the longest that Kontur reads are lookup tables of 65,536
    /// words.
    private static let numberLimit = 256 << 10

    /// A text without the spaces and NULs on both sides.
    static func trimmed(_ bytes: some Collection<UInt8>) -> String {
        let isPadding = { (byte: UInt8) in byte == 0x20 || byte == 0 }
        let front = bytes.drop(while: isPadding)
        let text = front.reversed().drop(while: isPadding).reversed()
        return String(decoding: text, as: UTF8.self)
    }
}

// MARK: Text in other character sets

extension DataSet {
    /// The first value of a text attribute, decoded to UTF-8; `nil` if it is absent or empty.
    ///
    /// Specific Character Set names the encoding (PS3.3 C.12.1.1.2, PS3.5 6.1). Bytes outside it are replaced, because
    /// the text is shown and matched but never written back.
    package func text(_ attribute: Attribute) -> String? {
        guard let value = raw(attribute), !value.isEmpty else { return nil }
        let cut = value.prefix(Self.decodedTextLimit)
        let text = cut.allSatisfy({ $0 < 0x80 && $0 != 0x1B }) ? Self.trimmed(cut) : decoded(Array(cut))
        return text.isEmpty ? nil : text
    }

    private static let decodedTextLimit = 4096

    private func decoded(_ value: [UInt8]) -> String {
        let sets = strings(.specificCharacterSet)
        if sets == ["ISO_IR 192"] { return Self.trimmed(value) }
        // Text without a character set should be ASCII; other bytes are most often Latin-1.
        let name = sets.isEmpty || sets == [""] ? "ISO_IR 100" : sets.joined(separator: "\\")
        var utf8 = cdcmtk_bytes()
        defer { cdcmtk_bytes_free(&utf8) }
        guard cdcmtk_utf8(name, value, value.count, "\\", &utf8) == CDCMTK_OK, let bytes = utf8.data else {
            return Self.trimmed(value.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") })
        }
        return Self.trimmed(UnsafeBufferPointer(start: bytes, count: utf8.length))
    }
}

/// The reason why a file is not a usable instance.
///
/// No case holds a value from the data set, except UIDs.
public enum DataSetError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The system could not open the file, or it is not a regular file.
    case cannotOpen(reason: String)
    /// Neither a Part 10 file nor a bare data set.
    case notDICOM(found: String)
    /// A DICOMDIR (PS3.10 section 8), which is not an instance of a study.
    case mediaDirectory
    /// The bytes end inside an element.
    case truncated(attribute: String, offset: Int, missing: Int)
    /// Sequences inside sequences, more than `limit` levels.
    case nestedTooDeep(limit: Int)
    /// An impossible length: undefined where PS3.5 forbids it, or longer than the item around the element.
    case invalidLength(attribute: String, offset: Int, length: UInt32)
    /// Bytes that PS3.5 section 7 does not allow at this place.
    case invalidEncoding(reason: String, offset: Int)
    /// More elements, or more inflated bytes, than Kontur takes.
    case tooLarge(what: String, limit: Int)
    /// A required attribute is absent or empty.
    case missing(attribute: String)
    /// A required attribute has a value that its definition does not allow.
    case invalidValue(attribute: String, reason: String)

    /// The error for an attribute that does not hold a UID.
    ///
    /// The text leaves the value out, because it may be any text.
    static func notUID(_ attribute: Attribute) -> DataSetError {
        .invalidValue(attribute: attribute.keyword, reason: "it is not a UID")
    }

    /// Whether bytes are not where PS3.5 section 7 asks for them.
    var isMalformation: Bool {
        switch self {
        case .truncated, .invalidLength, .invalidEncoding: true
        default: false
        }
    }

    /// The mistake and its place, and the remedy for a truncation.
    public var description: String {
        switch self {
        case .cannotOpen(let reason): "could not open the file: \(reason)"
        case .notDICOM(let found): "not a DICOM file: \(found)"
        case .mediaDirectory: "a media directory (DICOMDIR): it lists files and holds no image"
        case .truncated(let attribute, let offset, let missing):
            "the data set is truncated: \(attribute) at byte \(offset) lacks \(missing) bytes; send the instance again from a whole copy"
        case .nestedTooDeep(let limit): "sequences are nested deeper than \(limit) levels"
        case .invalidLength(let attribute, let offset, let length):
            "\(attribute) at byte \(offset) has the impossible length 0x\(String(length, radix: 16, uppercase: true))"
        case .invalidEncoding(let reason, let offset): "the data set is not well formed at byte \(offset): \(reason)"
        case .tooLarge(let what, let limit): "\(what) exceeds the limit of \(limit)"
        case .missing(let attribute): "\(attribute) is missing or empty"
        case .invalidValue(let attribute, let reason): "\(attribute) is not usable: \(reason)"
        }
    }
}
