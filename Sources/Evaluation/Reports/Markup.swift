// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// Parts of HTML pages.
enum Markup {
    /// The text with HTML's special characters escaped.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }

    /// A number with a fixed number of digits; empty for `nil` and NaN.
    static func number(_ value: Double?, digits: Int = 3) -> String {
        value.map { $0.isFinite ? String(format: "%.\(digits)f", $0) : "" } ?? ""
    }

    /// A fraction as whole percent; empty for `nil`.
    static func percent(_ share: Double?) -> String {
        share.map { String(format: "%.0f%%", $0 * 100) } ?? ""
    }

    /// A mean with its interval, such as `0.912 [0.890, 0.931]`.
    static func interval(_ estimate: Estimate?, digits: Int = 3) -> String {
        estimate.map {
            "\(number($0.mean, digits: digits)) <small>[\(number($0.low, digits: digits)), \(number($0.high, digits: digits))]</small>"
        } ?? ""
    }

    /// A table with names in the first column, and numbers in the others after those with words.
    ///
    /// - Parameters:
    ///   - titles: text, one per column.
    ///   - rows: cells as HTML.
    ///   - words: the number of columns with words, at the left.
    ///   - style: a class of the page's style sheet.
    /// - Returns: HTML.
    static func table(_ titles: [String], _ rows: [[String]], words: Int = 1, style: String = "") -> String {
        func kind(_ column: Int) -> String { (1..<max(words, 1)).contains(column) ? " class=\"word\"" : "" }
        let head = titles.enumerated().map { "<th\(kind($0))>\(escaped($1))</th>" }.joined()
        let body = rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column == 0 ? "<th scope=\"row\">\(cell)</th>" : "<td\(kind(column))>\(cell)</td>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        return
            "<div class=\"scroll\"><table class=\"\(style)\"><thead><tr>\(head)</tr></thead><tbody>\(body.joined(separator: "\n"))</tbody></table></div>\n"
    }

    /// A picture or plot with its caption, both as HTML.
    static func figure(_ content: String, caption: String) -> String {
        "<figure>\(content)<figcaption>\(caption)</figcaption></figure>\n"
    }
}
