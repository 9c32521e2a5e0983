// SPDX-License-Identifier: Apache-2.0

public import Platform

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
    package init?(bytes: [UInt8]) {
        var value = bytes[...]
        while let last = value.last, last == 0x20 || last == 0 { value.removeLast() }
        while value.first == 0x20 { value.removeFirst() }
        guard (1...16).contains(value.count), value.allSatisfy({ (0x20...0x7E).contains($0) && $0 != 0x5C }) else {
            return nil
        }
        text = String(decoding: value, as: UTF8.self)
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
    /// Whether the peer has to commit itself to keep an object before its delivery is closed (PS3.4 annex J).
    public var commitment: Bool
    /// Whether the node calls the peer over TLS, and the peer may call the node only over TLS.
    public var tls: Bool
    /// Which certificates belong to the peer; `nil` for those that name its host.
    public var certificate: CertificateRule?

    public init(
        name: String, aeTitle: AETitle, host: String? = nil, port: UInt16? = nil, from: [AddressBlock] = [],
        may: Set<Permission> = [.store, .echo], viewerProfile: ViewerProfile.Name = .strict, commitment: Bool = false,
        tls: Bool = false, certificate: CertificateRule? = nil
    ) {
        self.name = name
        self.aeTitle = aeTitle
        self.host = host
        self.port = port
        self.from = from
        self.may = may
        self.viewerProfile = viewerProfile
        self.commitment = commitment
        self.tls = tls
        self.certificate = certificate
    }

    /// Whether objects can be sent to the peer.
    public var isCallable: Bool { host != nil && port != nil }
}
