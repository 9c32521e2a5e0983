// SPDX-License-Identifier: Apache-2.0
//
// DIMSE messages (PS3.7): command sets (6.3 and annex E), the status of a response (annex C), and the machine that
// joins fragments to messages (PS3.8 annex E.2).
//
// A command set is flat: Implicit VR Little Endian, group 0000. DCMTK would read it with its recursive data set parser,
// which overflows the stack on 20,000 nested sequences. The parser here is one loop.

/// The command elements that this node reads or writes (PS3.7 annex E.1).
package enum CommandElement: UInt16, Sendable {
    case commandGroupLength = 0x0000
    case affectedSOPClassUID = 0x0002
    case requestedSOPClassUID = 0x0003
    case commandField = 0x0100
    case messageID = 0x0110
    case messageIDBeingRespondedTo = 0x0120
    case priority = 0x0700
    case commandDataSetType = 0x0800
    case status = 0x0900
    case affectedSOPInstanceUID = 0x1000
    case requestedSOPInstanceUID = 0x1001
}

/// The values of Command Field that this node distinguishes (PS3.7 annex E.1).
package enum CommandField {
    /// C-STORE-RQ.
    package static let storeRequest: UInt16 = 0x0001
    /// C-ECHO-RQ.
    package static let echoRequest: UInt16 = 0x0030
    /// C-CANCEL-RQ.
    package static let cancelRequest: UInt16 = 0x0FFF
    /// The bit that is set in every response.
    package static let response: UInt16 = 0x8000
}

/// Bytes that are not a command set.
///
/// The text does not quote the bytes.
public struct CommandSetError: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// The elements of a DIMSE command (PS3.7 6.3.1).
public struct CommandSet: Equatable, Sendable {
    /// Bytes of the longest command that is accepted.
    ///
    /// The longest standard command has less than 400.
    package static let maximumLength = 16 << 10
    /// Command Data Set Type of a message without a data set.
    package static let noDataSet: UInt16 = 0x0101

    private var values: [UInt16: [UInt8]] = [:]

    /// A command set without elements.
    package init() {}

