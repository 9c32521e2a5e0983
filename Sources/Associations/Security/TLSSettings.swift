// SPDX-License-Identifier: Apache-2.0

/// How the node speaks TLS, with the files that it needs (DICOM PS3.15 annex B).
public struct TLSSettings: Sendable, Equatable {
    /// Whether callers have to show a certificate.
    public enum Clients: String, Sendable, CaseIterable {
        case none, requested, required
    }

    /// The versions and the cipher suites of TLS.
    public enum Profile: String, Sendable, CaseIterable {
        /// Non-Downgrading BCP 195: TLS 1.2 and 1.3.
        case bcp195
        /// Extended BCP 195: TLS 1.2 alone.
        case extended
    }

    /// The port for callers; `nil` if the node only calls with TLS.
    public var port: UInt16?
    /// Path of the node's certificate, with the intermediate authorities behind it (PEM).
    public var certificate: String
    /// Path of the private key (PEM).
    public var key: String
    /// Path of a file with the password of the private key.
    public var keyPassword: String?
    /// Paths of the certificates of the authorities that are trusted (PEM).
    public var authorities: [String]
    /// Paths of the authorities' revocation lists (PEM).
    public var revocationLists: [String]
    /// Whether callers have to show a certificate.
    public var clients: Clients
    /// The versions and the cipher suites.
    public var profile: Profile

    public init(
        port: UInt16? = nil, certificate: String, key: String, keyPassword: String? = nil, authorities: [String] = [],
        revocationLists: [String] = [], clients: Clients = .required, profile: Profile = .bcp195
    ) {
        self.port = port
        self.certificate = certificate
        self.key = key
        self.keyPassword = keyPassword
        self.authorities = authorities
        self.revocationLists = revocationLists
        self.clients = clients
        self.profile = profile
    }
}

/// The content of the files, for the processes that speak TLS.
public struct TLSCredentials: Sendable {
    var profile: TLSSettings.Profile
    var clients: TLSSettings.Clients
    var certificate: [UInt8]
    var key: [UInt8]
    var password: [UInt8]
    var authorities: [UInt8]
    var revocationLists: [UInt8]

    /// The whole message `credentials` (`CAssociations.h`).
    package var message: [UInt8] {
        var writer = MessageWriter(kind: 1)
        writer.integer(profile == .bcp195 ? 1 : 2 as UInt8)
        switch clients {
        case .none: writer.integer(0 as UInt8)
        case .requested: writer.integer(1 as UInt8)
        case .required: writer.integer(2 as UInt8)
        }
        for bytes in [certificate, key, password, authorities, revocationLists] { writer.data(bytes) }
        return writer.message
    }
}
