// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging

/// One source instance, as far as a SEG needs it.
struct SourceInstance {
    let header: InstanceHeader
    /// The frames that were segmented, counted from 1.
    let frameNumbers: [Int]
    /// Decimal strings of the plane, as the source wrote them.
    let position: [String]
    let orientation: [String]
    let pixelSpacing: [String]
    let compression: LossyCompression?
}

/// Lossy Image Compression, Ratio and Method of a source whose pixels went through it: PS3.3 C.7.6.1.1.5.
struct LossyCompression: Hashable {
    /// Values as written; empty when nothing is known.
    var ratios: [String]
    var methods: [String]
}

/// One frame of the SEG, and where it comes from.
struct SegmentationFrame {
    /// Index into the masks.
    let mask: Int
    /// Index into the sources.
    let source: Int
    /// In its source, counted from 1.
    let frameNumber: Int
    /// Among all frames of the stack, counted from 1.
    let placeInStack: Int
    /// Among the frames written, counted from 1: second Dimension Index Value.
    let rank: Int
}

/// Where the frames of a SEG lie, and what is written about it.
struct SegmentationGeometry {
    var frameOfReferenceUID: String
    var pixelSpacing: [String]
    /// mm.
    var sliceThickness: Double
    /// mm.
    var spacingBetweenSlices: Double
    var orientation: [String]
    /// Image Position (Patient) of every frame of the stack.
    var positions: [[String]]
}

/// Everything the tables of the modules draw from.
struct SegmentationContext {
    let description: SegmentationDescription
    let sources: [SourceInstance]
    /// Data set of the source received last.
    let newest: DataSet
    let frames: [SegmentationFrame]
    let rows: Int
    let columns: Int
    /// `nil`: no frame of reference.
    let geometry: SegmentationGeometry?
    /// Orientation to share where there is no geometry.
    let orientationWithoutGeometry: [String]?
    let pixelData: [UInt8]

    /// First source: the series is the same in all of them.
    var first: InstanceHeader { sources[0].header }

    var compression: LossyCompression? { sources.lazy.compactMap(\.compression).first }

    var isBinary: Bool { description.type == .binary }

    /// A value of the newest source, as it lies there.
    func copied(_ attribute: Attribute) -> EncodedValue? { newest.raw(attribute).map(EncodedValue.bytes) }

    /// UIDs of parts of this object, which follow from its own.
    func partUID(_ purpose: String) -> String { DerivedUID.make([description.sopInstanceUID, purpose]) }

    // MARK: Dates

    /// Seconds east of UTC in which dates and times are written.
    private var offset: Int {
        newest.string(.timezoneOffsetFromUTC).flatMap(Self.seconds(ofTimezone:)) ?? description.localOffsetFromUTC
    }

    /// YYYYMMDD and HHMMSS.
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

    /// `&ZZXX` of PS3.3 C.12.1: a sign, hours and minutes.
    private static func seconds(ofTimezone text: String) -> Int? {
        guard text.utf8.count == 5, text.hasPrefix("+") || text.hasPrefix("-"),
            let digits = Int(text.dropFirst()), digits >= 0, digits / 100 <= 14, digits % 100 < 60
        else { return nil }
        let seconds = digits / 100 * 3600 + digits % 100 * 60
        return text.hasPrefix("-") ? -seconds : seconds
    }

    private static func split(_ value: Int, by unit: Int) -> (Int, Int) {
        let rest = ((value % unit) + unit) % unit
        return ((value - rest) / unit, rest)
    }

    /// Howard Hinnant's `civil_from_days`: the calendar without a time zone database.
    private static func civil(daysSince1970 days: Int) -> (Int, Int, Int) {
        let (era, dayOfEra) = split(days + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

/// Text that we write ourselves.
enum WrittenText {
    /// ASCII, of one value and at most `limit` characters.
    static func ascii(_ text: String, limit: Int) -> EncodedValue {
        .text(
            String(
                decoding: text.utf8.prefix(limit).map {
                    (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\\") ? $0 : UInt8(ascii: "?")
                }, as: UTF8.self))
    }

    /// A value that others wrote, where it is a Code String: PS3.5 6.2.
    static func codeString(_ text: String) -> EncodedValue? {
        let isValid = text.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x20 || $0 == UInt8(ascii: "_")
        }
        return isValid && text.utf8.count <= 16 ? .text(text) : nil
    }

    /// A number as a Decimal String: at most 16 characters.
    static func decimal(_ value: Double) -> String {
        let shortest = "\(value)"
        if shortest.utf8.count <= 16 { return shortest.hasSuffix(".0") ? String(shortest.dropLast(2)) : shortest }
        for digits in stride(from: 14, through: 6, by: -1) {
            let text = String(format: "%.\(digits)g", value)
            if text.utf8.count <= 16 { return text }
        }
        return "0"
    }

    /// Values as the source wrote them where they are Decimal Strings, else written anew.
    static func decimals(_ strings: [String]) -> EncodedValue {
        .text(
            strings.map { text in
                text.utf8.count <= 16 ? text : Double(text).map(decimal) ?? text
            }.joined(separator: "\\"))
    }
}
