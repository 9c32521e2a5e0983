// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import TestSupport
import Testing

@Suite struct CertificateTests {
    private func content(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

    private func certificates(_ paths: String...) throws -> [Certificate] {
        try #require(Certificate.read(pem: try paths.flatMap(content)))
    }

    @Test func `reads a chain in its order, and skips what is no certificate`() throws {
        let root = try TestAuthority()
        let pair = try root.issue("scope")
        let chain = try certificates(pair.key, pair.certificate, root.pair.certificate)
        #expect(chain.map(\.subject.description) == ["CN=scope,O=Clinic", "CN=root,O=Clinic"])
        #expect(chain[0].issuer == chain[1].subject)
        #expect(chain[0].names == ["localhost", "127.0.0.1"])
        #expect(chain[0].key == .ellipticCurve(bits: 256))
        #expect(chain[0].validity.contains(Date()))
        #expect(!chain[0].isSelfSigned)
        #expect(chain[1].isSelfSigned)
        #expect(chain[0].fingerprint.count == 32)
        #expect(chain[0].fingerprint != chain[1].fingerprint)
        #expect(Certificate.read(pem: try content(pair.key)).map(\.count) == 0)
        #expect(
            Certificate.read(pem: Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)) == nil)
        #expect(Certificate(der: [0x30, 0x03, 0x02, 0x01]) == nil)
    }

    @Test func `a certificate names its hosts and no others`() throws {
        let root = try TestAuthority()
        let extensions = ["subjectAltName=DNS:*.clinic.example,IP:192.0.2.7"]
        let certificate = try certificates(try root.issue("pacs", extensions: extensions).certificate)[0]
        for host in ["a.clinic.example", "A.Clinic.Example", "192.0.2.7"] { #expect(certificate.names(host: host)) }
        for host in ["clinic.example", "a.b.clinic.example", "192.0.2.8", "pacs"] {
            #expect(!certificate.names(host: host))
        }
    }

    @Test func `a private key fits its certificate alone, and an encrypted one needs its password`() throws {
        let root = try TestAuthority()
        let pair = try root.issue("scope")
        let certificate = try certificates(pair.certificate)[0]
        #expect(certificate.fit(ofKey: try content(pair.key), password: []) == .fits)
        #expect(certificate.fit(ofKey: try content(root.pair.key), password: []) == .ofAnother)
        #expect(certificate.fit(ofKey: try content(pair.certificate), password: []) == .unreadable)
        let locked = try content(try root.encrypted(pair.key, password: "secret"))
        #expect(certificate.fit(ofKey: locked, password: Array("secret".utf8)) == .fits)
        #expect(certificate.fit(ofKey: locked, password: Array("wrong".utf8)) == .locked)
        #expect(certificate.fit(ofKey: locked, password: []) == .locked)
    }

    @Test func `a chain leads to a trusted authority through intermediate ones`() throws {
        let root = try TestAuthority()
        let middle = try TestAuthority("middle", under: root)
        let pair = try middle.issue("scope")
        let whole = try certificates(pair.certificate, middle.pair.certificate)
        let trusted = TrustedAuthorities(certificates: try certificates(root.pair.certificate))
        #expect(trusted.refusal(of: whole, for: .server) == nil)
        #expect(trusted.refusal(of: [whole[0]], for: .server)?.isUnknownAuthority == true)
        // An intermediate authority may be trusted alone.
        let direct = TrustedAuthorities(certificates: try certificates(middle.pair.certificate))
        #expect(direct.refusal(of: [whole[0]], for: .client) == nil)
        let stranger = try TestAuthority("other")
        defer { withExtendedLifetime(stranger) {} }
        let other = TrustedAuthorities(certificates: try certificates(stranger.pair.certificate))
        #expect(other.refusal(of: whole, for: .any)?.isUnknownAuthority == true)
        // A self-signed certificate is trusted if it is among the authorities.
        let own = try certificates(try root.selfSigned("own").certificate)
        #expect(trusted.refusal(of: own, for: .any)?.isUnknownAuthority == true)
        #expect(TrustedAuthorities(certificates: own).refusal(of: own, for: .client) == nil)
    }

    @Test func `dates, purpose and strength are verified`() throws {
        let root = try TestAuthority()
        let trusted = TrustedAuthorities(certificates: try certificates(root.pair.certificate))
        func refusal(_ pair: TestAuthority.Pair, _ purpose: Certificate.Purpose = .any) throws -> TrustedAuthorities
            .Refusal?
        {
            trusted.refusal(of: try certificates(pair.certificate), for: purpose)
        }
        #expect(try refusal(try root.issue("expired", days: -10 ... -1))?.isDate == true)
        #expect(try refusal(try root.issue("future", days: 1...10))?.isDate == true)
        let server = try root.issue("server", extensions: ["extendedKeyUsage=serverAuth"])
        #expect(try refusal(server, .server) == nil)
        #expect(try refusal(server, .client) != nil)
        #expect(try refusal(try root.issue("weak", key: "1024")) != nil)
        #expect(try refusal(try root.issue("strong", key: "2048")) == nil)
    }

    @Test func `a revoked certificate is refused, and so is everybody if the list is out of date`() throws {
        let root = try TestAuthority()
        let other = try TestAuthority("other")
        let (good, bad, foreign) = (try root.issue("good"), try root.issue("bad"), try other.issue("foreign"))
        var trusted = TrustedAuthorities(certificates: try certificates(root.pair.certificate, other.pair.certificate))
        trusted.revocationLists = try #require(
            RevocationList.read(pem: try content(try root.revocationList(revoking: [bad]))))
        #expect(trusted.revocationLists.map(\.issuer.description) == ["CN=root,O=Clinic"])
        #expect(trusted.refusal(of: try certificates(good.certificate), for: .any) == nil)
        #expect(trusted.refusal(of: try certificates(bad.certificate), for: .any)?.isRevocation == true)
        // An authority without a list has revoked nothing.
        #expect(trusted.refusal(of: try certificates(foreign.certificate), for: .any) == nil)
        trusted.revocationLists = try #require(RevocationList.read(pem: try content(try root.revocationList(due: -1))))
        #expect(trusted.refusal(of: try certificates(good.certificate), for: .any)?.isOldList == true)
    }
}

@Suite struct DistinguishedNameTests {
    @Test func `a name is the same in both orders and with the spaces of every tool`() {
        let name = DistinguishedName("CN=scope 1,OU=Endoscopy,O=Clinic")
        for text in [
            "O=Clinic,OU=Endoscopy,CN=scope 1", "O = Clinic, OU = Endoscopy, CN = scope 1",
            "cn=scope 1,ou=Endoscopy,o=Clinic",
        ] {
            #expect(DistinguishedName(text) == name)
        }
        for text in ["CN=scope 1,O=Clinic,OU=Endoscopy", "CN=scope 1", "CN=Scope 1,OU=Endoscopy,O=Clinic", ""] {
            #expect(DistinguishedName(text) != name)
        }
    }

    @Test func `a comma within a value does not begin another part`() {
        #expect(DistinguishedName("CN=a\\,O=Clinic") != DistinguishedName("CN=a,O=Clinic"))
        #expect(DistinguishedName("CN=a\\,O=Clinic") == DistinguishedName("CN = a\\,O=Clinic"))
    }

    @Test func `a name needs values`() {
        #expect(DistinguishedName("CN=scope,O=Clinic").isComplete)
        for text in ["", "scope", "CN=", "=scope", "CN=scope,", "CN=scope,Clinic"] {
            #expect(!DistinguishedName(text).isComplete)
        }
    }
}
