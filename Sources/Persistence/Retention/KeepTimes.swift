// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Tells which times of rows are so recent that a keep time is not over.
///
/// A row holds the wall clock's time of its last change. The spans of the journal translate this time into time lived:
/// in each span the wall clock was ahead by one amount. If the wall clock was set back, two spans may fit a row. The
/// later time lived then counts, so that a row is kept rather too long. A time that does not fit any span is compared
/// with the wall clock.
struct KeepTimes {
    /// A part of the time lived in which the wall clock was ahead by one amount, in microseconds.
    struct Span {
        var from: Int64
        var until: Int64
        var ahead: Int64
    }

    /// The keep times of the configuration.
    enum Class: String, CaseIterable {
        case done, unmatched, quarantined
    }

    /// Times of the wall clock after `after` and up to `upTo`, in microseconds.
    struct Interval: Equatable {
        var after: Int64
        var upTo: Int64
    }

    /// Per class, the times at which a row must have changed to be kept.
    private var recent: [Class: [Interval]] = [:]

    /// - Parameters:
    ///   - keep: the keep times.
    ///   - spans: the spans in their order; the last one ends at the present time lived.
    ///   - now: the wall clock.
    init(keep: SpoolConfiguration.Keep, spans: [Span], now: Int64) {
        let ages: [(Class, Duration)] = [
            (.done, keep.done), (.unmatched, keep.unmatched), (.quarantined, keep.quarantined),
        ]
        for (name, age) in ages {
            let age = age.components.seconds.multipliedReportingOverflow(by: 1_000_000)
            recent[name] = Self.recent(age: age.overflow ? .max / 4 : age.partialValue, spans, now: now)
        }
    }

    private static func recent(age: Int64, _ spans: [Span], now: Int64) -> [Interval] {
        let limit = (spans.last?.until ?? now) - age
        func interval(_ from: Int64, _ span: Span) -> Interval {
            Interval(
                after: from + span.ahead - NodeTime.precision, upTo: span.until + span.ahead + NodeTime.precision)
        }
        let young = spans.filter { $0.until > limit }.map { interval(max($0.from, limit), $0) }
        var strange = [Interval(after: now - age, upTo: .max)]
        for known in spans.map({ interval($0.from, $0) }) {
            strange = strange.flatMap { part -> [Interval] in
                [
                    Interval(after: part.after, upTo: min(part.upTo, known.after)),
                    Interval(after: max(part.after, known.upTo), upTo: part.upTo),
                ].filter { $0.after < $0.upTo }
            }
        }
        return young + strange
    }

    /// SQL condition: the time in `column` is so recent that the keep time of the class is not over.
    ///
    /// A column without a value is not recent.
    func isRecent(_ column: String, _ name: Class) -> String {
        let parts = (recent[name] ?? []).indices.map { index in
            "\(column) > :\(name.rawValue)\(index)a AND \(column) <= :\(name.rawValue)\(index)b"
        }
        // A comparison with NULL is NULL, and so is its negation: the row would never be deleted.
        return "ifnull(" + (parts.isEmpty ? "0" : parts.joined(separator: " OR ")) + ", 0)"
    }

    /// The arguments of the conditions of these classes.
    func arguments(_ names: [Class] = Class.allCases) -> StatementArguments {
        var values: [String: (any DatabaseValueConvertible)?] = [:]
        for name in names {
            for (index, interval) in (recent[name] ?? []).enumerated() {
                values["\(name.rawValue)\(index)a"] = interval.after
                values["\(name.rawValue)\(index)b"] = interval.upTo
            }
        }
        return StatementArguments(values)
    }
}
