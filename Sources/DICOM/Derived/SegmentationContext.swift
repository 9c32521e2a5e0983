// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging

/// One frame of the SEG and its source frame.
struct SegmentationFrame {
    /// Index into the masks.
    let mask: Int
    /// Index into the sources.
    let source: Int
    /// The number of the source frame in its instance, counted from 1.
    let frameNumber: Int
    /// The number of the source frame in the stack, counted from 1.
    let placeInStack: Int
    /// The number among the written frames, counted from 1: the second Dimension Index Value.
    let rank: Int
}

/// Everything that the sources of the module tables need.
struct SegmentationContext {
    let description: SegmentationDescription
    let sources: [SourceInstance]
    /// The values of the source received last: patient and study attributes are copied from it.
    let newest: CopiedValues
    let frames: [SegmentationFrame]
    let rows: Int
    let columns: Int
    /// `nil` if the SEG does not have a frame of reference.
    let geometry: SegmentationGeometry?
    /// Image Orientation (Patient) for all frames of a SEG without geometry; `nil` for none.
    let orientationWithoutGeometry: [String]?
    /// The value of Pixel Data.
    let pixelData: [UInt8]

    /// The first source: study and series are the same in all of them.
    var first: SourceInstance { sources[0] }

    /// The compression of the first source that was compressed lossily.
    var compression: LossyCompression? { sources.lazy.compactMap(\.compression).first }

    var isBinary: Bool { description.type == .binary }

    /// The bytes of an attribute of the newest source; `nil` if it is absent or empty.
    func copied(_ attribute: Attribute) -> ElementValue? { newest.bytes(attribute).map(ElementValue.bytes) }

    /// The UID of a part of this object, derived from the object's UID.
    func partUID(_ purpose: String) -> String { DerivedUID.make([description.sopInstanceUID, purpose]) }

    // MARK: Dates

    /// The offset from UTC, in seconds, that dates and times are written in.
    private var offset: Int {
        newest.string(.timezoneOffsetFromUTC).flatMap(Self.seconds(ofTimezone:)) ?? description.localOffsetFromUTC
    }

    /// Date and time of creation: YYYYMMDD and HHMMSS.
    var created: (date: String, time: String) {
        let (days, seconds) = Self.split(Int(description.created) + offset, by: 86_400)
        let (year, month, day) = Self.civil(daysSince1970: days)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = "\(value)"
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return (
            padded(year, 4) + padded(month, 2) + padded(day, 2),
            padded(seconds / 3600, 2) + padded(seconds / 60 % 60, 2) + padded(seconds % 60, 2)
        )
    }

    /// Parses a Timezone Offset From UTC (`&ZZXX` of PS3.3 C.12.1: a sign, hours and minutes).
    private static func seconds(ofTimezone text: String) -> Int? {
        guard text.utf8.count == 5, text.hasPrefix("+") || text.hasPrefix("-"),
            let digits = Int(text.dropFirst()), digits >= 0, digits / 100 <= 14, digits % 100 < 60
        else { return nil }
        let seconds = digits / 100 * 3600 + digits % 100 * 60
        return text.hasPrefix("-") ? -seconds : seconds
    }

    /// The quotient, and the remainder, which is never negative.
    private static func split(_ value: Int, by unit: Int) -> (Int, Int) {
        let rest = ((value % unit) + unit) % unit
        return ((value - rest) / unit, rest)
    }

    /// Year, month and day: Howard Hinnant's `civil_from_days`, which does not need a time zone database.
    private static func civil(daysSince1970 days: Int) -> (Int, Int, Int) {
        let (era, dayOfEra) = split(days + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

/// Values that Kontur writes as text.
enum WrittenText {
    /// One value in ASCII, cut to `limit` characters; other characters and backslashes become question marks.
    static func ascii(_ text: String, limit: Int) -> ElementValue {
        .text(
            String(
                decoding: text.utf8.prefix(limit).map {
                    (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\\") ? $0 : UInt8(ascii: "?")
                }, as: UTF8.self))
    }

    /// A text of the source as a Code String (PS3.5 6.2); `nil` if it is not a valid one.
    static func codeString(_ text: String) -> ElementValue? {
        let isValid = text.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x20 || $0 == UInt8(ascii: "_")
        }
        return isValid && text.utf8.count <= 16 ? .text(text) : nil
    }

    /// A number as a Decimal String of at most 16 characters (PS3.5 6.2).
    static func decimal(_ value: Double) -> String {
        let shortest = "\(value)"
        if shortest.utf8.count <= 16 { return shortest.hasSuffix(".0") ? String(shortest.dropLast(2)) : shortest }
        for digits in stride(from: 14, through: 6, by: -1) {
            let text = String(format: "%.\(digits)g", value)
            if text.utf8.count <= 16 { return text }
        }
        return "0"
    }

    /// Numbers as the source wrote them; those of more than 16 characters are written anew.
    static func decimals(_ strings: [String]) -> ElementValue {
        .text(
            strings.map { text in
                text.utf8.count <= 16 ? text : Double(text).map(decimal) ?? text
            }.joined(separator: "\\"))
    }
}
