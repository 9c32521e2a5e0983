// SPDX-License-Identifier: Apache-2.0

/// A table of text for a terminal.
package struct TextTable: Sendable, Equatable {
    /// The heading of a column.
    package struct Column: Sendable, Equatable {
        /// Printed in capitals.
        package var title: String
        /// Whether the column is aligned to the right.
        package var isNumber: Bool

        package init(_ title: String, isNumber: Bool = false) {
            self.title = title
            self.isNumber = isNumber
        }
    }

    /// From left to right.
    package var columns: [Column]
    /// One row per line, each with a cell for every column.
    package var rows: [[String]]

    package init(_ columns: [Column], rows: [[String]]) {
        precondition(rows.allSatisfy { $0.count == columns.count }, "a row has a cell for every column")
        self.columns = columns
        self.rows = rows
    }

    /// The titles and the rows as lines without trailing spaces; empty columns are left out.
    package var lines: [String] {
        let cells = rows.map { $0.map(Self.printable) }
        let shown = columns.indices.filter { column in cells.contains { !$0[column].isEmpty } }
        let widths = shown.map { column in
            max(columns[column].title.count, cells.map { $0[column].count }.max() ?? 0)
        }
        func line(_ texts: [String]) -> String {
            let padded = zip(shown, widths).map { column, width in
                let space = String(repeating: " ", count: width - texts[column].count)
                return columns[column].isNumber ? space + texts[column] : texts[column] + space
            }
            return Self.withoutTrailingSpaces(padded.joined(separator: "  "))
        }
        return [line(columns.map { $0.title.uppercased() })] + cells.map(line)
    }

    /// The text with `?` for every character that is not printable.
    ///
    /// Attributes of a file may contain escape sequences, which a terminal would obey.
    package static func printable(_ text: String) -> String {
        String(
            text.map { character in
                let isControl = character.unicodeScalars.contains { scalar in
                    [.control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned].contains(
                        scalar.properties.generalCategory)
                }
                return isControl ? "?" : character
            })
    }

    private static func withoutTrailingSpaces(_ text: String) -> String {
        var rest = text[...]
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
