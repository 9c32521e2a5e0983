// SPDX-License-Identifier: Apache-2.0

/// A DICOM node that may call us, that we may call, or both.
///
/// The short form of the configuration, `{name, aeTitle, host, port}`, is a peer that may store and verify from the
/// addresses of its host, and is called back there. `from` replaces those addresses, and `may` what is allowed:
/// a peer with an empty `may` is only ever called.
public struct Peer: Sendable, Equatable {
    /// What a peer that calls us may ask for.
    public enum Permission: String, Sendable, Codable, CaseIterable {
        /// C-STORE of any SOP class.
        case store
        /// C-ECHO.
        case echo
    }

    /// The configuration's name for it, which routes use.
    public var name: String
    public var aeTitle: AETitle
    /// Where it is called: a name or an address. A peer without one is never called.
    public var host: String?
    public var port: UInt16?
    /// Where it calls from. Empty: from the addresses of `host`.
    public var from: [AddressBlock]
    public var may: Set<Permission>
    /// Which geometry attributes the objects sent to it carry.
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

    /// Whether objects can be sent to it.
    public var isCallable: Bool { host != nil && port != nil }
}
