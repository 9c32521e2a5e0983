// SPDX-License-Identifier: Apache-2.0
//
// The bytes of an association as protocol data units (PS3.8 9.3). A PDU is held whole, at most 131,078 bytes, because
// the negotiated limit applies to PDUs. Its presentation data values are handed on without copying.

import Platform

/// One fragment of a message (PS3.8 9.3.5.1, annex E.2).
package struct PresentationDataValue {
    /// Presentation context ID.
    package let contextID: UInt8
    /// Whether the fragment belongs to a command, not to a data set.
    package let isCommand: Bool
    /// Whether it is the last fragment of its command or data set.
    package let isLast: Bool
    /// Valid until the next read from the association.
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
    /// Longest variable part of a PDU that is accepted, in bytes.
    private let maximumLength: Int
    private let buffer: UnsafeMutableRawBufferPointer
    /// The part of the buffer that has been read and not yet handed out.
    private var filled = 0..<0

    init(socket: StreamSocket, maximumLength: Int) {
        self.socket = socket
        self.maximumLength = maximumLength
        buffer = .allocate(byteCount: 2 * (maximumLength + Self.headerLength), alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// Waits for the next PDU.
    ///
    /// - Parameter began: called once the first byte has arrived.
    /// - Returns: its type and its variable part, which is valid until the next call; `nil` if the peer closed the
    ///   connection between two PDUs.
    /// - Throws: `aborted` for a malformed PDU, or the error that ended the association.
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
            throw .aborted(.invalid("a PDU has \(length) bytes; \(maximumLength) were negotiated"))
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
        let count: Int
        do throws(SocketError) {
            count = try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled.upperBound...]))
        } catch {
            throw AssociationError(error)
        }
        filled = filled.lowerBound..<filled.upperBound + count
        return count > 0
    }

    /// Splits a P-DATA-TF into its fragments.
    ///
    /// - Parameter body: the variable part of the PDU.
    /// - Returns: the fragments; their bytes lie in `body`.
    /// - Throws: `aborted` if the lengths do not add up, or if a fragment is shorter than its header.
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

    /// Cuts a command into P-DATA-TF PDUs.
    ///
    /// - Parameters:
    ///   - command: the encoded command set.
    ///   - contextID: the presentation context.
    ///   - fragment: bytes of the longest fragment that the peer takes.
    /// - Returns: the PDUs, one after the other, for one write. With Nagle's algorithm, a second write would wait for
    ///   the peer's delayed ACK.
    static func pdus(of command: [UInt8], contextID: UInt8, fragment: Int) -> [UInt8] {
        var pdus: [UInt8] = []
        var rest = command[...]
        repeat {
            let part = rest.prefix(fragment)
            rest = rest.dropFirst(fragment)
            pdus += dataHeader(contextID: contextID, isCommand: true, isLast: rest.isEmpty, count: part.count) + part
        } while !rest.isEmpty
        return pdus
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

/// The lengths of PDUs that the node negotiates: bytes of the variable part (PS3.8 annex D.1).
enum PDULimits {
    /// The node accepts PDUs up to this length, and does not send longer ones.
    static let ours = 131_072
    /// Bytes before the fragment in the variable part of a P-DATA-TF: the length, the context ID and the control
    /// header.
    private static let overhead = 6

    /// The longest fragment that a peer takes, in bytes: an even number (PS3.8 9.3.5.1).
    ///
    /// - Parameter maximum: the length that the peer announced; 0 for any length.
    /// - Returns: `nil` if the peer takes PDUs too short for any fragment, less than 8 bytes.
    static func fragment(forMaximum maximum: UInt32) -> Int? {
        let length = maximum == 0 ? ours : min(Int(maximum), ours)
        return length >= overhead + 2 ? (length - overhead) & ~1 : nil
    }
}
