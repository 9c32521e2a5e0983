// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
package import Foundation
import Pipeline
import Platform
import Routing

/// Reads the section `node.tls`, and the certificates of peers.
enum TLSReader {
    private static let keys = [
        "port", "certificate", "key", "keyPassword", "authorities", "revocationLists", "clients", "profile",
    ]

    /// Reads `node.tls`.
    ///
    /// - Parameters:
    ///   - node: the section.
    ///   - folder: where relative paths start.
    /// - Returns: `nil` after a complaint.
    static func settings(_ node: ConfigurationNode, folder: String) -> TLSSettings? {
        let section = node.section(keys)
        func path(_ place: ConfigurationNode?) -> String? {
            place?.scalar(expecting: "the path of a PEM file") { $0.isEmpty ? nil : absolute($0, in: folder) }
        }
        func paths(_ key: String) -> [String] {
            guard let place = section[key] else { return [] }
            guard case .list = place.value.content else { return path(place).map { [$0] } ?? [] }
            return place.elements(expecting: "paths of PEM files").compactMap { path($0) }
        }
        let certificate = path(section.required("certificate", "a PEM file with the node's certificate and its chain"))
        let key = path(section.required("key", "a PEM file with the private key of 'certificate'"))
        let port = section["port"]?.integer(0...65535, what: "a port").map { UInt16($0) }
        let password = section["keyPassword"]?.scalar(expecting: "the path of a file that holds the password of 'key'")
        {
            $0.isEmpty ? nil : absolute($0, in: folder)
        }
        guard let certificate, let key else { return nil }
        return TLSSettings(
            port: port, certificate: certificate, key: key, keyPassword: password, authorities: paths("authorities"),
            revocationLists: paths("revocationLists"),
            clients: section["clients"]?.choice(TLSSettings.Clients.self) ?? .required,
            profile: section["profile"]?.choice(TLSSettings.Profile.self) ?? .bcp195)
    }

    /// Reads the section `certificate` of a peer.
    static func rule(_ node: ConfigurationNode) -> CertificateRule? {
        let section = node.section(["fingerprint", "subject", "authority"])
        let nameForm = "a name as in 'CN=scope,O=Clinic' (openssl x509 -noout -subject -nameopt RFC2253)"
        let fingerprint = section["fingerprint"]?.scalar(
            expecting: "a SHA-256: 64 hexadecimal digits (openssl x509 -noout -fingerprint -sha256)", Self.fingerprint)
        let subject = section["subject"]?.scalar(expecting: nameForm, name)
        let authority = section["authority"]?.scalar(
            expecting: "the authority's SHA-256, or \(nameForm)"
        ) { text -> CertificateRule.Authority? in
            Self.fingerprint(text).map { .fingerprint($0) } ?? name(text).map { .name($0) }
        }
        if ["fingerprint", "subject", "authority"].allSatisfy({ section[$0] == nil }) {
            node.complain("give 'fingerprint', 'subject' or 'authority' of the peer's certificate")
            return nil
        }
        return CertificateRule(fingerprint: fingerprint, subject: subject, authority: authority)
    }

    /// Complains about peers whose `tls` does not fit the node's.
    static func check(_ peers: [PeerReader.ReadPeer], _ tls: TLSSettings?, _ problems: ProblemList) {
        for found in peers where found.isComplete && found.peer.tls {
            let peer = found.peer
            let mayCall = !peer.may.isEmpty
            guard let tls else {
                // A section with an error is not missing.
                guard problems.problems.isEmpty else { continue }
                problems.add(
                    found.place,
                    "peer '\(peer.name)' has 'tls', but 'node.tls' is missing; add it with 'certificate' and 'key'")
                continue
            }
            if peer.isCallable, tls.authorities.isEmpty {
                problems.add(
                    found.place,
                    "peer '\(peer.name)' is called over TLS, but its certificate could not be verified; add "
                        + "'authorities' to 'node.tls'")
            }
            if mayCall, tls.port == nil, !peer.isCallable {
                problems.add(
                    found.place, "peer '\(peer.name)' has to call over TLS, but 'node.tls.port' is missing; add it")
            }
            if mayCall, tls.port != nil, tls.clients == .none, peer.certificate != nil {
                problems.add(
                    found.place,
                    "peer '\(peer.name)' has a 'certificate', but 'node.tls.clients: none' does not ask callers for one; "
                        + "say 'required' or 'requested'")
            }
            if mayCall, tls.port != nil, tls.clients != .none, peer.host == nil, peer.certificate == nil {
                problems.add(
                    found.place,
                    "any certificate of the authorities could call as peer '\(peer.name)'; add 'certificate' with "
                        + "'fingerprint', 'subject' or 'authority'")
            }
        }
    }

    private static func fingerprint(_ text: String) -> [UInt8]? {
        let digits = text.filter { $0 != ":" }
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        var rest = digits[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    private static func name(_ text: String) -> DistinguishedName? {
        let name = DistinguishedName(text)
        return name.isComplete ? name : nil
    }
}

extension NodeConfiguration {
    /// Reads the certificates and keys of `node.tls`.
    ///
    /// - Parameters:
    ///   - toServe: whether the node is about to start. It starts with a certificate that has expired, because plain
    ///     DICOM still works, and `NodeCertificates` logs that.
    ///   - now: the time at which the certificates have to be valid.
    /// - Returns: what somebody should look at, one sentence each.
    /// - Throws: `ConfigurationError` with everything that is wrong.
    @discardableResult
    package func checkCertificates(toServe: Bool = false, now: Date = Date()) throws(ConfigurationError) -> [String] {
        guard let tls = listener.tls else { return [] }
        let problems = ProblemList(file: file ?? "built-in configuration")
        var warnings: [String] = []
        for finding in TLSExamination(tls, now: now).findings {
            switch finding.severity {
            case .refused where toServe: break
            case .unusable, .refused:
                problems.add(
                    machinePlaces.tls[finding.setting] ?? machinePlaces.tls[""] ?? ConfigurationPlace(), finding.text)
            case .warning: warnings.append("node.tls.\(finding.setting): \(finding.text)")
            }
        }
        try problems.check()
        return warnings
    }
}