    /// Reads a whole command set.
    ///
    /// - Parameter bytes: Implicit VR Little Endian.
    /// - Throws: if an element is outside group 0000, out of order, of undefined length or longer than the rest, or if
    ///   Command Field, the message ID or Command Data Set Type is missing.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(CommandSetError) {
        guard bytes.count <= Self.maximumLength else { throw CommandSetError(description: "the command is too long") }
        var offset = 0
        var last = -1
        while offset < bytes.count {
            guard bytes.count - offset >= 8 else { throw CommandSetError(description: "an element is cut off") }
            let group = bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self).littleEndian
            let element = bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self).littleEndian
            let length = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self).littleEndian
            guard group == 0 else { throw CommandSetError(description: "an element is outside group 0000") }
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
        // A C-CANCEL-RQ holds the ID of the message that it cancels. Other requests hold their own ID (PS3.7 9.3).
        let responds = field & CommandField.response != 0 || field == CommandField.cancelRequest
        guard uint16(responds ? .messageIDBeingRespondedTo : .messageID) != nil else {
            throw CommandSetError(description: "the message ID is missing")
        }
    }

    /// The whole command set in Implicit VR Little Endian, with its group length.
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

    /// A value of VR US; `nil` if it is absent or does not have two bytes.
    package func uint16(_ element: CommandElement) -> UInt16? {
        guard let value = values[element.rawValue], value.count == 2 else { return nil }
        return UInt16(value[0]) | UInt16(value[1]) << 8
    }

    /// A value of VR UI or AE, without padding.
    ///
    /// - Returns: `nil` if the value is absent, empty, longer than 64 bytes or not graphic ASCII.
    package func text(_ element: CommandElement) -> String? {
        guard var value = values[element.rawValue]?[...] else { return nil }
        while let last = value.last, last == 0 || last == 0x20 { value.removeLast() }
        while value.first == 0x20 { value.removeFirst() }
        guard (1...64).contains(value.count), value.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    /// Sets a value of VR US.
    package mutating func set(_ element: CommandElement, _ value: UInt16) {
        values[element.rawValue] = [UInt8(value & 0xFF), UInt8(value >> 8)]
    }

    /// Sets a value of VR UI, padded with a NUL to even length.
    package mutating func set(_ element: CommandElement, uid: String) {
        let bytes = Array(uid.utf8)
        values[element.rawValue] = bytes.count % 2 == 0 ? bytes : bytes + [0]
    }

    /// Command Field; 0 if the element is absent.
    package var field: UInt16 { uint16(.commandField) ?? 0 }
    /// Whether a data set follows the command.
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

/// Joins fragments to messages: a command, and its data set if the command announces one (PS3.7 6.3.1, PS3.8 annex
/// E.2).
///
/// This value takes one fragment at a time, and returns the action that follows from it. Messages do not interleave:
/// fragments of two contexts do not mix, and a command cannot come before the data set of the command before it.
package struct MessageMachine {
    /// The part of a message that is expected.
    package enum State: Equatable {
        /// Between two messages.
        case awaitingCommand
        /// The bytes of the command so far.
        case inCommand(contextID: UInt8, [UInt8])
        case inDataSet(contextID: UInt8)
    }

    /// The meaning of a fragment.
    package enum FragmentMeaning {
        /// Wait for the next fragment. The command is not complete.
        case none
        /// The command is complete. Its data set follows if it has one.
        case command(CommandSet, contextID: UInt8)
        /// Part of the data set of the last command.
        case dataSet(UnsafeRawBufferPointer, isLast: Bool)
    }

    /// The part of a message that is expected next.
    package private(set) var state = State.awaitingCommand
    /// The presentation contexts that were accepted.
    package let contextIDs: Set<UInt8>

    /// A machine between two messages.
    package init(contextIDs: Set<UInt8>) {
        self.contextIDs = contextIDs
    }

    /// Takes the next fragment.
    ///
    /// - Throws: `aborted` with the node's own abort, if the fragment is malformed or out of turn.
    package mutating func receive(_ value: PresentationDataValue) throws(AssociationError) -> FragmentMeaning {
        guard contextIDs.contains(value.contextID) else {
            throw .aborted(.invalid("a fragment names a presentation context that was not accepted"))
        }
        // A peer could otherwise send empty fragments of one message for ever, without reaching a limit on its length.
        guard value.isLast || !value.bytes.isEmpty else {
            throw .aborted(.invalid("an empty fragment is not the last"))
        }
        switch (state, value.isCommand) {
        case (.awaitingCommand, true):
            return try add(value, to: [])
        case (.inCommand(let contextID, let bytes), true) where contextID == value.contextID:
            state = .awaitingCommand
            return try add(value, to: bytes)
        case (.inDataSet(let contextID), false) where contextID == value.contextID:
            if value.isLast { state = .awaitingCommand }
            return .dataSet(value.bytes, isLast: value.isLast)
        case (.awaitingCommand, false):
            throw .aborted(.unexpected("a data set came without a command"))
        case (.inCommand, _):
            throw .aborted(.unexpected("another message came within a command"))
        case (.inDataSet, _):
            throw .aborted(.unexpected("another message came within a data set"))
        }
    }

    private mutating func add(
        _ value: PresentationDataValue, to bytes: [UInt8]
    ) throws(AssociationError) -> FragmentMeaning {
        guard bytes.count + value.bytes.count <= CommandSet.maximumLength else {
            throw .aborted(.invalid("a command is longer than \(CommandSet.maximumLength) bytes"))
        }
        let whole = bytes + value.bytes
        guard value.isLast else {
            state = .inCommand(contextID: value.contextID, whole)
            return .none
        }
        do {
            let command = try whole.withUnsafeBytes { (buffer) throws(CommandSetError) in
                try CommandSet(parsing: buffer)
            }
            if command.hasDataSet { state = .inDataSet(contextID: value.contextID) }
            return .command(command, contextID: value.contextID)
        } catch {
            throw .aborted(.invalid("command set: \(error)"))
        }
    }
}

/// The status of a DIMSE response (PS3.7 annex C).
public struct DIMSEStatus: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The value of Status (0000,0900).
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    // Statuses of every service class (PS3.7 annex C).
    /// 0000: the operation succeeded.
    public static let success = DIMSEStatus(rawValue: 0x0000)
    /// 0110: a failure of the performer (C.5.15).
    public static let processingFailure = DIMSEStatus(rawValue: 0x0110)
    /// 0117: the UID is not valid (C.5.7).
    public static let invalidSOPInstance = DIMSEStatus(rawValue: 0x0117)
    /// 0122: the SOP class is not supported (C.5.19).
    public static let sopClassNotSupported = DIMSEStatus(rawValue: 0x0122)
    /// 0211: the operation is not known.
    public static let unrecognizedOperation = DIMSEStatus(rawValue: 0x0211)

    // Statuses of the storage service class (PS3.4 table B.2-1).
    /// A700: the storage SCP lacks resources now.
    public static let outOfResources = DIMSEStatus(rawValue: 0xA700)
    /// C000: the data set cannot be understood.
    public static let cannotUnderstand = DIMSEStatus(rawValue: 0xC000)

    /// Whether the operation was done, with a warning (PS3.7 annex C.4, PS3.4 table B.2-1).
    ///
    /// 0001: requested optional attributes are not supported. 0107: attribute list error. 0116: attribute value out of
    /// range. Bxxx: warnings of the service class, such as B000, B006 and B007 of storage.
    public var isWarning: Bool { [0x0001, 0x0107, 0x0116].contains(rawValue) || rawValue & 0xF000 == 0xB000 }

    /// Four hexadecimal digits, as the standard writes them.
    public var description: String {
        let digits = String(rawValue, radix: 16, uppercase: true)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}
