// SPDX-License-Identifier: Apache-2.0

import Imaging

/// Everything that the module tables of all kinds of objects need.
struct ObjectContext {
    let description: ObjectDescription
    /// The sources and the frames of the stack.
    let stack: SegmentationSources
    /// The values of the source received last: patient and study attributes are copied from it.
    let newest: CopiedValues

    /// Reads the sources.
    ///
    /// - Throws: `ObjectError.inconsistent` if the sources do not fit each other or the description; `.source` if one
    ///   cannot be read.
    init(_ description: ObjectDescription, _ sources: [SegmentationSource]) throws(ObjectError) {
        let newest = description.newestSource
        guard sources.indices.contains(newest) else {
            throw .inconsistent(reason: "there is no source instance \(newest + 1) of \(sources.count)")
        }
        self.description = description
        stack = try SegmentationSources(sources)
        self.newest = CopiedValues(try sources[newest].dataSet(at: newest))
    }

    /// The source instances, in stack order.
    var sources: [SourceInstance] { stack.instances }

    /// The first source: study and series are the same in all of them.
    var first: SourceInstance { sources[0] }

    /// The compression of the first source that was compressed lossily.
    var compression: LossyCompression? { sources.lazy.compactMap(\.compression).first }

    /// The bytes of an attribute of the newest source; `nil` if it is absent or empty.
    func copied(_ attribute: Attribute) -> ElementValue? { newest.bytes(attribute).map(ElementValue.bytes) }

    /// Tracking ID (PS3.3 C.8.20.4): the structure and the segmenter that looks for it.
    var trackingIdentifier: String { "\(description.segmenter.segmentLabel) by \(description.segmenter.name)" }

    /// Tracking UID (PS3.3 C.8.20.4): the same in all objects about one structure in one stack, also of later revisions.
    var trackingUID: String {
        DerivedUID.make(
            ["kontur tracking", first.seriesInstanceUID, first.sopInstanceUID, description.segmenter.name])
    }

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

    // MARK: Files

    /// Writes a Part 10 file, Explicit VR Little Endian; the file is not synced.
    ///
    /// - Throws: `ObjectError.cannotWrite`.
    func write(_ item: ItemElements, to path: String) throws(ObjectError) {
        let meta = FileMeta(
            sopClassUID: description.kind.sopClassUID, sopInstanceUID: description.sopInstanceUID,
            transferSyntaxUID: TransferSyntax.explicitVRLittleEndian.rawValue)
        do { try DataSetEncoder(item).write(meta, to: path) } catch { throw .cannotWrite(reason: error.reason) }
    }
}
