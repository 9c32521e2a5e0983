// SPDX-License-Identifier: Apache-2.0

/// The digests of an instance's attributes, by keyword, as a worker answers them.
///
/// A message holds them as one text of words with spaces between them: a keyword, its digest, the next keyword. An
/// instance has about forty, and a JSON object of forty members takes the node longer to read than everything else in
/// the answer.
public struct AttributeDigests: Sendable, Hashable, Codable {
    /// The digests by keyword.
    public let values: [String: String]

    /// - Parameter values: digests by keyword, both without spaces.
    public init(_ values: [String: String]) { self.values = values }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let words = try container.decode(String.self).utf8.split(separator: UInt8(ascii: " "))
        var values: [String: String] = [:]
        values.reserveCapacity(words.count / 2)
        for place in stride(from: 0, to: words.count - 1, by: 2) {
            values[String(Substring(words[place]))] = String(Substring(words[place + 1]))
        }
        guard 2 * values.count == words.count else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "keywords and digests do not pair")
        }
        self.values = values
    }

    public func encode(to encoder: any Encoder) throws {
        var text = ""
        for (keyword, digest) in values {
            if !text.isEmpty { text += " " }
            text += keyword
            text += " "
            text += digest
        }
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
