// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct CalendarHourTests {
    private let calendar: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()

    private func expected(_ date: Date) -> (month: String, day: String, hour: String) {
        let parts = calendar.dateComponents([.year, .month, .day, .hour], from: date)
        func digits(_ number: Int?, _ count: Int) -> String {
            let text = String(number ?? 0)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let month = "\(digits(parts.year, 4))-\(digits(parts.month, 2))"
        return (month, "\(month)-\(digits(parts.day, 2))", digits(parts.hour, 2))
    }

    @Test func `names every day of four centuries, at its first and its last moment, like the calendar does`() {
        // 1899-12-31 to 2300-01-02.
        for day in -25_568...120_532 where day % 7 == 0 || day % 365 < 3 {
            for second in [0, 86_399] {
                let hour = CalendarHour(microseconds: Int64(day * 86_400 + second) * 1_000_000 + Int64(second))
                let (month, name, clock) = expected(Date(timeIntervalSince1970: Double(day * 86_400 + second)))
                #expect((hour.month, hour.day, hour.hour) == (month, name, clock))
            }
        }
    }

    @Test(arguments: [
        ("1969-12-31", "23", -0.5), ("1970-01-01", "00", 0), ("2000-02-29", "12", 951_825_600.9),
        ("2026-12-31", "23", 1_798_761_599.999), ("2027-01-01", "00", 1_798_761_600),
    ])
    func `names the hour of a moment`(day: String, hour: String, seconds: Double) {
        let found = CalendarHour(Date(timeIntervalSince1970: seconds))
        #expect(found.day == day)
        #expect(found.hour == hour)
        #expect(found.month == String(day.prefix(7)))
    }
}
