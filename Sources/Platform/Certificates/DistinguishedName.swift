// SPDX-License-Identifier: Apache-2.0

/// The name of a certificate's subject or issuer (X.501), as RFC 2253 writes it: `CN=scope,O=Clinic`.
///
/// Tools print names in two orders and with different spaces: `O = Clinic, CN = scope` is the same name. Two names are
/// equal if their parts are equal in one of the two orders.
public struct DistinguishedName: Sendable, CustomStringConvertible {
    /// The name as it was read.
    public let description: String
    /// `type=value`, the most specific first in RFC 2253.
    private let parts: [String]

    /// Reads a name.
    ///
    /// A text without `=` gives a name that equals no other one of a certificate.
    public init(_ text: String) {
        description = text
        parts = Self.split(text, at: ",").map { part in
            let sides = Self.split(part, at: "=")
            guard sides.count > 1 else { return Self.trimmed(part) }
            let value = sides.dropFirst().joined(separator: "=")
            return "\(Self.trimmed(sides[0]).uppercased())=\(Self.trimmed(value))"
        }
    }

    /// Whether the text names at least one part with a value.
    public var isComplete: Bool {
        !parts.isEmpty && parts.allSatisfy { $0.contains("=") && !$0.hasPrefix("=") && !$0.hasSuffix("=") }
    }

    /// The parts of a text between separators that no backslash precedes.
    private static func split(_ text: String, at separator: Character) -> [String] {
        var parts = [""]
        var isEscaped = false
        for character in text {
            if character == separator, !isEscaped {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
            isEscaped = character == "\\" && !isEscaped
        }
        return parts
    }

    private static func trimmed(_ text: String) -> String {
        var text = text[...]
        while text.first == " " { text.removeFirst() }
        while text.last == " ", !text.dropLast().hasSuffix("\\") { text.removeLast() }
        return String(text)
    }
}

extension DistinguishedName: Hashable {
    public static func == (one: Self, other: Self) -> Bool {
        one.parts == other.parts || one.parts == other.parts.reversed()
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(Set(parts)) }
}
