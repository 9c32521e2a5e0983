// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation

/// A TCP client that sends whatever it is told.
///
/// Its calls block; a read has ten seconds.
public final class RawClient {
    public enum Answer: Equatable, Sendable {
        case pdu(type: UInt8, body: [UInt8])
        case closed
        case nothing
    }

    private let descriptor: Int32

    public init(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(code == 0, "could not connect to this machine")
    }

    deinit { close(descriptor) }

    /// - Returns: false when the other side does not listen any more.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    public func receive() -> Answer {
        switch read(6) {
        case .some(let header):
            guard header.count == 6 else { return .closed }
            let length = header[2..<6].reduce(0) { $0 << 8 | Int($1) }
            return .pdu(type: header[0], body: read(length) ?? [])
        case nil: return .nothing
        }
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            let got = recv(descriptor, &part, part.count, 0)
            if got < 0, errno == EAGAIN { return nil }
            guard got > 0 else { return bytes }
            bytes += part[..<got]
        }
        return bytes
    }

    public static let ctImageStorage = "1.2.840.10008.5.1.4.1.1.2"

    /// Negotiates CT Image Storage as context 1 and Verification as context 3.
    ///
    /// - Parameter maximumLength: bytes of the longest PDU that this client takes.
    public func associate(calling: AETitle, called: AETitle, maximumLength: UInt32 = 16_384) -> Bool {
        send(Self.request(calling: calling, called: called, maximumLength: maximumLength))
        guard case .pdu(2, _) = receive() else { return false }
        return true
    }

    /// An A-ASSOCIATE-RQ (PS3.8 9.3.2) with CT Image Storage as context 1 and Verification as context 3.
    ///
    /// - Parameters:
    ///   - maximumLength: bytes of the longest PDU that this client takes.
    ///   - length: bytes of the whole PDU without its header, which an item of no known type fills up; `nil` for none.
    public static func request(
        calling: AETitle, called: AETitle, maximumLength: UInt32 = 16_384, length: Int? = nil
    ) -> [UInt8] {
        func item(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
            [type, 0, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
        }
        func context(_ id: UInt8, _ abstractSyntax: String) -> [UInt8] {
            item(
                0x20,
                [id, 0, 0, 0] + item(0x30, Array(abstractSyntax.utf8)) + item(0x40, Array("1.2.840.10008.1.2".utf8)))
        }
        func title(_ title: AETitle) -> [UInt8] {
            Array(title.text.utf8) + [UInt8](repeating: 0x20, count: 16 - title.text.utf8.count)
        }
        var body = [0, 1, 0, 0] + title(called) + title(calling) + [UInt8](repeating: 0, count: 32)
        body += item(0x10, Array("1.2.840.10008.3.1.1.1".utf8))
        body += context(1, ctImageStorage) + context(3, "1.2.840.10008.1.1")
        body += item(0x50, item(0x51, big(maximumLength)) + item(0x52, Array("1.2.3".utf8)))
        while let length, body.count < length {
            body += item(0x7F, [UInt8](repeating: 0, count: min(length - body.count - 4, 60_000)))
        }
        return [1, 0] + big(UInt32(body.count)) + body
    }

    private static func big(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// A P-DATA-TF with one PDV; its lengths can be lied about.
    public static func data(
        _ bytes: [UInt8], context: UInt8 = 1, command: Bool, last: Bool, pduLength: UInt32? = nil,
        pdvLength: UInt32? = nil
    ) -> [UInt8] {
        [4, 0] + big(pduLength ?? UInt32(bytes.count + 6)) + big(pdvLength ?? UInt32(bytes.count + 2))
            + [context, (command ? 1 : 0) | (last ? 2 : 0)] + bytes
    }

    /// A C-STORE-RQ for an instance (PS3.7 9.3.1.1), by default of CT Image Storage.
    public static func store(_ instance: String = "1.2.3.4", of sopClass: String = ctImageStorage) -> [UInt8] {
        element(0x0002, uid(sopClass)) + command(0x0001, dataSetType: 0) + element(0x1000, uid(instance))
    }

    /// C-ECHO-RQ, message 1 (PS3.7 9.3.5.1).
    public static let echo = element(0x0002, uid("1.2.840.10008.1.1")) + command(0x0030)

    /// The status of the response that comes next, such as `0000`; `nil` if none comes.
    public func status() -> String? {
        guard case .pdu(4, let body) = receive() else { return nil }
        var rest = body.dropFirst(6)
        while rest.count >= 8 {
            let start = rest.startIndex
            let length = rest[(start + 4)..<(start + 8)].reversed().reduce(0) { $0 << 8 | Int($1) }
            let value = rest.dropFirst(8).prefix(length)
            if rest[start + 2] == 0x00, rest[start + 3] == 0x09, value.count == 2 {
                return value.reversed().map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined()
            }
            rest = rest.dropFirst(8 + length)
        }
        return nil
    }

    /// An element of a command set, in Implicit VR Little Endian.
    public static func element(
        _ element: UInt16, _ value: [UInt8], group: UInt16 = 0, length: UInt32? = nil
    ) -> [UInt8] {
        let length = length ?? UInt32(value.count)
        return [UInt8(group & 0xFF), UInt8(group >> 8), UInt8(element & 0xFF), UInt8(element >> 8)]
            + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + value
    }

    /// Command Field, Message ID and Command Data Set Type, which every request needs.
    public static func command(_ field: UInt16, dataSetType: UInt16 = 0x0101) -> [UInt8] {
        element(0x0100, [UInt8(field & 0xFF), UInt8(field >> 8)]) + element(0x0110, [1, 0])
            + element(0x0800, [UInt8(dataSetType & 0xFF), UInt8(dataSetType >> 8)])
    }

    private static func uid(_ text: String) -> [UInt8] { Array(text.utf8) + (text.utf8.count % 2 == 1 ? [0] : []) }
}
