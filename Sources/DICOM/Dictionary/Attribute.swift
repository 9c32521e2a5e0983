// SPDX-License-Identifier: Apache-2.0

/// A value representation: two letters that name the encoding of a value (PS3.5 6.2).
package struct ValueRepresentation: Hashable, Sendable {
    /// The letters in the order of a file: the first in the low byte.
    let code: UInt16

    init(code: UInt16) { self.code = code }

    init(_ letters: StaticString) {
        precondition(letters.utf8CodeUnitCount == 2, "a value representation has two letters")
        code = UInt16(letters.utf8Start[0]) | UInt16(letters.utf8Start[1]) << 8
    }

    /// The two letters.
    package var letters: String { String(decoding: [UInt8(code & 0xFF), UInt8(code >> 8)], as: UTF8.self) }

    /// Whether both bytes are capital letters, as in every representation of PS3.5.
    var hasLetters: Bool { [UInt8(code & 0xFF), UInt8(code >> 8)].allSatisfy { (0x41...0x5A).contains($0) } }
    /// Whether PS3.5 has this representation.
    var isKnown: Bool { Self.withShortLength.contains(self) || Self.withLongLength.contains(self) }

    static let sequence = ValueRepresentation("SQ")
    static let unknown = ValueRepresentation("UN")
    static let otherByte = ValueRepresentation("OB")
    static let otherWord = ValueRepresentation("OW")

    /// Representations whose length has 32 bits, after two reserved bytes, in explicit VR (PS3.5 table 7.1-1).
    static let withLongLength = Set(
        (["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"] as [StaticString])
            .map(ValueRepresentation.init))
    /// Representations whose length has 16 bits in explicit VR (PS3.5 table 7.1-2).
    static let withShortLength = Set(
        ([
            "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM",
            "UI", "UL", "US",
        ] as [StaticString]).map(ValueRepresentation.init))
}

/// An attribute of the data dictionary (PS3.6 section 6).
package struct Attribute: Hashable, Sendable {
    /// Group << 16 | element.
    package let tag: UInt32
    /// The representation that Kontur writes, and assumes if a file does not name one.
    package let vr: ValueRepresentation
    /// The keyword, such as `PatientID`: messages name the attribute by it.
    package let keyword: String

    /// Makes a row of the dictionary.
    ///
    /// - Parameters:
    ///   - tag: group << 16 | element.
    ///   - vr: two letters.
    ///   - keyword: the keyword of PS3.6.
    package init(_ tag: UInt32, _ vr: StaticString, _ keyword: String) {
        self.tag = tag
        self.vr = ValueRepresentation(vr)
        self.keyword = keyword
    }

    /// A tag as messages show it: `(gggg,eeee)`.
    static func name(of tag: UInt32) -> String {
        func hex(_ value: UInt32) -> String {
            let digits = String(value, radix: 16, uppercase: true)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
        return "(\(hex(tag >> 16)),\(hex(tag & 0xFFFF)))"
    }
}
