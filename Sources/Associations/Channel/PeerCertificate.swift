// SPDX-License-Identifier: Apache-2.0

/// The certificate that a peer showed on a secure connection.
package struct PeerCertificate: Equatable, Sendable {
    /// The certificate in DER.
    package let encoded: [UInt8]
    /// The subject's name (RFC 2253).
    package let subject: String
    /// The issuer's name (RFC 2253).
    package let issuer: String
    /// The SHA-256 of each certificate of the verified chain, the peer's own first; 32 bytes each.
    package let chain: [[UInt8]]

    package init(encoded: [UInt8], subject: String, issuer: String, chain: [[UInt8]]) {
        self.encoded = encoded
        self.subject = subject
        self.issuer = issuer
        self.chain = chain
    }
}

extension MessageReader {
    /// Reads the field `certificate`.
    ///
    /// - Returns: `nil` for a plain connection, or for a peer that did not show a certificate.
    mutating func certificate() throws(MalformedMessage) -> PeerCertificate? {
        let encoded = Array(try data())
        let (subject, issuer) = (try text(), try text())
        var chain: [[UInt8]] = []
        for _ in 0..<(try integer(UInt16.self)) { chain.append(Array(try data())) }
        return encoded.isEmpty
            ? nil : PeerCertificate(encoded: encoded, subject: subject, issuer: issuer, chain: chain)
    }
}
