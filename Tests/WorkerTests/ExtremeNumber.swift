// SPDX-License-Identifier: Apache-2.0

import Foundation

/// One number of an image with one extreme value: a row of the table that ``ExtremeNumbersTests`` walks.
struct ExtremeNumber: CustomStringConvertible {
    var attribute: NumericAttribute
    var kind: PlainImage.Kind
    var vr: String
    var value: [UInt8]
    /// The value in words.
    var words: String

    var description: String { "\(attribute.name) \(vr) \(words) in a \(kind.rawValue)" }

    /// The image with this value.
    func image(series: String, number: Int = 1) -> PlainImage {
        var image = PlainImage(kind, series: series, number: number)
        let element = PlainImage.Element(vr: vr, value: value)
        if attribute.isInTable { image.table[attribute.tag] = element } else { image.elements[attribute.tag] = element }
        return image
    }

    /// Every attribute with every value.
    static let all: [ExtremeNumber] = NumericAttribute.all.flatMap { attribute in
        attribute.kinds.flatMap { kind in
            values(ofCount: attribute.count).map { vr, value, words in
                ExtremeNumber(attribute: attribute, kind: kind, vr: vr, value: value, words: words)
            }
        }
    }

    private static let texts = [
        "-9223372036854775808", "9223372036854775807", "-9223372036854775809", "99999999999999999999", "-2147483648",
        "2147483647", "2147483648", "-1", "0", "1", "2", "65535", "65536", "200", "", "abc", "1e308", "-1e308",
        "1e-300", "1e-45", "1e16", "0.5", "nan", "inf", "-inf", "-0", "0x7p9", "1\\2\\3\\4\\5\\6\\7",
    ]

    private static func values(ofCount count: Int) -> [(vr: String, value: [UInt8], words: String)] {
        var values: [(String, [UInt8], String)] = []
        for text in texts {
            for places in Set([1, count]).sorted() {
                // One extreme value before ordinary ones, or in all places.
                let all = (0..<count).map { $0 < places || text.isEmpty ? text : "\($0 % 2)" }
                let joined = all.joined(separator: "\\")
                values.append((joined.utf8.count > 16 ? "LO" : "DS", Array(joined.utf8), joined))
            }
        }
        for (vr, width, bits) in [
            ("US", 2, [0, 1, 2, 7, 9, 32_767, 32_768, 65_535]), ("SS", 2, [65_535, 32_768]),
            ("UL", 4, [0, 65_536, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]), ("SL", 4, [0x8000_0000, 0xFFFF_FFFF]),
            ("UN", 3, [0xFF_FFFF]),
        ] {
            for number in bits {
                let value = (0..<count).flatMap { _ in PlainImage.number(number, width: width) }
                values.append((vr, value, "0x" + String(number, radix: 16)))
            }
        }
        for number in [Double.nan, .infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -1, 0] {
            let value = (0..<count).flatMap { _ in PlainImage.number(Int(bitPattern: UInt(number.bitPattern)), width: 8)
            }
            values.append(("FD", value, "\(number)"))
        }
        return values
    }
}

/// A numeric attribute that Kontur reads from received instances.
struct NumericAttribute {
    /// The attribute's name in the code.
    var name: String
    var tag: UInt32
    /// The number of values.
    var count = 1
    var kinds: [PlainImage.Kind] = [.slice]
    /// Whether it belongs to the item of the Modality LUT Sequence.
    var isInTable = false

    static let all: [NumericAttribute] = [
        .init(name: "recommendedDisplayFrameRate", tag: 0x0008_2144, kinds: [.colour]),
        .init(name: "cineRate", tag: 0x0018_0040, kinds: [.colour]),
        .init(name: "sliceThickness", tag: 0x0018_0050),
        .init(name: "echoTime", tag: 0x0018_0081),
        .init(name: "inversionTime", tag: 0x0018_0082),
        .init(name: "echoNumbers", tag: 0x0018_0086),
        .init(name: "spacingBetweenSlices", tag: 0x0018_0088),
        .init(name: "triggerTime", tag: 0x0018_1060),
        .init(name: "frameTime", tag: 0x0018_1063, kinds: [.colour]),
        .init(name: "frameTimeVector", tag: 0x0018_1065, count: 2, kinds: [.colour]),
        .init(name: "seriesNumber", tag: 0x0020_0011),
        .init(name: "acquisitionNumber", tag: 0x0020_0012),
        .init(name: "instanceNumber", tag: 0x0020_0013, kinds: [.slice, .colour]),
        .init(name: "imagePositionPatient", tag: 0x0020_0032, count: 3),
        .init(name: "imageOrientationPatient", tag: 0x0020_0037, count: 6),
        .init(name: "temporalPositionIdentifier", tag: 0x0020_0100),
        .init(name: "nominalPercentageOfCardiacPhase", tag: 0x0020_9241),
        .init(name: "samplesPerPixel", tag: 0x0028_0002, kinds: [.slice, .colour]),
        .init(name: "planarConfiguration", tag: 0x0028_0006, kinds: [.colour]),
        .init(name: "numberOfFrames", tag: 0x0028_0008, kinds: [.slice, .colour]),
        .init(name: "rows", tag: 0x0028_0010, kinds: PlainImage.Kind.allCases),
        .init(name: "columns", tag: 0x0028_0011, kinds: PlainImage.Kind.allCases),
        .init(name: "pixelSpacing", tag: 0x0028_0030, count: 2),
        .init(name: "bitsAllocated", tag: 0x0028_0100, kinds: PlainImage.Kind.allCases),
        .init(name: "bitsStored", tag: 0x0028_0101, kinds: PlainImage.Kind.allCases),
        .init(name: "highBit", tag: 0x0028_0102, kinds: PlainImage.Kind.allCases),
        .init(name: "pixelRepresentation", tag: 0x0028_0103, kinds: PlainImage.Kind.allCases),
        .init(name: "pixelPaddingValue", tag: 0x0028_0120),
        .init(name: "pixelPaddingRangeLimit", tag: 0x0028_0121),
        .init(name: "rescaleIntercept", tag: 0x0028_1052),
        .init(name: "rescaleSlope", tag: 0x0028_1053),
        .init(name: "redPaletteColorLookupTableDescriptor", tag: 0x0028_1101, count: 3, kinds: [.palette]),
        .init(name: "greenPaletteColorLookupTableDescriptor", tag: 0x0028_1102, count: 3, kinds: [.palette]),
        .init(name: "bluePaletteColorLookupTableDescriptor", tag: 0x0028_1103, count: 3, kinds: [.palette]),
        .init(name: "lutDescriptor", tag: 0x0028_3002, count: 3, kinds: [.tableSlice], isInTable: true),
    ]
}
