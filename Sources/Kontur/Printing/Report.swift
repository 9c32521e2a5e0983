// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a command has found out: one value, which the printer shows as text or as JSON.
package protocol Report: Encodable {
    var parts: [ReportPart] { get }
}

package enum ReportPart: Sendable, Equatable {
    case line(String)
    case table(TextTable)
}

package enum ReportFormat: Sendable {
    case text
    case json
}

/// Prints every command's report.
package enum ReportPrinter {
    /// The whole output, its last line end included.
    package static func render(_ report: some Report, as format: ReportFormat) throws -> String {
        switch format {
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            encoder.dateEncodingStrategy = .iso8601
            encoder.nonConformingFloatEncodingStrategy = .convertToString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
            return String(decoding: try encoder.encode(report), as: UTF8.self) + "\n"
        case .text:
            let lines = report.parts.flatMap { part in
                switch part {
                case .line(let text): [TextTable.printable(text)]
                case .table(let table): table.lines
                }
            }
            return lines.map { $0 + "\n" }.joined()
        }
    }

    static func print(_ report: some Report, as format: ReportFormat) throws {
        Terminal.write(try render(report, as: format), to: STDOUT_FILENO)
    }
}

/// Ready-made texts for tables.
enum Shown {
    static let disclaimer =
        "Research software, not a medical device: results must not be used for diagnosis or treatment."

    /// `0.87`, or nothing.
    static func fraction(_ value: Double?) -> String { value.map { String(format: "%.2f", $0) } ?? "" }

    /// `12.3 s`
    static func seconds(_ duration: Duration) -> String { String(format: "%.1f s", duration / .seconds(1)) }

    /// `3 d 4 h`, `2 h 5 min`, `3 min`, `12 s`: for ages, where the largest two units say enough.
    static func age(_ duration: Duration) -> String {
        let seconds = max(0, Int(duration.components.seconds))
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return "\(seconds / 60) min"
        case ..<86_400: return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
        default: return "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
        }
    }

    /// `1.5 GiB`
    static func bytes(_ count: Int64) -> String {
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if abs(value) < 1024 { return unit == "B" ? "\(count) B" : String(format: "%.1f \(unit)", value) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }

    /// The end of a UID, enough to tell series apart in a table; JSON has the whole.
    static func uid(_ uid: String) -> String { uid.count <= 20 ? uid : "…" + uid.suffix(19) }

    /// `1 instance`, `2 instances`
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
