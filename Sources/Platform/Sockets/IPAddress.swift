// SPDX-License-Identifier: Apache-2.0

import Glibc

/// An IPv4 or IPv6 address.
///
/// An IPv4 address that arrives on an IPv6 socket (`::ffff:10.1.0.7`, RFC 4291 2.5.5.2) becomes the IPv4 address, so
/// that a rule for IPv4 callers holds on both kinds of socket.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// Network byte order: 4 bytes for IPv4, 16 for IPv6.
    public let bytes: [UInt8]

    /// `0.0.0.0`: a socket that is bound to it listens on every IPv4 address.
    public static let anyIPv4 = IPAddress(bytes: [0, 0, 0, 0])

    /// Makes an address from its bytes.
    ///
    /// - Parameter bytes: 4 or 16 bytes in network byte order.
    init(bytes: [UInt8]) {
        precondition(bytes.count == 4 || bytes.count == 16, "an address has 4 or 16 bytes")
        let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        self.bytes = bytes.count == 16 && bytes.starts(with: mappedPrefix) ? Array(bytes[12...]) : bytes
    }

    /// Reads an address such as `10.1.0.7` or `fd00::7`; `nil` for other text, host names included.
    public init?(_ text: String) {
        var storage = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &storage) == 1 {
            self.init(bytes: Array(storage[..<4]))
        } else if inet_pton(AF_INET6, text, &storage) == 1 {
            self.init(bytes: storage)
        } else {
            return nil
        }
    }

    /// The address itself for IPv4; for IPv6 the first 64 bits, because a machine can use every address behind them.
    package var network: [UInt8] { bytes.count == 16 ? Array(bytes[..<8]) : bytes }

    /// The text form of RFC 5952, such as `fd00::7`.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Asks the resolver for the addresses of a host.
    ///
    /// The call blocks on the resolver if `host` is a name. ``HostResolver`` calls it on a thread of its own.
    ///
    /// - Parameter host: a name, or an address as text.
    /// - Returns: the resolver's answer.
    public static func lookUp(_ host: String) -> HostResolver.LookUp {
        if let literal = IPAddress(host) { return .addresses([literal]) }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        switch getaddrinfo(host, nil, &hints, &list) {
        case 0: break
        case EAI_NONAME: return .unknownName
        default: return .noAnswer
        }
        defer { freeaddrinfo(list) }
        var found: [IPAddress] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr.flatMap({ IPAddress($0) }), !found.contains(address) {
                found.append(address)
            }
            next = entry.pointee.ai_next
        }
        return found.isEmpty ? .unknownName : .addresses(found)
    }

    /// The addresses of this machine's network interfaces, loopback included.
    public static var ofThisMachine: [IPAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [IPAddress] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ifa_addr.flatMap({ IPAddress($0) }) { found.append(address) }
            next = entry.pointee.ifa_next
        }
        return found
    }

    /// Whether packets to this address stay on this machine: 127.0.0.0/8 and ::1.
    public var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }

    /// Whether a socket that is bound to this address listens on every address: `0.0.0.0` and `::`.
    public var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
}

extension IPAddress {
    /// `AF_INET` or `AF_INET6`.
    var family: Int32 { bytes.count == 4 ? AF_INET : AF_INET6 }

    /// Reads the address in a socket address; `nil` for families other than IPv4 and IPv6.
    init?(_ address: UnsafePointer<sockaddr>) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            let bytes = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
                withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }
            }
            self.init(bytes: bytes)
        case AF_INET6:
            let bytes = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
                withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }
            }
            self.init(bytes: bytes)
        default:
            return nil
        }
    }

    /// Passes the address with a port to `body`, in the form that bind(2) and connect(2) take.
    func withSocketAddress<Result>(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if bytes.count == 4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}

/// A block of addresses in CIDR notation: `10.1.0.0/24`, `fd00::/8`, or one address (RFC 4632, RFC 4291 2.3).
public struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// An address of the block.
    ///
    /// Bits after the prefix are ignored.
    public let address: IPAddress
    /// Number of leading bits that all addresses of the block share: 0...32 for IPv4, 0...128 for IPv6.
    public let prefixLength: Int

    /// Reads a block; `nil` if `text` is not an address, or if the prefix is longer than the address.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { return nil }
        let bits = address.bytes.count * 8
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].allSatisfy(\.isASCII), parts[1].allSatisfy(\.isNumber),
                let length = Int(parts[1]), length <= bits
            else { return nil }
            prefixLength = length
        } else {
            prefixLength = bits
        }
        self.address = address
    }

    /// The block that holds `address` alone.
    package init(_ address: IPAddress) {
        self.address = address
        prefixLength = address.bytes.count * 8
    }

    /// Whether an address lies in the block.
    ///
    /// An IPv6 block never contains an IPv4 address.
    public func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        let whole = prefixLength / 8
        guard other.bytes[..<whole] == address.bytes[..<whole] else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (other.bytes[whole] ^ address.bytes[whole]) >> (8 - rest) == 0
    }

    /// CIDR notation, such as `10.1.0.0/24`.
    public var description: String { "\(address)/\(prefixLength)" }
}
