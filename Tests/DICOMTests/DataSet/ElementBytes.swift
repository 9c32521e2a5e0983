// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Bytes of data elements, composed by hand (PS3.5 section 7), so that a test can write any wrong value.
struct ElementBytes {
    var bytes: [UInt8] = []
    var isExplicit = true
    var isBigEndian = false

    static let undefined: UInt32 = 0xFFFF_FFFF
    static let instanceUID = "1.2.3.4"

    /// Group, element, VR, length as given, value as given.
    mutating func add(_ tag: UInt32, _ vr: String, length: UInt32? = nil, _ value: [UInt8] = []) {
        let length = length ?? UInt32(value.count)
        add16(UInt16(tag >> 16))
        add16(UInt16(tag & 0xFFFF))
        if isExplicit, tag >> 16 != 0xFFFE {
            bytes += Array(vr.utf8)
            if ["OB", "OW", "SQ", "UN", "UT"].contains(vr) {
                bytes += [0, 0]
                add32(length)
            } else {
                add16(UInt16(truncatingIfNeeded: length))
            }
        } else {
            add32(length)
        }
        bytes += value
    }

    mutating func add(_ tag: UInt32, _ vr: String, text: String) {
        var value = Array(text.utf8)
        if value.count % 2 == 1 { value.append(vr == "UI" ? 0 : 0x20) }
        add(tag, vr, value)
    }

    mutating func add(_ tag: UInt32, short: UInt16) {
        let value = isBigEndian ? [UInt8(short >> 8), UInt8(short & 0xFF)] : [UInt8(short & 0xFF), UInt8(short >> 8)]
        add(tag, "US", value)
    }

    private mutating func add16(_ value: UInt16) {
        bytes += isBigEndian ? [UInt8(value >> 8), UInt8(value & 0xFF)] : [UInt8(value & 0xFF), UInt8(value >> 8)]
    }

    private mutating func add32(_ value: UInt32) {
        let little = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        bytes += isBigEndian ? little.reversed() : little
    }

    /// The UIDs that every instance has.
    static func identified(isExplicit: Bool = true, isBigEndian: Bool = false) -> ElementBytes {
        var data = ElementBytes(isExplicit: isExplicit, isBigEndian: isBigEndian)
        data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.7")
        data.add(0x0008_0018, "UI", text: instanceUID)
        data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
        data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
        return data
    }

    /// Preamble, prefix and a File Meta Information with the transfer syntax only.
    static func partTen(_ syntax: String) -> [UInt8] {
        var meta = ElementBytes()
        meta.add(0x0002_0010, "UI", text: syntax)
        return [UInt8](repeating: 0, count: 128) + Array("DICM".utf8) + meta.bytes
    }

    static let explicitLittleEndian = "1.2.840.10008.1.2.1"
    static let implicitLittleEndian = "1.2.840.10008.1.2"
    static let explicitBigEndian = "1.2.840.10008.1.2.2"

    /// Writes the data set as a Part 10 file of its own encoding.
    func write(to url: URL) throws {
        let syntax =
            isExplicit
            ? isBigEndian ? Self.explicitBigEndian : Self.explicitLittleEndian : Self.implicitLittleEndian
        try Data(Self.partTen(syntax) + bytes).write(to: url)
    }
}
