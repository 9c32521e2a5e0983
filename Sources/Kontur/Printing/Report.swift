// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// The result of a command: one value that prints as text or as JSON.
package protocol Report: Encodable {
    /// The text form; the JSON form is the encoded value.
    var parts: [ReportPart] { get }
}

/// A piece of the text form of a report.
package enum ReportPart: Sendable, Equatable {
    case line(String)
    case table(TextTable)
}

/// The form in which a report is printed.
package enum ReportFormat: Sendable {
    case text
    case json
}

/// Prints the reports of all commands.
package enum ReportPrinter {
    /// The whole output, with the end of the last line.
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
        StandardStream.output.write(try render(report, as: format))
    }
}
