// SPDX-License-Identifier: Apache-2.0

import Associations
import Foundation
import TestSupport
import Testing

@Suite struct TLSExaminationTests {
    private let authority: TestAuthority
    private let good: TestAuthority.Pair

    init() throws {
        authority = try TestAuthority()
        good = try authority.issue("node")
    }

    private func settings(
        _ pair: TestAuthority.Pair? = nil, key: String? = nil, _ change: (inout TLSSettings) -> Void = { _ in }
    ) -> TLSSettings {
        var settings = TLSSettings(
            port: 2762, certificate: (pair ?? good).certificate, key: key ?? (pair ?? good).key,
            authorities: [authority.pair.certificate])
        change(&settings)
        return settings
    }

    /// The only finding, as `severity setting`, if its text holds a word.
    private func finding(_ settings: TLSSettings, _ word: String) -> String? {
        let findings = TLSExamination(settings).findings
        guard findings.count == 1, findings[0].text.contains(word) else { return "\(findings)" }
        return "\(findings[0].severity) \(findings[0].setting)"
    }

    private func write(_ text: String, mode: mode_t = 0o600) throws -> String {
        let path = "\(authority.folder)/\(UUID())"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, mode)
        return path
    }

    @Test func `good files have no finding, and give credentials`() throws {
        let examination = TLSExamination(settings())
        #expect(examination.findings == [])
        #expect(try #require(examination.credentials).message.count > 500)
    }

    @Test func `a certificate is reported when it has ended and a month before`() throws {
        #expect(finding(settings(try authority.issue("expired", days: -10 ... -1)), "expired") == "refused certificate")
        #expect(finding(settings(try authority.issue("future", days: 2...10)), "not yet") == "refused certificate")
        #expect(
            finding(settings(try authority.issue("soon", days: -1...29)), "will expire on") == "warning certificate")
        #expect(TLSExamination(settings(try authority.issue("later", days: -1...32))).findings == [])
        // TLS works, so that the node can start.
        #expect(TLSExamination(settings(try authority.issue("old", days: -10 ... -1))).credentials != nil)
    }

    @Test func `a certificate that cannot be read is unusable`() throws {
        #expect(finding(settings { $0.certificate = "/nowhere/absent.pem" }, "absent.pem") == "unusable certificate")
        #expect(
            finding(settings { $0.certificate = good.key }, "does not hold a certificate") == "unusable certificate")
        #expect(finding(settings { $0.certificate = authority.folder }, "not a file") == "unusable certificate")
        #expect(TLSExamination(settings { $0.certificate = good.key }).credentials == nil)
        #expect(
            finding(settings(try authority.issue("weak", key: "1024")), "1024 bits").map { $0.hasPrefix("unusable") }
                != nil)
    }

    @Test func `a key has to belong to the certificate, and to its owner alone`() throws {
        let other = try authority.issue("other")
        #expect(finding(settings(key: other.key), "another certificate") == "unusable key")
        let certificate = try write(String(contentsOfFile: good.certificate, encoding: .utf8))
        #expect(finding(settings(key: certificate), "private key") == "unusable key")
        for mode in [0o640, 0o604, 0o660] as [mode_t] {
            chmod(good.key, mode)
            #expect(finding(settings(), "mode 0\(String(mode, radix: 8))") == "unusable key")
        }
        chmod(good.key, 0o400)
        #expect(TLSExamination(settings()).findings == [])
    }

    @Test func `an encrypted key needs a file with its password`() throws {
        let locked = try authority.encrypted(good.key, password: "secret")
        #expect(finding(settings(key: locked), "'keyPassword'") == "unusable key")
        func with(_ password: String) -> TLSSettings { settings(key: locked) { $0.keyPassword = password } }
        #expect(TLSExamination(with(try write("secret\n"))).findings == [])
        #expect(finding(with(try write("wrong")), "does not open") == "unusable key")
        #expect(finding(with(try write("secret", mode: 0o644)), "mode 0644") == "unusable keyPassword")
    }

    @Test func `a certificate that peers may not trust is a warning`() throws {
        #expect(finding(settings(try authority.selfSigned("own")), "self-signed") == "warning certificate")
        let other = try TestAuthority("other")
        #expect(finding(settings(try other.issue("node")), "CN=other,O=Clinic") == "warning certificate")
        let middle = try TestAuthority("middle", under: authority)
        let leaf = try middle.issue("leaf")
        #expect(finding(settings(leaf), "CN=middle,O=Clinic") == "warning certificate")
        let text = try [leaf.certificate, middle.pair.certificate].map {
            try String(contentsOfFile: $0, encoding: .utf8)
        }
        let chain = TestAuthority.Pair(certificate: try write(text.joined()), key: leaf.key)
        #expect(TLSExamination(settings(chain)).findings == [])
        #expect(
            finding(settings(try authority.issue("nameless", extensions: [])), "names no host") == "warning certificate"
        )
    }

    @Test func `revoked certificates and old lists are reported`() throws {
        let revoked = try authority.issue("revoked")
        let list = try authority.revocationList(revoking: [revoked])
        #expect(TLSExamination(settings { $0.revocationLists = [list] }).findings == [])
        #expect(finding(settings(revoked) { $0.revocationLists = [list] }, "revoked") == "refused certificate")
        let old = try authority.revocationList(due: -1)
        #expect(finding(settings { $0.revocationLists = [old] }, "out of date") == "refused revocationLists")
        #expect(finding(settings { $0.revocationLists = [good.key] }, "revocation list") == "unusable revocationLists")
    }

    @Test func `verifying callers needs authorities`() {
        #expect(
            finding(settings { $0.authorities = [good.key] }, "does not hold").map { $0.contains("authorities") }
                == true)
        let none = TLSExamination(settings { $0.authorities = [] }).findings
        #expect(none.contains { $0.severity == .unusable && $0.setting == "authorities" })
        let open = TLSExamination(settings { ($0.authorities, $0.clients) = ([], .none) })
        #expect(open.credentials != nil)
    }
}
