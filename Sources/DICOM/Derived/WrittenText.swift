// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Values that Kontur writes as text.
enum WrittenText {
    /// One value in ASCII, cut to `limit` characters; other characters and backslashes become question marks.
    static func ascii(_ text: String, limit: Int) -> ElementValue {
        .text(
            String(
                decoding: text.utf8.prefix(limit).map {
                    (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\\") ? $0 : UInt8(ascii: "?")
                }, as: UTF8.self))
    }

    /// A text of the source as a Code String (PS3.5 6.2); `nil` if it is not a valid one.
    static func codeString(_ text: String) -> ElementValue? {
        let isValid = text.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x20 || $0 == UInt8(ascii: "_")
        }
        return isValid && text.utf8.count <= 16 ? .text(text) : nil
    }

    /// A number as a Decimal String of at most 16 characters (PS3.5 6.2).
    static func decimal(_ value: Double) -> String {
        let shortest = "\(value)"
        if shortest.utf8.count <= 16 { return shortest.hasSuffix(".0") ? String(shortest.dropLast(2)) : shortest }
        for digits in stride(from: 14, through: 6, by: -1) {
            let text = String(format: "%.\(digits)g", value)
            if text.utf8.count <= 16 { return text }
        }
        return "0"
    }

    /// A number of 32 bits in its shortest form, such as 0.9 and not 0.8999999761581421.
    static func decimal(_ value: Float) -> String { decimal(Double("\(value)") ?? Double(value)) }

    /// Numbers as the source wrote them; those of more than 16 characters are written anew.
    static func decimals(_ strings: [String]) -> ElementValue {
        .text(
            strings.map { text in
                text.utf8.count <= 16 ? text : Double(text).map(decimal) ?? text
            }.joined(separator: "\\"))
    }
}
