// SPDX-License-Identifier: Apache-2.0

public import Platform

/// The certificate that a peer showed on a secure connection, and that was verified there.
public struct PeerCertificate: Equatable, Sendable {
    /// The certificate in DER.
    public let encoded: [UInt8]
    /// The subject's name (RFC 2253).
    public let subject: String
    /// The issuer's name (RFC 2253).
    public let issuer: String
    /// The SHA-256 of each certificate of the verified chain, the peer's own first; 32 bytes each.
    public let chain: [[UInt8]]

    public init(encoded: [UInt8], subject: String, issuer: String, chain: [[UInt8]]) {
        self.encoded = encoded
        self.subject = subject
        self.issuer = issuer
        self.chain = chain
    }

    /// The SHA-256 of the certificate: 64 lower-case hexadecimal digits.
    public var fingerprint: String { SHA256.hash(data: encoded).hexadecimal }

    /// Whether the certificate names a host, which is an IP address or a DNS name (RFC 6125).
    func names(host: String) -> Bool { Certificate(der: encoded)?.names(host: host) ?? false }
}

/// Which certificates belong to a peer.
///
/// A certificate has to fulfil every condition that is set.
public struct CertificateRule: Sendable, Equatable {
    /// An authority in the chain of a certificate.
    public enum Authority: Sendable, Equatable {
        /// The authority that has issued the peer's certificate has this name.
        case name(DistinguishedName)
        /// An authority of the verified chain has this SHA-256.
        case fingerprint([UInt8])
    }

    /// The SHA-256 of the certificate.
    public var fingerprint: [UInt8]?
    /// The subject of the certificate.
    public var subject: DistinguishedName?
    /// An authority of the certificate.
    public var authority: Authority?

    public init(fingerprint: [UInt8]? = nil, subject: DistinguishedName? = nil, authority: Authority? = nil) {
        self.fingerprint = fingerprint
        self.subject = subject
        self.authority = authority
    }

    /// Whether the rule alone tells one peer from the others of its authority.
    public var isPersonal: Bool { fingerprint != nil || subject != nil }

    /// Whether a certificate fulfils the rule.
    public func accepts(_ certificate: PeerCertificate) -> Bool {
        if let fingerprint, certificate.chain.first != fingerprint { return false }
        if let subject, DistinguishedName(certificate.subject) != subject { return false }
        return switch authority {
        case nil: true
        case .name(let name): DistinguishedName(certificate.issuer) == name
        case .fingerprint(let fingerprint): certificate.chain.dropFirst().contains(fingerprint)
        }
    }
}

/// How a caller's connection is secured.
public enum CallSecurity: Sendable, Equatable {
    case plain
    /// TLS, with the certificate that the caller showed and that was verified; `nil` for none.
    case tls(PeerCertificate?)
}

/// The reason why a caller with the AE title and the address of a peer is not that peer.
public enum CertificateRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// The peer has to call over TLS.
    case plain
    /// The caller did not show a certificate.
    case missing
    /// The certificate belongs to somebody else.
    case ofAnother

    public var description: String {
        switch self {
        case .plain: "the peer has to show a certificate and call over TLS"
        case .missing: "the peer did not show a certificate"
        case .ofAnother: "the certificate is not the one of the peer with this AE title"
        }
    }
}

extension Peer {
    /// Decides whether a caller with the peer's AE title and address is the peer, by its certificate.
    ///
    /// A peer without `tls` may call in any way. A peer with `tls` has to call over TLS, and its certificate has to
    /// fulfil `certificate`. If that does not name one certificate or subject, and the peer has a host, the certificate
    /// has to name the host. A caller that showed no certificate counts as the peer only if the peer has no
    /// `certificate`; whether callers have to show one at all is the listener's setting.
    func refusal(of security: CallSecurity) -> CertificateRefusal? {
        guard tls else { return nil }
        switch security {
        case .plain: return .plain
        case .tls(nil): return certificate == nil ? nil : .missing
        case .tls(let shown?):
            if let certificate, !certificate.accepts(shown) { return .ofAnother }
            if certificate?.isPersonal == true { return nil }
            guard let host else { return nil }
            return shown.names(host: host) ? nil : .ofAnother
        }
    }

    /// The name that the certificate of this peer has to hold if the node calls it; empty for any name.
    public var certificateHost: String { certificate?.isPersonal == true ? "" : host ?? "" }
}
