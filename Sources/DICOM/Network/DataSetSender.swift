// SPDX-License-Identifier: Apache-2.0

import Platform

/// Sends the bytes of one data set as P-DATA-TF PDUs that the peer takes (PS3.8 9.3.5).
///
/// Short PDUs are collected, so that a peer with a small limit does not cost one system call per PDU.
final class DataSetSender {
    /// Bytes that are collected before they are written.
    private static let batch = 128 << 10
    private static let headerLength = 12

    private let socket: StreamSocket
    private let contextID: UInt8
    /// Bytes of the longest fragment that the peer takes.
    private let fragment: Int
    private let buffer: UnsafeMutableRawBufferPointer
    /// Where the header of the open fragment begins in the buffer.
    private var start = 0
    /// Bytes of the open fragment.
    private var count = 0

    /// - Parameters:
    ///   - socket: the association's connection.
    ///   - contextID: the presentation context.
    ///   - fragment: bytes of the longest fragment that the peer takes.
    init(_ socket: StreamSocket, contextID: UInt8, fragment: Int) {
        self.socket = socket
        self.contextID = contextID
        self.fragment = fragment
        buffer = .allocate(byteCount: max(Self.batch, Self.headerLength + fragment), alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// Adds bytes to the data set.
    ///
    /// A fragment is closed when more bytes come, so that the last one can say that it is the last.
    func append(_ bytes: UnsafeRawBufferPointer) throws(AssociationError) {
        var rest = bytes
        while !rest.isEmpty {
            if count == fragment { try close(isLast: false) }
            let part = min(rest.count, fragment - count)
            let place = start + Self.headerLength + count
            buffer[place..<place + part].copyBytes(from: rest.prefix(part))
            count += part
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part))
        }
    }

    /// Ends the data set, which may be empty, and writes everything that was collected.
    func finish() throws(AssociationError) {
        try close(isLast: true)
        try write()
    }

    private func close(isLast: Bool) throws(AssociationError) {
        let header = PDUStream.dataHeader(contextID: contextID, isCommand: false, isLast: isLast, count: count)
        buffer[start..<start + Self.headerLength].copyBytes(from: header)
        start += Self.headerLength + count
        count = 0
        if buffer.count - start < Self.headerLength + fragment { try write() }
    }

    private func write() throws(AssociationError) {
        if start > 0 { try socket.send(UnsafeRawBufferPointer(rebasing: buffer[..<start])) }
        start = 0
    }
}
