// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Platform

/// Reads the files of TLS settings, and tells what is wrong with them.
///
/// The texts name files, dates and settings, and nothing that a peer has sent.
public struct TLSExamination: Sendable {
    /// How bad a finding is.
    public enum Severity: Sendable, Equatable {
        /// TLS cannot be set up.
        case unusable
        /// TLS can be set up, but peers will refuse the node, or the node will refuse peers.
        case refused
        /// Somebody should look at it.
        case warning
    }

    /// One thing that is wrong.
    public struct Finding: Sendable, Equatable {
        public let severity: Severity
        /// The setting of `TLSSettings`.
        public let setting: String
        /// What is wrong, and what to do.
        public let text: String
    }

    /// How long before its end a certificate is reported.
    public static let notice: TimeInterval = 30 * 86_400
    /// Bytes of a file at most.
    private static let mostBytes: Int64 = 4 << 20

    /// Everything that is wrong, in the order of the settings.
    public private(set) var findings: [Finding] = []
    /// The content of the files; `nil` if TLS cannot be set up.
    public private(set) var credentials: TLSCredentials?
    private let settings: TLSSettings
    private let now: Date

    /// - Parameters:
    ///   - settings: the paths are absolute.
    ///   - now: the time that certificates have to be valid at.
    public init(_ settings: TLSSettings, now: Date = Date()) {
        self.settings = settings
        self.now = now
        let (certificateBytes, chain) = readChain()
        let password = readPassword()
        let key = readKey(of: chain.first, password: password)
        let (authorityBytes, authorities) = readAuthorities()
        let (listBytes, lists) = readLists(of: authorities)
        if let own = chain.first {
            examine(own, chain, TrustedAuthorities(certificates: authorities, revocationLists: lists))
        }
        if findings.contains(where: { $0.severity == .unusable }) { return }
        credentials = TLSCredentials(
            profile: settings.profile, clients: settings.clients, certificate: certificateBytes, key: key,
            password: password, authorities: authorityBytes, revocationLists: listBytes)
    }

    private mutating func find(_ severity: Severity, _ setting: String, _ text: String) {
        findings.append(Finding(severity: severity, setting: setting, text: text))
    }

    // MARK: Files

    /// The content of a file; `nil` after a finding.
    private mutating func read(_ path: String, _ setting: String) -> [UInt8]? {
        do throws(SystemCallError) {
            guard try FileSystem.kind(of: path) == .file else {
                find(.unusable, setting, "\(path) is not a file")
                return nil
            }
            guard FileSystem.size(path) ?? 0 <= Self.mostBytes else {
                find(.unusable, setting, "\(path) is longer than 4 MiB; give a file of PEM texts")
                return nil
            }
        } catch {
            find(.unusable, setting, "\(path) cannot be read: \(error.reason)")
            return nil
        }
        if let data = FileManager.default.contents(atPath: path) { return Array(data) }
        find(.unusable, setting, "\(path) cannot be read by the user of this process")
        return nil
    }

    /// The content of a file that only its owner may read; `nil` after a finding.
    private mutating func readSecret(_ path: String, _ setting: String) -> [UInt8]? {
        guard let bytes = read(path, setting) else { return nil }
        if let mode = try? FileSystem.mode(of: path), mode & 0o077 != 0 {
            let digits = String(mode, radix: 8)
            find(
                .unusable, setting,
                "\(path) has mode 0\(digits), so that others than its owner can use it; run 'chmod 600 \(path)'")
        }
        return bytes
    }

    private mutating func readChain() -> ([UInt8], [Certificate]) {
        guard let bytes = read(settings.certificate, "certificate") else { return ([], []) }
        guard let chain = Certificate.read(pem: bytes), !chain.isEmpty else {
            find(
                .unusable, "certificate",
                "\(settings.certificate) does not hold a certificate; give a PEM file ('BEGIN CERTIFICATE')")
            return ([], [])
        }
        return (bytes, chain)
    }

    private mutating func readPassword() -> [UInt8] {
        guard let path = settings.keyPassword, var bytes = readSecret(path, "keyPassword") else { return [] }
        while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
        if bytes.isEmpty { find(.unusable, "keyPassword", "\(path) is empty; write the password of 'key' into it") }
        return bytes
    }

    private mutating func readKey(of certificate: Certificate?, password: [UInt8]) -> [UInt8] {
        let path = settings.key
        guard let bytes = readSecret(path, "key") else { return [] }
        switch certificate?.fit(ofKey: bytes, password: password) {
        case nil, .fits: break
        case .unreadable:
            find(.unusable, "key", "\(path) does not hold a private key; give a PEM file ('BEGIN PRIVATE KEY')")
        case .locked:
            let advice =
                settings.keyPassword.map { "the password in \($0) does not open it; correct the file" }
                ?? "give the file with its password as 'keyPassword'"
            find(.unusable, "key", "\(path) is encrypted; \(advice)")
        case .ofAnother:
            find(.unusable, "key", "\(path) is the key of another certificate than \(settings.certificate)")
        }
        return bytes
    }

