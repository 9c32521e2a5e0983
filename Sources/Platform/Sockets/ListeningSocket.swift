// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc

/// A TCP socket that accepts connections.
package final class ListeningSocket: Sendable {
    /// The result of ``accept()``.
    package enum Accepted {
        case connection(StreamSocket)
        /// No connection waits.
        case none
        /// The process or the system has no descriptor or memory left for a connection that waits.
        case noResources
    }

    /// Connections that the kernel holds until they are accepted.
    private static let backlog: Int32 = 1024

    private let file: FileDescriptor
    /// The port that the socket listens on.
    ///
    /// If the caller asked for port 0, the kernel chose this port.
    package let port: UInt16

    /// Binds to an address and listens.
    ///
    /// Connections wait in the kernel's queue until they are accepted.
    ///
    /// - Parameters:
    ///   - address: the IPv6 address `::` accepts callers of both families.
    ///   - port: 0 lets the kernel choose.
    /// - Throws: the error of socket(2), bind(2) or listen(2).
    package init(bind address: IPAddress, port: UInt16) throws(SystemCallError) {
        let file = try FileDescriptor(streamSocketFor: address.family)
        file.switchOn(SO_REUSEADDR, at: SOL_SOCKET)
        if address.family == AF_INET6 { file.setOption(IPV6_V6ONLY, at: Int32(IPPROTO_IPV6), to: 0) }
        guard address.withSocketAddress(port: port, { Glibc.bind(file.number, $0, $1) }) == 0 else {
            throw .last("bind")
        }
        guard listen(file.number, Self.backlog) == 0 else { throw .last("listen") }
        self.file = file
        self.port = Self.boundPort(file.number)
    }

    private static func boundPort(_ descriptor: Int32) -> UInt16 {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &address) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        // The port is at the same place in the addresses of both families.
        return UInt16(bigEndian: address.sin6_port)
    }

    /// The number to wait for with ``Polling``.
    ///
    /// The number stays valid as long as this object lives.
    package var descriptor: Int32 { file.number }

    /// Accepts the next connection, without waiting.
    ///
    /// Connections that broke while they waited are skipped.
    package func accept() -> Accepted {
        while true {
            var storage = sockaddr_storage()
            var length = UInt32(MemoryLayout<sockaddr_storage>.size)
            let (number, address) = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    let number = cplatform_accept(descriptor, $0, &length)
                    return (number, number < 0 ? nil : IPAddress($0))
                }
            }
            guard number >= 0 else {
                switch errno {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .noResources
                case EINTR, ECONNABORTED: continue
                default: return .none
                }
            }
            let file = FileDescriptor(owning: number)
            if let address { return .connection(StreamSocket(adopting: file, address: address)) }
        }
    }
}
