// SPDX-License-Identifier: Apache-2.0

/// Value Representation: PS3.5 6.2, two letters.
package struct ValueRepresentation: Hashable, Sendable {
    /// The letters, the first in the low byte, as they lie in a file.
    let code: UInt16

    init(code: UInt16) { self.code = code }

    init(_ letters: StaticString) {
        precondition(letters.utf8CodeUnitCount == 2, "a value representation has two letters")
        code = UInt16(letters.utf8Start[0]) | UInt16(letters.utf8Start[1]) << 8
    }

    package var letters: String { String(decoding: [UInt8(code & 0xFF), UInt8(code >> 8)], as: UTF8.self) }

    static let sequence = ValueRepresentation("SQ")
    static let unknown = ValueRepresentation("UN")
    static let otherByte = ValueRepresentation("OB")
    static let otherWord = ValueRepresentation("OW")

    /// Explicit VR: a length of 32 bits after two reserved bytes (PS3.5 table 7.1-1).
    static let withLongLength = Set(
        (["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"] as [StaticString])
            .map(ValueRepresentation.init))
    /// Explicit VR: a length of 16 bits (PS3.5 table 7.1-2).
    static let withShortLength = Set(
        ([
            "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM",
            "UI", "UL", "US",
        ] as [StaticString]).map(ValueRepresentation.init))
}

/// An attribute by its keyword.
package struct Attribute: Hashable, Sendable {
    /// Group << 16 | element.
    package let tag: UInt32
    package let vr: ValueRepresentation
    package let keyword: String

    package init(_ tag: UInt32, _ vr: StaticString, _ keyword: String) {
        self.tag = tag
        self.vr = ValueRepresentation(vr)
        self.keyword = keyword
    }

    /// A tag as messages show one: the keyword where it is known here.
    static func name(of tag: UInt32) -> String {
        func hex(_ value: UInt32) -> String {
            let digits = String(value, radix: 16, uppercase: true)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
        return "(\(hex(tag >> 16)),\(hex(tag & 0xFFFF)))"
    }
}