    private mutating func readAuthorities() -> ([UInt8], [Certificate]) {
        var bytes: [UInt8] = []
        var authorities: [Certificate] = []
        for path in settings.authorities {
            guard let content = read(path, "authorities") else { continue }
            guard let found = Certificate.read(pem: content), !found.isEmpty else {
                find(.unusable, "authorities", "\(path) does not hold a certificate; give a PEM file")
                continue
            }
            bytes += content + [0x0A]
            authorities += found
            for authority in found {
                examineDates(of: authority, "the authority \(authority.subject) in \(path)", "authorities")
            }
        }
        if settings.authorities.isEmpty, settings.clients != .none {
            find(
                .unusable, "authorities",
                "'authorities' is missing: nobody's certificate could be verified; give the authorities' PEM file")
        }
        return (bytes, authorities)
    }

    private mutating func readLists(of authorities: [Certificate]) -> ([UInt8], [RevocationList]) {
        var bytes: [UInt8] = []
        var lists: [RevocationList] = []
        for path in settings.revocationLists {
            guard let content = read(path, "revocationLists") else { continue }
            guard let found = RevocationList.read(pem: content), !found.isEmpty else {
                find(
                    .unusable, "revocationLists",
                    "\(path) does not hold a revocation list; give a PEM file ('BEGIN X509 CRL')")
                continue
            }
            bytes += content + [0x0A]
            lists += found
            for list in found {
                if let due = list.due, due < now {
                    find(
                        .refused, "revocationLists",
                        "the list of \(list.issuer) in \(path) is out of date since \(Self.day(due)): certificates of "
                            + "this authority are refused; get the new list")
                }
                if !authorities.contains(where: { $0.subject == list.issuer }) {
                    find(
                        .warning, "revocationLists",
                        "the list of \(list.issuer) in \(path) belongs to none of 'authorities'")
                }
            }
        }
        guard !lists.isEmpty else { return (bytes, lists) }
        for authority in authorities where !lists.contains(where: { $0.issuer == authority.subject }) {
            find(
                .warning, "revocationLists",
                "the authority \(authority.subject) has no list here: its certificates count as not revoked")
        }
        return (bytes, lists)
    }

    // MARK: The node's certificate

    private mutating func examine(_ own: Certificate, _ chain: [Certificate], _ trusted: TrustedAuthorities) {
        let path = settings.certificate
        switch own.key {
        case .rsa(let bits) where bits < 2048:
            find(.unusable, "certificate", "\(path) has an RSA key of \(bits) bits; BCP 195 asks for 2048 or more")
        case .ellipticCurve(let bits) where bits < 256:
            find(.unusable, "certificate", "\(path) has an elliptic key of \(bits) bits; use P-256 or a larger curve")
        case .other:
            find(
                .unusable, "certificate",
                "\(path) has a key that is neither RSA nor of an elliptic curve (P-256, P-384)")
        case .rsa, .ellipticCurve: break
        }
        examineDates(of: own, "the certificate \(path)", "certificate")
        for (one, next) in zip(chain, chain.dropFirst()) where one.issuer != next.subject {
            find(
                .warning, "certificate",
                "\(path) is out of order: \(next.subject) has not issued \(one.subject); put each certificate before the "
                    + "one of its authority")
        }
        if own.names.isEmpty {
            find(.warning, "certificate", "\(path) names no host (subjectAltName): peers that check the name refuse it")
        }
        examineChain(own, chain, trusted)
    }

    private mutating func examineChain(_ own: Certificate, _ chain: [Certificate], _ trusted: TrustedAuthorities) {
        let path = settings.certificate
        guard let refusal = trusted.refusal(of: chain, for: .any) else {
            for (purpose, words) in [(Certificate.Purpose.server, "serverAuth"), (.client, "clientAuth")]
            where purpose == .client || settings.port != nil {
                if trusted.refusal(of: chain, for: purpose) != nil {
                    find(
                        .warning, "certificate",
                        "\(path) is not made for \(words) (extended key usage): peers may refuse it")
                }
            }
            return
        }
        switch refusal {
        // The dates and the lists have their own findings.
        case _ where refusal.isOldList || refusal.isDate: break
        case _ where refusal.isRevocation:
            find(.refused, "certificate", "\(path) is revoked, or an authority in its chain is; get a new certificate")
        case _ where own.isSelfSigned:
            find(
                .warning, "certificate",
                "\(path) is self-signed: each peer has to be given this certificate as an authority")
        case _ where refusal.isUnknownAuthority:
            let missing = chain.last?.issuer ?? own.issuer
            find(
                .warning, "certificate",
                "\(path) leads to the authority \(missing), which is not among 'authorities': only peers that trust it "
                    + "accept the node; if it is an intermediate authority, append its certificate to the file")
        default: find(.refused, "certificate", "\(path) does not stand a verification: \(refusal)")
        }
    }

    private mutating func examineDates(of certificate: Certificate, _ name: String, _ setting: String) {
        let (begin, end) = (certificate.validity.lowerBound, certificate.validity.upperBound)
        if end < now {
            find(.refused, setting, "\(name) has expired on \(Self.day(end)); get a new one")
        } else if begin > now {
            find(.refused, setting, "\(name) is valid from \(Self.day(begin)) on, and not yet")
        } else if end < now + Self.notice {
            let days = Int(end.timeIntervalSince(now) / 86_400)
            find(
                .warning, setting,
                "\(name) will expire on \(Self.day(end)), in \(days == 1 ? "1 day" : "\(days) days"); renew it in time")
        }
    }

    private static func day(_ date: Date) -> String {
        date.formatted(.iso8601.year().month().day())
    }
}
