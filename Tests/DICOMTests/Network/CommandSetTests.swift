// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

@Suite struct CommandSetTests {
    /// C-ECHO-RQ, message 7 (PS3.7 9.3.5.1).
    static let echo: [UInt8] = [
        0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,  // (0000,0000) Command Group Length, 4 bytes
        0x38, 0x00, 0x00, 0x00,  // 56
        0x00, 0x00, 0x02, 0x00, 0x12, 0x00, 0x00, 0x00,  // (0000,0002) Affected SOP Class UID, 18 bytes
        0x31, 0x2E, 0x32, 0x2E, 0x38, 0x34, 0x30, 0x2E, 0x31, 0x30,  // "1.2.840.10"
        0x30, 0x30, 0x38, 0x2E, 0x31, 0x2E, 0x31, 0x00,  // "008.1.1", NUL
        0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00,  // (0000,0100) Command Field, 2 bytes
        0x30, 0x00,  // C-ECHO-RQ
        0x00, 0x00, 0x10, 0x01, 0x02, 0x00, 0x00, 0x00,  // (0000,0110) Message ID, 2 bytes
        0x07, 0x00,  // 7
        0x00, 0x00, 0x00, 0x08, 0x02, 0x00, 0x00, 0x00,  // (0000,0800) Command Data Set Type, 2 bytes
        0x01, 0x01,  // 0101: none
    ]

    /// C-ECHO-RSP to it, Success (PS3.7 9.3.5.2).
    static let echoResponse: [UInt8] = [
        0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,  // (0000,0000) Command Group Length, 4 bytes
        0x42, 0x00, 0x00, 0x00,  // 66
        0x00, 0x00, 0x02, 0x00, 0x12, 0x00, 0x00, 0x00,  // (0000,0002) Affected SOP Class UID, 18 bytes
        0x31, 0x2E, 0x32, 0x2E, 0x38, 0x34, 0x30, 0x2E, 0x31, 0x30,  // "1.2.840.10"
        0x30, 0x30, 0x38, 0x2E, 0x31, 0x2E, 0x31, 0x00,  // "008.1.1", NUL
        0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00,  // (0000,0100) Command Field, 2 bytes
        0x30, 0x80,  // C-ECHO-RSP
        0x00, 0x00, 0x20, 0x01, 0x02, 0x00, 0x00, 0x00,  // (0000,0120) Message ID Being Responded To, 2 bytes
        0x07, 0x00,  // 7
        0x00, 0x00, 0x00, 0x08, 0x02, 0x00, 0x00, 0x00,  // (0000,0800) Command Data Set Type, 2 bytes
        0x01, 0x01,  // 0101: none
        0x00, 0x00, 0x00, 0x09, 0x02, 0x00, 0x00, 0x00,  // (0000,0900) Status, 2 bytes
        0x00, 0x00,  // Success
    ]

    static func parse(_ bytes: [UInt8]) throws -> CommandSet {
        try bytes.withUnsafeBytes { try CommandSet(parsing: $0) }
    }

    static func element(_ element: UInt16, _ value: [UInt8], group: UInt16 = 0, length: UInt32? = nil) -> [UInt8] {
        let length = length ?? UInt32(value.count)
        return [UInt8(group & 0xFF), UInt8(group >> 8), UInt8(element & 0xFF), UInt8(element >> 8)]
            + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + value
    }

    /// Command Field, Message ID and Command Data Set Type, which every command here needs.
    static func request(_ field: UInt16, dataSetType: UInt16 = 0x0101) -> [UInt8] {
        element(0x0100, [UInt8(field & 0xFF), UInt8(field >> 8)]) + element(0x0110, [1, 0])
            + element(0x0800, [UInt8(dataSetType & 0xFF), UInt8(dataSetType >> 8)])
    }

