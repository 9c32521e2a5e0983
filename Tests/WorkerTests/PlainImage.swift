// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A small uncompressed image whose elements tests replace: a Part 10 file in Explicit VR Little Endian.
struct PlainImage {
    struct Element {
        var vr: String
        var value: [UInt8]
    }

    /// The kinds of images: what the numbers of the Image Pixel and Image Plane Modules mean depends on them.
    enum Kind: String, CaseIterable {
        /// One grey slice of a volume, 16 bits, with Rescale Slope and Intercept.
        case slice
        /// One grey slice of a volume with a Modality LUT.
        case tableSlice
        /// Two RGB frames, 8 bits.
        case colour
        /// One frame with a palette, 8 bits.
        case palette
    }

    var elements: [UInt32: Element] = [:]
    /// The elements of the one item of the Modality LUT Sequence.
    var table: [UInt32: Element] = [:]

    /// Makes an image of 8 x 8 pixels.
    ///
    /// - Parameters:
    ///   - kind: the kind of image.
    ///   - series: Series Instance UID; Study and SOP Instance UID begin with it.
    ///   - number: Instance Number; a slice lies at as many millimetres.
    init(_ kind: Kind, series: String, number: Int = 1) {
        let isSlice = kind == .slice || kind == .tableSlice
        let bits = isSlice ? 16 : 8
        set(0x0008_0008, "CS", "ORIGINAL\\PRIMARY")
        set(0x0008_0016, "UI", isSlice ? "1.2.840.10008.5.1.4.1.1.4" : "1.2.840.10008.5.1.4.1.1.77.1.1")
        set(0x0008_0018, "UI", "\(series).\(number)")
        set(0x0008_0060, "CS", isSlice ? "MR" : "ES")
        set(0x0010_0020, "LO", "1")
        set(0x0020_000D, "UI", "1.2.3")
        set(0x0020_000E, "UI", series)
        set(0x0020_0013, "IS", "\(number)")
        set(0x0028_0002, "US", kind == .colour ? [3, 0] : [1, 0])
        let interpretation = kind == .colour ? "RGB" : kind == .palette ? "PALETTE COLOR" : "MONOCHROME2"
        set(0x0028_0004, "CS", interpretation)
        for (tag, value) in [(0x10, 8), (0x11, 8), (0x100, bits), (0x101, bits), (0x102, bits - 1), (0x103, 0)] {
            set(0x0028_0000 | UInt32(tag), "US", [UInt8(value), 0])
        }
        set(0x7FE0_0010, "OW", (0..<128).map { UInt8(truncatingIfNeeded: $0 * 37 + number) })
        switch kind {
        case .slice, .tableSlice:
            set(0x0018_0050, "DS", "1")
            set(0x0018_0081, "DS", "2.5")
            set(0x0018_0086, "IS", "1")
            set(0x0018_0088, "DS", "1")
            set(0x0020_0032, "DS", "0\\0\\\(number)")
            set(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
            set(0x0020_0052, "UI", "1.2.4")
            set(0x0020_0100, "IS", "1")
            set(0x0028_0030, "DS", "1\\1")
            if kind == .slice {
                set(0x0028_1052, "DS", "-10")
                set(0x0028_1053, "DS", "2")
            } else {
                table[0x0028_3002] = Element(vr: "US", value: [4, 0, 0, 0, 16, 0])
                table[0x0028_3006] = Element(vr: "OW", value: [0, 0, 1, 0, 2, 0, 3, 0])
            }
        case .colour:
            set(0x0028_0006, "US", [0, 0])
            set(0x0028_0008, "IS", "2")
            set(0x7FE0_0010, "OW", (0..<384).map { UInt8(truncatingIfNeeded: $0 * 37) })
        case .palette:
            for tag: UInt32 in 1...3 {
                set(0x0028_1100 | tag, "US", [0, 1, 0, 0, 8, 0])
                set(0x0028_1200 | tag, "OW", (0..<256).map { UInt8($0) })
            }
            set(0x7FE0_0010, "OW", (0..<64).map { UInt8($0) })
        }
    }

    mutating func set(_ tag: UInt32, _ vr: String, _ text: String) { set(tag, vr, Array(text.utf8)) }

    mutating func set(_ tag: UInt32, _ vr: String, _ value: [UInt8]) { elements[tag] = Element(vr: vr, value: value) }

    /// The whole file.
    var bytes: [UInt8] {
        var all = elements
        if !table.isEmpty {
            let item = Self.encoded(table)
            all[0x0028_3000] = Element(
                vr: "SQ", value: [0xFE, 0xFF, 0x00, 0xE0] + Self.number(item.count, width: 4) + item)
        }
        let meta: [UInt32: Element] = [0x0002_0010: Element(vr: "UI", value: Array("1.2.840.10008.1.2.1".utf8))]
        return [UInt8](repeating: 0, count: 128) + Array("DICM".utf8) + Self.encoded(meta) + Self.encoded(all)
    }

    private static func encoded(_ elements: [UInt32: Element]) -> [UInt8] {
        elements.sorted { $0.key < $1.key }.flatMap { tag, element in
            let isText = !["US", "SS", "UL", "SL", "FD", "FL", "OB", "OW", "SQ", "UI", "UN"].contains(element.vr)
            let padding: [UInt8] = element.value.count % 2 == 0 ? [] : [isText ? 0x20 : 0]
            let value = element.value + padding
            let isLong = ["OB", "OW", "SQ", "UN"].contains(element.vr)
            return number(Int(tag >> 16), width: 2) + number(Int(tag & 0xFFFF), width: 2) + Array(element.vr.utf8)
                + (isLong ? [0, 0] + number(value.count, width: 4) : number(value.count, width: 2)) + value
        }
    }

    /// A number in little endian.
    static func number(_ value: Int, width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
