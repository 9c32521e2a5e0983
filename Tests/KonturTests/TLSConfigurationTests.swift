// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Kontur
import Pipeline
import Platform
import TestSupport
import Testing

@Suite struct TLSConfigurationTests {
    private static let tls = "tls: {port: 2762, certificate: node.pem, key: /keys/node.key, authorities: root.pem}"

    private func problems(_ node: String, _ peer: String) -> [String] {
        ConfigurationTests.problems("node: {\(node)}\npeers:\n  - {name: scope, aeTitle: ENDO1, \(peer)}\n")
    }

    @Test func `the settings of TLS are read, with paths from the file's folder`() throws {
        let configuration = try ConfigurationTests.configuration(
            """
            node:
              tls:
                port: 2762
                certificate: node.pem
                key: /keys/node.key
                keyPassword: node.password
                authorities: [root.pem, other.pem]
                revocationLists: root.crl
                clients: requested
                profile: extended
            peers:
              - name: scope
                aeTitle: ENDO1
                from: [10.1.0.0/24]
                certificate:
                  fingerprint: "\(Array(repeating: "AB", count: 32).joined(separator: ":"))"
                  subject: "O = Clinic, CN = scope"
                  authority: "CN=root,O=Clinic"
            """)
        #expect(
            configuration.listener.tls
                == TLSSettings(
                    port: 2762, certificate: "/etc/kontur/node.pem", key: "/keys/node.key",
                    keyPassword: "/etc/kontur/node.password",
                    authorities: ["/etc/kontur/root.pem", "/etc/kontur/other.pem"],
                    revocationLists: ["/etc/kontur/root.crl"], clients: .requested, profile: .extended))
        let peer = try #require(configuration.peers.first)
        #expect(peer.tls)
        #expect(
            peer.certificate
                == CertificateRule(
                    fingerprint: [UInt8](repeating: 0xAB, count: 32), subject: DistinguishedName("CN=scope,O=Clinic"),
                    authority: .name(DistinguishedName("CN=root,O=Clinic"))))
    }

    @Test func `settings that leave a peer unknown are errors`() {
        let from = "from: [10.1.0.0/24]"
        let cases: [(node: String, peer: String, words: String)] = [
            ("port: 104", "\(from), tls: true", "'node.tls' is missing"),
            (Self.tls, "\(from), tls: true", "any certificate of the authorities could call"),
            (Self.tls, "\(from), tls: false, certificate: {subject: 'CN=a'}", "over TLS alone"),
            (Self.tls, "\(from), certificate: {}", "give 'fingerprint', 'subject' or 'authority'"),
            (Self.tls, "\(from), certificate: {fingerprint: abc}", "64 hexadecimal digits"),
            (Self.tls, "\(from), certificate: {subject: scope}", "a name as in"),
            (
                "tls: {certificate: a.pem, key: a.key, authorities: a.pem}", "\(from), certificate: {subject: 'CN=a'}",
                "'node.tls.port' is missing"
            ),
            (
                "tls: {port: 2762, certificate: a.pem, key: a.key, clients: none}",
                "\(from), certificate: {subject: 'CN=a'}",
                "does not ask callers"
            ),
            (
                "tls: {port: 2762, certificate: a.pem, key: a.key, clients: none}", "host: pacs, port: 104, tls: true",
                "could not be verified"
            ),
            ("tls: {port: 2762, key: a.key}", from, "'certificate' is missing"),
            ("port: 2762, \(Self.tls)", from, "also the port for plain DICOM"),
        ]
        for (node, peer, words) in cases {
            let found = problems(node, peer)
            #expect(found.count == 1 && found[0].contains(words), "\(node), \(peer): \(found)")
        }
        #expect(problems(Self.tls, "\(from), certificate: {subject: 'CN=scope,O=Clinic'}") == [])
        #expect(problems(Self.tls, "host: scope.example, port: 104, tls: true") == [])
    }

    @Test func `the check of certificates names the line, and a node starts with one that has expired`() throws {
        let authority = try TestAuthority()
        func check(_ pair: TestAuthority.Pair, toServe: Bool = false) throws -> [String] {
            let configuration = try NodeConfiguration(
                yaml: """
                    node:
                      tls:
                        certificate: \(pair.certificate)
                        key: \(pair.key)
                        authorities: \(authority.pair.certificate)
                    """, file: "kontur.yaml", folder: "/", segmenters: [])
            do throws(ConfigurationError) {
                return try configuration.checkCertificates(toServe: toServe)
            } catch {
                return error.problems.map(\.description)
            }
        }
        let expired = try check(try authority.issue("expired", days: -9 ... -2))
        #expect(expired.count == 1 && expired[0].hasPrefix("kontur.yaml:3:18: node.tls.certificate: "), "\(expired)")
        #expect(try check(try authority.issue("old", days: -9 ... -2), toServe: true) == [])
        let soon = try check(try authority.issue("soon", days: -1...10))
        #expect(soon.count == 1 && soon[0].contains("will expire"), "\(soon)")
        #expect(try check(try authority.issue("good")) == [])
    }
}
