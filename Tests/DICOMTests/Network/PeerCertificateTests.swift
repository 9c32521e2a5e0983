// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import TestSupport
import Testing

/// A peer is who its certificate says, bound to its AE title.
@Suite struct PeerCertificateTests {
    private static let title = AETitle("ENDO1")!
    private static let address = IPAddress("10.1.0.7")!
    private static let certificate = PeerCertificate(
        encoded: [1], subject: "CN=scope,O=Clinic", issuer: "CN=middle,O=Clinic",
        chain: [[UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32), [UInt8](repeating: 3, count: 32)])

    private func found(_ rule: CertificateRule?, tls: Bool = true, host: String? = nil, over security: CallSecurity)
        -> PeerDirectory.Found
    {
        let peer = Peer(
            name: "scope", aeTitle: Self.title, host: host, from: [AddressBlock("10.1.0.0/16")!], tls: tls,
            certificate: rule)
        return PeerDirectory([peer]).peer(calling: Self.title, from: Self.address, over: security)
    }

    private func isFound(_ rule: CertificateRule) -> Bool {
        if case .peer = found(rule, over: .tls(Self.certificate)) { true } else { false }
    }

    @Test func `each condition of a rule has to be fulfilled`() {
        let (own, subject) = ([UInt8](repeating: 1, count: 32), DistinguishedName("O=Clinic,CN=scope"))
        let (middle, root) = ([UInt8](repeating: 2, count: 32), [UInt8](repeating: 3, count: 32))
        #expect(isFound(CertificateRule(fingerprint: own)))
        #expect(isFound(CertificateRule(subject: subject)))
        for authority in [
            CertificateRule.Authority.name(DistinguishedName("CN=middle,O=Clinic")), .fingerprint(middle),
            .fingerprint(root),
        ] { #expect(isFound(CertificateRule(subject: subject, authority: authority))) }
        #expect(!isFound(CertificateRule(fingerprint: middle)))
        #expect(!isFound(CertificateRule(subject: DistinguishedName("CN=other,O=Clinic"))))
        #expect(!isFound(CertificateRule(fingerprint: own, subject: DistinguishedName("CN=other,O=Clinic"))))
        // A certificate is not its own authority.
        #expect(!isFound(CertificateRule(subject: subject, authority: .fingerprint(own))))
        #expect(!isFound(CertificateRule(subject: subject, authority: .name(DistinguishedName("CN=other")))))
    }

    @Test func `another one's certificate with the right title is refused`() {
        let rule = CertificateRule(subject: DistinguishedName("CN=other,O=Clinic"))
        #expect(found(rule, over: .tls(Self.certificate)) == .refused(.ofAnother))
        #expect(found(rule, over: .tls(nil)) == .refused(.missing))
        #expect(found(rule, over: .plain) == .refused(.plain))
        for refusal in [CertificateRefusal.plain, .missing, .ofAnother] {
            #expect("\(refusal)".contains("certificate"))
        }
    }

    @Test func `a peer with TLS calls over TLS alone, and a peer without it in any way`() {
        #expect(found(nil, over: .plain) == .refused(.plain))
        for security in [CallSecurity.plain, .tls(nil), .tls(Self.certificate)] {
            if case .peer = found(nil, tls: false, over: security) { continue }
            Issue.record("refused over \(security)")
        }
    }

    @Test func `without a rule for one certificate, the certificate has to name the peer's host`() throws {
        let authority = try TestAuthority()
        func certificate(_ host: String) throws -> PeerCertificate {
            let path = try authority.issue("scope", extensions: ["subjectAltName=DNS:\(host)"]).certificate
            let base64 = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
                .filter { !$0.hasPrefix("-") }.joined()
            let encoded = Array(try #require(Data(base64Encoded: base64)))
            return PeerCertificate(
                encoded: encoded, subject: "CN=scope,O=Clinic", issuer: "CN=root,O=Clinic", chain: [])
        }
        let (right, wrong) = (try certificate("scope.example"), try certificate("other.example"))
        let authorityRule = CertificateRule(authority: .name(DistinguishedName("CN=root,O=Clinic")))
        for rule in [nil, authorityRule] {
            #expect(found(rule, host: "scope.example", over: .tls(wrong)) == .refused(.ofAnother))
            if case .peer = found(rule, host: "scope.example", over: .tls(right)) { continue }
            Issue.record("the right certificate is refused")
        }
        let subjectRule = CertificateRule(subject: DistinguishedName("CN=scope,O=Clinic"))
        if case .peer = found(subjectRule, host: "scope.example", over: .tls(wrong)) {
        } else {
            Issue.record("a rule for one subject does not need the host")
        }
    }

    @Test func `two peers with one title and address are told apart by their certificates`() {
        let peers = ["other", "scope"].map {
            Peer(
                name: $0, aeTitle: Self.title, from: [AddressBlock("10.1.0.0/16")!], tls: true,
                certificate: CertificateRule(subject: DistinguishedName("CN=\($0),O=Clinic")))
        }
        let found = PeerDirectory(peers).peer(calling: Self.title, from: Self.address, over: .tls(Self.certificate))
        #expect(found == .peer(peers[1]))
    }
}
