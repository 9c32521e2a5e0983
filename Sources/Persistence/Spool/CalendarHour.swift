// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// The hour of a moment in UTC; its parts name folders and audit segments.
package struct CalendarHour {
    /// yyyy-mm.
    package let month: String
    /// yyyy-mm-dd.
    package let day: String
    /// hh.
    package let hour: String

    package init(_ date: Date) {
        self.init(microseconds: Int64(date.timeIntervalSince1970.rounded(.down)) * 1_000_000)
    }

    /// - Parameter microseconds: since 1970.
    package init(microseconds: Int64) {
        let hours = Self.floor(microseconds, 3_600_000_000)
        let (year, month, day) = Self.date(days: Self.floor(hours, 24))
        self.month = Self.digits(year, 4) + "-" + Self.digits(month, 2)
        self.day = self.month + "-" + Self.digits(day, 2)
        hour = Self.digits(hours - 24 * Self.floor(hours, 24), 2)
    }

    /// The date of the Gregorian calendar, counted in years that begin in March and so end with the leap day.
    private static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        // Day 0 is 0000-03-01, and 400 years have 146,097 days.
        let shifted = days + 719_468
        let era = floor(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let isNextYear = month >= 10
        return (
            era * 400 + yearOfEra + (isNextYear ? 1 : 0), isNextYear ? month - 9 : month + 3,
            dayOfYear - (153 * month + 2) / 5 + 1
        )
    }

    private static func floor(_ number: Int64, _ divisor: Int64) -> Int64 {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }

    private static func digits(_ number: Int64, _ count: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
    }
}
