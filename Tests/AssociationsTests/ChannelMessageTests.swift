// SPDX-License-Identifier: Apache-2.0

import Testing

import Associations

@Suite("Messages of the channel")
struct ChannelMessageTests {
    @Test("What is written is read back")
    func roundTrip() throws {
        var writer = MessageWriter(kind: 7)
        writer.integer(UInt16(0x1234))
        writer.text("1.2.3")
        writer.data([1, 2, 3] as [UInt8])
        let message = writer.message
        #expect(message.prefix(7) == [17, 0, 0, 0, 7, 0x34, 0x12])
        var reader = MessageReader(kind: message[4], fields: message[5...])
        #expect(try reader.integer(UInt16.self) == 0x1234)
        #expect(try reader.text() == "1.2.3")
        #expect(Array(try reader.data()) == [1, 2, 3])
        try reader.end()
    }

    @Test("A message that is cut off, or too long, is malformed")
    func malformed() throws {
        var cut = MessageReader(kind: 1, fields: [5, 0, 0x31])
        #expect(throws: MalformedMessage(kind: 1)) { try cut.text() }
        let long = MessageReader(kind: 2, fields: [0])
        #expect(throws: MalformedMessage(kind: 2)) { try long.end() }
    }
}
