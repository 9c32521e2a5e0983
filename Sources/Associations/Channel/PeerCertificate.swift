// SPDX-License-Identifier: Apache-2.0

package import DICOM

extension MessageReader {
    /// Reads the field `certificate`.
    ///
    /// - Returns: `nil` for a plain connection, or for a peer that did not show a certificate.
    package mutating func certificate() throws(MalformedMessage) -> PeerCertificate? {
        let encoded = Array(try data())
        let (subject, issuer) = (try text(), try text())
        var chain: [[UInt8]] = []
        for _ in 0..<(try integer(UInt16.self)) { chain.append(Array(try data())) }
        return encoded.isEmpty
            ? nil : PeerCertificate(encoded: encoded, subject: subject, issuer: issuer, chain: chain)
    }
}
