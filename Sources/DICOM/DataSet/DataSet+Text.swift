// SPDX-License-Identifier: Apache-2.0
//
// Text in other character sets: PS3.3 C.12.1.1.2 (Specific Character Set), PS3.5 6.1.

import CDCMTK

extension DataSet {
    /// The first value of a text attribute in UTF-8; `nil` when it is absent or empty. Bytes that the character set does
    /// not explain are replaced rather than refused: the text is shown and matched, never written back.
    package func text(_ attribute: Attribute) -> String? {
        guard let value = raw(attribute), !value.isEmpty else { return nil }
        let cut = value.prefix(Self.decodedTextLimit)
        let text = cut.allSatisfy({ $0 < 0x80 && $0 != 0x1B }) ? Self.trimmed(cut) : decoded(Array(cut))
        return text.isEmpty ? nil : text
    }

    private static let decodedTextLimit = 4096

    private func decoded(_ value: [UInt8]) -> String {
        let sets = strings(.specificCharacterSet)
        if sets == ["ISO_IR 192"] { return Self.trimmed(value) }
        // Without a character set there should be ASCII only: what is not is most often Latin-1.
        let name = sets.isEmpty || sets == [""] ? "ISO_IR 100" : sets.joined(separator: "\\")
        var utf8 = cdcmtk_bytes()
        defer { cdcmtk_bytes_free(&utf8) }
        guard cdcmtk_utf8(name, value, value.count, "\\", &utf8) == CDCMTK_OK, let bytes = utf8.data else {
            return Self.trimmed(value.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") })
        }
        return Self.trimmed(UnsafeBufferPointer(start: bytes, count: utf8.length))
    }
}
