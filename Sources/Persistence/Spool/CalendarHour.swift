// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The hour of a moment in UTC, as folders and segments are named.
struct CalendarHour {
    /// yyyy-mm.
    let month: String
    /// yyyy-mm-dd.
    let day: String
    /// hh.
    let hour: String

    init(_ date: Date) {
        var seconds = time_t(date.timeIntervalSince1970.rounded(.down))
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        month = "\(parts.tm_year + 1900)-" + two(parts.tm_mon + 1)
        day = month + "-" + two(parts.tm_mday)
        hour = two(parts.tm_hour)
    }
}
