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
        let request = AssociateRequest(
            called: called, calling: calling,
            contexts: [
                ProposedContext(id: 1, abstractSyntax: Self.ctImageStorage, transferSyntaxes: ["1.2.840.10008.1.2"]),
                ProposedContext(id: 3, abstractSyntax: "1.2.840.10008.1.1", transferSyntaxes: ["1.2.840.10008.1.2"]),
            ], user: UserInformation(maximumLength: maximumLength))
        send(request.encoded)
        guard case .pdu(2, _) = receive() else { return false }
        return true
    }

    /// A P-DATA-TF with one PDV; its lengths can be lied about.
    public static func data(
        _ bytes: [UInt8], context: UInt8 = 1, command: Bool, last: Bool, pduLength: UInt32? = nil,
        pdvLength: UInt32? = nil
    ) -> [UInt8] {
        func field(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        return [4, 0] + field(pduLength ?? UInt32(bytes.count + 6)) + field(pdvLength ?? UInt32(bytes.count + 2))
            + [context, (command ? 1 : 0) | (last ? 2 : 0)] + bytes
    }

    /// A C-STORE-RQ for an instance of CT Image Storage.
    public static func store(_ instance: String = "1.2.3.4") -> [UInt8] {
        var command = CommandSet()
        command.set(.affectedSOPClassUID, uid: ctImageStorage)
        command.set(.commandField, CommandField.storeRequest)
        command.set(.messageID, 1)
        command.set(.priority, 0)
        command.set(.commandDataSetType, 0)
        command.set(.affectedSOPInstanceUID, uid: instance)
        return command.encoded
    }
}
