// SPDX-License-Identifier: Apache-2.0

/// One data set of a file, checked as a whole, with its values where they lie.
package struct DataSet {
    /// The elements of the data set or of one item of a sequence: a range of `elements`.
    package struct Item: Hashable, Sendable {
        var range: Range<Int>
    }

    let bytes: FileBytes
    let elements: [ScannedElement]
    /// As the file says; of a file without File Meta Information, the one that was found.
    package let transferSyntaxUID: String
    /// From File Meta Information, where there is any.
    package let mediaStorageSOPClassUID: String?
    package let mediaStorageSOPInstanceUID: String?

    package var root: Item { Item(range: 0..<elements.count) }

    /// The first element with this tag that is not inside another one.
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

    package func contains(_ attribute: Attribute, in item: Item? = nil) -> Bool {
        element(attribute, in: item) != nil
    }

    /// The items of a sequence; none when it is absent.
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

    /// Where the fragments of encapsulated Pixel Data lie, the basic offset table first; `nil` when it is not encapsulated.
    func fragments() -> [Range<Int>]? {
        guard let pixels = index(of: .pixelData, in: nil), elements[pixels].next > pixels + 1 else { return nil }
        return (pixels + 1..<elements[pixels].next).map { elements[$0].range }
    }

    /// The value as it lies in the file.
    package func raw(_ attribute: Attribute, in item: Item? = nil) -> [UInt8]? {
        element(attribute, in: item).map { Array(bytes[$0.range]) }
    }

    // MARK: Values

    /// The values of a text attribute, in ASCII with other bytes replaced, without padding; empty ones are kept.
    package func strings(_ attribute: Attribute, in item: Item? = nil) -> [String] {
        guard let element = element(attribute, in: item), element.length > 0 else { return [] }
        return bytes[element.range.clamped(to: element.offset..<element.offset + Self.textLimit)]
            .split(separator: UInt8(ascii: "\\"), omittingEmptySubsequences: false)
            .map { Self.trimmed($0.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }) }
    }

    /// The first value of a text attribute; `nil` when it is absent or empty.
    package func string(_ attribute: Attribute, in item: Item? = nil) -> String? {
        strings(attribute, in: item).first.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whole numbers from IS, or from US, SS, UL or SL; values that are none are left out.
    package func integers(_ attribute: Attribute, in item: Item? = nil) -> [Int] {
        guard let element = element(attribute, in: item) else { return [] }
        switch representation(element, attribute).letters {
        case "US": return numbers(element, UInt16.self).map(Int.init)
        case "SS": return numbers(element, UInt16.self).map { Int(Int16(bitPattern: $0)) }
        case "UL": return numbers(element, UInt32.self).map(Int.init)
        case "SL": return numbers(element, UInt32.self).map { Int(Int32(bitPattern: $0)) }
        default: return strings(attribute, in: item).compactMap { Int($0) }
        }
    }

    package func integer(_ attribute: Attribute, in item: Item? = nil) -> Int? {
        integers(attribute, in: item).first
    }

    /// Numbers from DS, FD or FL, as they are: they may be infinite or no number. One that is no number at all makes the
    /// whole list empty, since the others would change their places.
    package func doubles(_ attribute: Attribute, in item: Item? = nil) -> [Double] {
        guard let element = element(attribute, in: item) else { return [] }
        switch representation(element, attribute).letters {
        case "FD": return numbers(element, UInt64.self).map(Double.init(bitPattern:))
        case "FL": return numbers(element, UInt32.self).map { Double(Float(bitPattern: $0)) }
        default:
            let strings = strings(attribute, in: item)
            let numbers = strings.compactMap { Double($0) }
            return numbers.count == strings.count ? numbers : []
        }
    }

    package func double(_ attribute: Attribute, in item: Item? = nil) -> Double? {
        doubles(attribute, in: item).first
    }

    /// Numbers of one width, in the byte order of this element.
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

    /// The VR in the file, or the attribute's own where the file does not say.
    private func representation(_ element: ScannedElement, _ attribute: Attribute) -> ValueRepresentation {
        element.encoding.isExplicit && element.vr != .unknown ? element.vr : attribute.vr
    }

    /// Text beyond this is cut: no attribute that is used is longer.
    private static let textLimit = 64 << 10
    /// Numbers beyond this many bytes are cut: the longest that are used are lookup tables of 65,536 words.
    private static let numberLimit = 256 << 10

    /// Without padding: spaces on both sides, zeros at the end.
    static func trimmed(_ bytes: some Collection<UInt8>) -> String {
        let isPadding = { (byte: UInt8) in byte == 0x20 || byte == 0 }
        let front = bytes.drop(while: isPadding)
        let text = front.reversed().drop(while: isPadding).reversed()
        return String(decoding: text, as: UTF8.self)
    }
}
