// SPDX-License-Identifier: Apache-2.0

public import Platform
import Synchronization

/// The name of a DICOM application (PS3.5 6.2, VR AE).
///
/// A title has 1 to 16 characters of the default repertoire, without backslash and control characters. Leading and
/// trailing spaces do not count.
public struct AETitle: Hashable, Sendable, CustomStringConvertible {
    /// The title without padding.
    public let text: String

    /// Reads a title; `nil` if `text` is not an AE title.
    public init?(_ text: String) {
        self.init(bytes: Array(text.utf8))
    }

    /// Reads a field of a PDU or a data set.
    ///
    /// Trailing NULs do not count either: some peers pad with them.
    init?(bytes: [UInt8]) {
        var value = bytes[...]
        while let last = value.last, last == 0x20 || last == 0 { value.removeLast() }
        while value.first == 0x20 { value.removeFirst() }
        guard (1...16).contains(value.count), value.allSatisfy({ (0x20...0x7E).contains($0) && $0 != 0x5C }) else {
            return nil
        }
        text = String(decoding: value, as: UTF8.self)
    }

    /// 16 bytes, padded with spaces.
    var paddedBytes: [UInt8] {
        Array(text.utf8) + [UInt8](repeating: 0x20, count: 16 - text.utf8.count)
    }

    public var description: String { text }
}

/// A DICOM node that may call this node, that this node calls, or both.
///
/// The short form of the configuration, `{name, aeTitle, host, port}`, describes a peer that may store and verify from
/// the addresses of its host. The node calls the peer at that host and port. `from` replaces the addresses from which
/// the peer may call. `may` limits the services: a peer with an empty `may` cannot call this node.
public struct Peer: Sendable, Equatable {
    /// A service that a calling peer may use.
    public enum Permission: String, Sendable, Codable, CaseIterable {
        /// C-STORE of any SOP class.
        case store
        /// C-ECHO.
        case echo
    }

    /// The name in the configuration, which routes use.
    public var name: String
    /// The AE title with which the peer calls and is called.
    public var aeTitle: AETitle
    /// The host name or address to call.
    ///
    /// `nil` for a peer that is not called.
    public var host: String?
    /// The TCP port to call.
    ///
    /// `nil` for a peer that is not called.
    public var port: UInt16?
    /// The addresses from which the peer calls.
    ///
    /// Empty for the addresses of `host`.
    public var from: [AddressBlock]
    /// The services that the peer may use when it calls.
    public var may: Set<Permission>
    /// The geometry attributes of objects that are sent to the peer.
    public var viewerProfile: ViewerProfile.Name

    public init(
        name: String, aeTitle: AETitle, host: String? = nil, port: UInt16? = nil, from: [AddressBlock] = [],
        may: Set<Permission> = [.store, .echo], viewerProfile: ViewerProfile.Name = .strict
    ) {
        self.name = name
        self.aeTitle = aeTitle
        self.host = host
        self.port = port
        self.from = from
        self.may = may
        self.viewerProfile = viewerProfile
    }

    /// Whether objects can be sent to the peer.
    public var isCallable: Bool { host != nil && port != nil }
}

/// Finds the configured peer for a caller's AE title and address.
public final class PeerDirectory: Sendable {
    private struct Resolved {
        var addresses: [IPAddress]
        /// A reading of `MonotonicClock`.
        var until: Duration
    }

    /// How long the addresses of a host name are kept.
    private static let resolvedFor: Duration = .seconds(60)
    /// How long a name stays unknown.
    ///
    /// This time is short, because the resolver may start after the node.
    private static let unresolvedFor: Duration = .seconds(5)

    private let peers: [Peer]
    /// The addresses of host names, so that most calls do not ask the resolver.
    private let resolved = Mutex<[String: Resolved]>([:])

    /// - Parameter peers: the configured peers, in order: the first one that fits a caller is found.
    public init(_ peers: [Peer]) {
        self.peers = peers
    }

    /// Finds the first peer with this AE title that may use a service and may call from this address.
    ///
    /// The call may block on the resolver, if a peer with this AE title is configured by a host name.
    ///
    /// - Returns: `nil` for an unknown caller.
    public func peer(calling title: AETitle, from address: IPAddress) -> Peer? {
        peers.first { $0.aeTitle == title && !$0.may.isEmpty && blocks(of: $0).contains { $0.contains(address) } }
    }

    private func blocks(of peer: Peer) -> [AddressBlock] {
        guard peer.from.isEmpty else { return peer.from }
        guard let host = peer.host else { return [] }
        if let literal = IPAddress(host) { return [AddressBlock(literal)] }
        let now = MonotonicClock.now()
        if let known = resolved.withLock({ $0[host] }), now < known.until {
            return known.addresses.map(AddressBlock.init)
        }
        let addresses = IPAddress.resolve(host)
        let entry = Resolved(
            addresses: addresses, until: now + (addresses.isEmpty ? Self.unresolvedFor : Self.resolvedFor))
        resolved.withLock { $0[host] = entry }
        return addresses.map(AddressBlock.init)
    }
}
