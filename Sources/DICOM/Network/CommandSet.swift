// SPDX-License-Identifier: Apache-2.0
//
// DIMSE command sets (PS3.7 6.3 and annex E): Implicit VR Little Endian, group 0000, flat. DCMTK reads them with its
// recursive data set parser, which 20,000 nested sequences overflow, so they are read here, in one loop.

/// The command elements that are used (PS3.7 annex E.1).
package enum CommandElement: UInt16, Sendable {
    case commandGroupLength = 0x0000
    case affectedSOPClassUID = 0x0002
    case requestedSOPClassUID = 0x0003
    case commandField = 0x0100
    case messageID = 0x0110
    case messageIDBeingRespondedTo = 0x0120
    case moveDestination = 0x0600
    case priority = 0x0700
    case commandDataSetType = 0x0800
    case status = 0x0900
    case errorComment = 0x0902
    case affectedSOPInstanceUID = 0x1000
    case requestedSOPInstanceUID = 0x1001
}

/// The values of Command Field that are told apart (PS3.7 annex E.1); a response has bit 15 set.
package enum CommandField {
    package static let storeRequest: UInt16 = 0x0001
    package static let echoRequest: UInt16 = 0x0030
    package static let cancelRequest: UInt16 = 0x0FFF
    package static let response: UInt16 = 0x8000
}

/// Why bytes are no command set. Never holds what the peer sent.
public struct CommandSetError: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// A command set, by element.
public struct CommandSet: Equatable, Sendable {
    /// No command comes near: the longest standard one is under 400 bytes.
    package static let maximumLength = 16 << 10
    /// Command Data Set Type of a message without a data set.
    package static let noDataSet: UInt16 = 0x0101

    private var values: [UInt16: [UInt8]] = [:]

    package init() {}

    /// Reads a whole command set.
    ///
    /// - Throws: when an element is outside group 0000, out of order, of undefined length or longer than what is left,
    ///   or when Command Field, the message's ID or Command Data Set Type is missing.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(CommandSetError) {
        guard bytes.count <= Self.maximumLength else { throw CommandSetError(description: "the command is too long") }
        var offset = 0
        var last = -1
        while offset < bytes.count {
            guard bytes.count - offset >= 8 else { throw CommandSetError(description: "an element is cut off") }
            let group = bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self).littleEndian
            let element = bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self).littleEndian
            let length = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self).littleEndian
            guard group == 0 else { throw CommandSetError(description: "an element is not of group 0000") }
            guard Int(element) > last else { throw CommandSetError(description: "elements are out of order") }
            guard length != 0xFFFF_FFFF else { throw CommandSetError(description: "an element has undefined length") }
            guard Int(length) <= bytes.count - offset - 8 else {
                throw CommandSetError(description: "an element is longer than the command")
            }
            values[element] = Array(bytes[offset + 8..<offset + 8 + Int(length)])
            last = Int(element)
            offset += 8 + Int(length)
        }
        guard let field = uint16(.commandField) else { throw CommandSetError(description: "Command Field is missing") }
        guard uint16(.commandDataSetType) != nil else {
            throw CommandSetError(description: "Command Data Set Type is missing")
        }
        // A C-CANCEL-RQ names the message it cancels, every other request itself (PS3.7 9.3).
        let responds = field & CommandField.response != 0 || field == CommandField.cancelRequest
        guard uint16(responds ? .messageIDBeingRespondedTo : .messageID) != nil else {
            throw CommandSetError(description: "the message ID is missing")
        }
    }

    /// The whole command set, with its group length.
    package var encoded: [UInt8] {
        var body: [UInt8] = []
        for (element, value) in values.sorted(by: { $0.key < $1.key })
        where element != CommandElement.commandGroupLength.rawValue {
            Self.append(element, value, to: &body)
        }
        var whole: [UInt8] = []
        let length = UInt32(body.count)
        Self.append(
            CommandElement.commandGroupLength.rawValue,
            (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }, to: &whole)
        return whole + body
    }

    private static func append(_ element: UInt16, _ value: [UInt8], to bytes: inout [UInt8]) {
        bytes += [0, 0, UInt8(element & 0xFF), UInt8(element >> 8)]
        bytes += (0..<4).map { UInt8(truncatingIfNeeded: value.count >> (8 * $0)) }
        bytes += value
    }

    /// A value of VR US; nil when it is absent or not of two bytes.
    package func uint16(_ element: CommandElement) -> UInt16? {
        guard let value = values[element.rawValue], value.count == 2 else { return nil }
        return UInt16(value[0]) | UInt16(value[1]) << 8
    }

    /// A value of VR UI or AE, without padding; nil when it is absent, empty, longer than 64 bytes or not graphic ASCII.
    package func text(_ element: CommandElement) -> String? {
        guard var value = values[element.rawValue]?[...] else { return nil }
        while let last = value.last, last == 0 || last == 0x20 { value.removeLast() }
        while value.first == 0x20 { value.removeFirst() }
        guard (1...64).contains(value.count), value.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    package mutating func set(_ element: CommandElement, _ value: UInt16) {
        values[element.rawValue] = [UInt8(value & 0xFF), UInt8(value >> 8)]
    }

    /// Sets a value of VR UI, padded with a NUL to even length.
    package mutating func set(_ element: CommandElement, uid: String) {
        let bytes = Array(uid.utf8)
        values[element.rawValue] = bytes.count % 2 == 0 ? bytes : bytes + [0]
    }

    package var field: UInt16 { uint16(.commandField) ?? 0 }
    package var hasDataSet: Bool { uint16(.commandDataSetType) != Self.noDataSet }

    /// The response to this request, without a data set.
    package func response(_ status: DIMSEStatus) -> CommandSet {
        var response = CommandSet()
        if let sopClass = text(.affectedSOPClassUID) ?? text(.requestedSOPClassUID) {
            response.set(.affectedSOPClassUID, uid: sopClass)
        }
        response.set(.commandField, field | CommandField.response)
        response.set(.messageIDBeingRespondedTo, uint16(.messageID) ?? 0)
        response.set(.commandDataSetType, Self.noDataSet)
        response.set(.status, status.rawValue)
        if let instance = text(.affectedSOPInstanceUID) ?? text(.requestedSOPInstanceUID) {
            response.set(.affectedSOPInstanceUID, uid: instance)
        }
        return response
    }
}