    @Test func `reads C-ECHO-RQ`() throws {
        let command = try Self.parse(Self.echo)
        #expect(command.field == CommandField.echoRequest)
        #expect(command.uint16(.messageID) == 7)
        #expect(command.text(.affectedSOPClassUID) == "1.2.840.10008.1.1")
        #expect(!command.hasDataSet)
    }

    @Test func `answers C-ECHO-RQ byte for byte`() throws {
        #expect(try Self.parse(Self.echo).response(.success).encoded == Self.echoResponse)
    }

    @Test func `a response repeats the instance`() throws {
        let uid = Array("1.2.3\0".utf8)
        let store = try Self.parse(Self.request(CommandField.storeRequest, dataSetType: 0) + Self.element(0x1000, uid))
        let response = try Self.parse(store.response(.outOfResources).encoded)
        #expect(response.text(.affectedSOPInstanceUID) == "1.2.3")
        #expect(response.uint16(.status) == 0xA700)
        #expect(response.field == 0x8001)
        #expect(store.hasDataSet && !response.hasDataSet)
    }

    @Test func `the response to N-ACTION-RQ names the requested instance`() throws {
        let uid = Array("1.2.3\0".utf8)
        let action = try Self.parse(
            Self.element(0x0003, uid) + Self.request(0x0130) + Self.element(0x1001, uid) + Self.element(0x1008, [1, 0]))
        let response = try Self.parse(action.response(.unrecognizedOperation).encoded)
        #expect(response.field == 0x8130)
        #expect(response.text(.affectedSOPClassUID) == "1.2.3")
        #expect(response.text(.affectedSOPInstanceUID) == "1.2.3")
    }

    @Test func `a command that is cut off anywhere is refused`() throws {
        // A cut between two elements before Command Data Set Type lacks that; any other cut breaks an element.
        for count in 0..<Self.echo.count {
            #expect(throws: CommandSetError.self) { try Self.parse(Array(Self.echo[..<count])) }
        }
    }

    @Test func `elements of other groups, out of order, doubled or too long are refused`() {
        let good = Self.request(CommandField.echoRequest)
        #expect(throws: Never.self) { try Self.parse(good) }
        for bad in [
            good + Self.element(0x0010, [1, 0], group: 0x0008),
            good + Self.element(0x0700, [0, 0]),
            good + Self.element(0x0800, [1, 1]),
            good + Self.element(0x0900, [0, 0], length: 4),
            good + Self.element(0x0900, [0, 0], length: 0xFFFF_FFFF),
            good + Self.element(0x0900, [], length: 0xFFFF_FFFE),
        ] {
            #expect(throws: CommandSetError.self) { try Self.parse(bad) }
        }
    }

    @Test func `20,000 nested sequences are refused`() {
        // (0000,0010) of undefined length, and in it an item of undefined length, again and again.
        var bytes = Self.request(CommandField.echoRequest)
        for _ in 0..<20_000 {
            bytes += Self.element(0x0901, [], length: 0xFFFF_FFFF)
            bytes += Self.element(0xE000, [], group: 0xFFFE, length: 0xFFFF_FFFF)
        }
        #expect(throws: CommandSetError.self) { try Self.parse(bytes) }
        #expect(throws: CommandSetError.self) { try Self.parse(Array(bytes[..<16_000])) }
    }

    @Test func `a command without field, message or data set type is refused`() {
        let parts = [
            Self.element(0x0100, [0x30, 0]), Self.element(0x0110, [1, 0]), Self.element(0x0800, [1, 1]),
        ]
        for missing in 0..<3 {
            var some = parts
            some.remove(at: missing)
            #expect(throws: CommandSetError.self) { try Self.parse(some.flatMap(\.self)) }
        }
    }

    @Test func `random changes of a byte never trap`() {
        var generator = ByteFuzzer(seed: 7)
        for _ in 0..<20_000 {
            let bytes = generator.spoil(Self.echo, changes: 3)
            _ = try? Self.parse(bytes).response(.success).encoded
        }
    }
}
