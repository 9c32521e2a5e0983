// SPDX-License-Identifier: Apache-2.0
//
// The association's bytes as protocol data units (PS3.8 9.3). A PDU is held whole, at most 131,078 bytes, because the
// limits on what is accepted are on PDUs; the values in it are handed on in place.

/// One fragment of a message (PS3.8 9.3.5.1, annex E.2).
package struct PresentationDataValue {
    package let contextID: UInt8
    package let isCommand: Bool
    package let isLast: Bool
    /// Valid until the next read.
    package let bytes: UnsafeRawBufferPointer

    package init(contextID: UInt8, isCommand: Bool, isLast: Bool, bytes: UnsafeRawBufferPointer) {
        self.contextID = contextID
        self.isCommand = isCommand
        self.isLast = isLast
        self.bytes = bytes
    }
}

/// Reads PDUs from a socket.
final class PDUStream {
    static let headerLength = 6

    private let socket: StreamSocket
    /// Longest variable part of a PDU that is taken.
    private let maximumLength: Int
    private let buffer: UnsafeMutableRawBufferPointer
    /// What has been read and not yet handed out.
    private var filled = 0..<0

    init(socket: StreamSocket, maximumLength: Int) {
        self.socket = socket
        self.maximumLength = maximumLength
        buffer = .allocate(byteCount: 2 * (maximumLength + Self.headerLength), alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The next PDU: its type and its variable part, valid until the next call. Nil when the peer closed the
    /// connection between two PDUs.
    ///
    /// - Parameter began: told once the first byte is there.
    func next(began: () -> Void = {}) throws(AssociationError) -> (type: PDUType, body: UnsafeRawBufferPointer)? {
        if filled.isEmpty {
            filled = 0..<0
            guard try fill() else { return nil }
        }
        began()
        try need(Self.headerLength)
        let header = buffer[filled.prefix(Self.headerLength)]
        guard let type = PDUType(rawValue: header[header.startIndex]) else {
            throw .aborted(AssociationAbort(by: .us, source: 2, reason: 1, cause: "unrecognized PDU type"))
        }
        let length = header.dropFirst(2).reduce(0) { $0 << 8 | Int($1) }
        guard length <= maximumLength else {
            throw .aborted(.invalid("a PDU of \(length) bytes is longer than the \(maximumLength) that were agreed"))
        }
        try need(Self.headerLength + length)
        let start = filled.lowerBound + Self.headerLength
        filled = (start + length)..<filled.upperBound
        return (type, UnsafeRawBufferPointer(rebasing: buffer[start..<start + length]))
    }

    private func need(_ count: Int) throws(AssociationError) {
        while filled.count < count {
            guard try fill() else { throw .connectionLost(reason: "the peer closed the connection within a PDU") }
        }
    }

    private func fill() throws(AssociationError) -> Bool {
        if filled.upperBound > buffer.count / 2 {
            let rest = filled.count
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[filled]))
            filled = 0..<rest
        }
        let count = try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled.upperBound...]))
        filled = filled.lowerBound..<filled.upperBound + count
        return count > 0
    }

    /// Takes a P-DATA-TF apart.
    ///
    /// - Throws: an abort when the lengths do not add up, or a value is empty of even its control header.
    static func values(
        of body: UnsafeRawBufferPointer
    ) throws(AssociationError) -> [PresentationDataValue] {
        var values: [PresentationDataValue] = []
        var offset = 0
        while offset < body.count {
            guard body.count - offset >= 6 else { throw .aborted(.invalid("a PDV is cut off")) }
            let length = body[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length >= 2, length <= body.count - offset - 4 else {
                throw .aborted(.invalid("a PDV is longer than its PDU, or shorter than its header"))
            }
            let control = body[offset + 5]
            values.append(
                PresentationDataValue(
                    contextID: body[offset + 4], isCommand: control & 1 != 0, isLast: control & 2 != 0,
                    bytes: UnsafeRawBufferPointer(rebasing: body[offset + 6..<offset + 4 + length])))
            offset += 4 + length
        }
        return values
    }

    /// The header of a P-DATA-TF that holds one PDV of `count` bytes: 12 bytes (PS3.8 9.3.5).
    static func dataHeader(contextID: UInt8, isCommand: Bool, isLast: Bool, count: Int) -> [UInt8] {
        var builder = PDUBuilder()
        builder.uint8(PDUType.data.rawValue)
        builder.uint8(0)
        builder.uint32(UInt32(count + 6))
        builder.uint32(UInt32(count + 2))
        builder.uint8(contextID)
        builder.uint8((isCommand ? 1 : 0) | (isLast ? 2 : 0))
        return builder.bytes
    }

    /// A-RELEASE-RQ and A-RELEASE-RP (PS3.8 9.3.6, 9.3.7).
    static func release(_ type: PDUType) -> [UInt8] {
        PDUBuilder.pdu(type) { $0.zeros(4) }
    }
}
