// SPDX-License-Identifier: Apache-2.0

/// A message that is being written to a child that speaks DICOM: `CAssociations.h` lists the kinds and their fields.
package struct MessageWriter {
    private var bytes: [UInt8] = [0, 0, 0, 0]

    /// - Parameter kind: the message's kind.
    package init(kind: UInt8) { bytes.append(kind) }

    /// Appends an integer, little endian.
    package mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    /// Appends a u16 length and the UTF-8 of a text, which is cut at 65,535 bytes.
    package mutating func text(_ value: String) {
        let utf8 = value.utf8.prefix(Int(UInt16.max))
        integer(UInt16(utf8.count))
        bytes += utf8
    }

    /// Appends a u32 length and bytes.
    package mutating func data(_ value: some Collection<UInt8>) {
        integer(UInt32(value.count))
        bytes += value
    }

    /// The whole message, with its length in front.
    package var message: [UInt8] {
        var message = bytes
        let length = UInt32(bytes.count - 4)
        for index in 0..<4 { message[index] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(index))) }
        return message
    }
}

/// A message that cannot be read as its kind says.
package struct MalformedMessage: Error, Equatable {
    /// The message's kind.
    package let kind: UInt8

    package init(kind: UInt8) { self.kind = kind }
}

/// Reads the fields of a message, after its kind.
package struct MessageReader {
    /// The message's kind.
    package let kind: UInt8
    private var rest: ArraySlice<UInt8>

    /// - Parameters:
    ///   - kind: the message's kind.
    ///   - fields: the bytes after the kind.
    package init(kind: UInt8, fields: ArraySlice<UInt8>) {
        self.kind = kind
        rest = fields
    }

    /// Reads an integer, little endian.
    package mutating func integer<Value: FixedWidthInteger>(
        _: Value.Type = Value.self
    ) throws(MalformedMessage) -> Value {
        try bytes(MemoryLayout<Value>.size).reversed().reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
    }

    /// Reads a u16 length and a text.
    ///
    /// Bytes that are not UTF-8 become replacement characters.
    package mutating func text() throws(MalformedMessage) -> String {
        String(decoding: try bytes(Int(try integer(UInt16.self))), as: UTF8.self)
    }

    /// Reads a u32 length and bytes.
    package mutating func data() throws(MalformedMessage) -> ArraySlice<UInt8> {
        try bytes(Int(try integer(UInt32.self)))
    }

    /// Reads bytes of a known number.
    package mutating func bytes(_ count: Int) throws(MalformedMessage) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw MalformedMessage(kind: kind) }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// Checks that no field is left.
    package func end() throws(MalformedMessage) {
        guard rest.isEmpty else { throw MalformedMessage(kind: kind) }
    }
}
