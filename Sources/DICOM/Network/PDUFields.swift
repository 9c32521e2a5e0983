// SPDX-License-Identifier: Apache-2.0

/// Bytes that are not a PDU.
///
/// The text does not quote the bytes.
package struct PDUError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Reads the big-endian fields of a PDU's body in order, without passing its end.
struct PDUCursor {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func uint8(_ field: String) throws(PDUError) -> UInt8 {
        guard let value = rest.popFirst() else { throw PDUError(description: "\(field) is cut off") }
        return value
    }

    mutating func uint16(_ field: String) throws(PDUError) -> Int {
        let high = try uint8(field)
        return Int(high) << 8 | Int(try uint8(field))
    }

    mutating func uint32(_ field: String) throws(PDUError) -> UInt32 {
        let high = try uint16(field)
        return UInt32(high) << 16 | UInt32(try uint16(field))
    }

    mutating func bytes(_ count: Int, _ field: String) throws(PDUError) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw PDUError(description: "\(field) is longer than its item or PDU") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// An item: its type, a reserved byte, a 16-bit length, and that number of bytes (PS3.8 9.3.2).
    mutating func item() throws(PDUError) -> (type: UInt8, body: ArraySlice<UInt8>) {
        let type = try uint8("item type")
        _ = try uint8("item reserved byte")
        let length = try uint16("item length")
        return (type, try bytes(length, "item"))
    }
}

/// Writes the big-endian fields of a PDU.
struct PDUBuilder {
    private(set) var bytes: [UInt8] = []

    mutating func uint8(_ value: UInt8) { bytes.append(value) }

    mutating func uint16(_ value: Int) {
        precondition((0...0xFFFF).contains(value), "a 16-bit field holds 0...65535")
        bytes += [UInt8(value >> 8), UInt8(value & 0xFF)]
    }

    mutating func uint32(_ value: UInt32) {
        bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    mutating func append(_ more: some Sequence<UInt8>) { bytes += more }

    mutating func zeros(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }

    /// Appends an item with the content that `body` writes.
    mutating func item(_ type: UInt8, _ body: (inout PDUBuilder) -> Void) {
        var inner = PDUBuilder()
        body(&inner)
        bytes += [type, 0]
        uint16(inner.bytes.count)
        bytes += inner.bytes
    }

    /// Appends an item that holds text.
    mutating func item(_ type: UInt8, _ text: String) {
        item(type) { $0.append(text.utf8) }
    }

    /// A whole PDU with the content that `body` writes: type, a reserved byte, a 32-bit length, content (PS3.8 9.3.1).
    static func pdu(_ type: PDUType, _ body: (inout PDUBuilder) -> Void) -> [UInt8] {
        var inner = PDUBuilder()
        body(&inner)
        var outer = PDUBuilder()
        outer.uint8(type.rawValue)
        outer.uint8(0)
        outer.uint32(UInt32(inner.bytes.count))
        return outer.bytes + inner.bytes
    }
}

/// The types of PDU (PS3.8 table 9-10).
enum PDUType: UInt8, Sendable {
    case associateRequest = 0x01
    case associateAccept = 0x02
    case associateReject = 0x03
    case data = 0x04
    case releaseRequest = 0x05
    case releaseResponse = 0x06
    case abort = 0x07
}
