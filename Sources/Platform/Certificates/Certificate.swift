// SPDX-License-Identifier: Apache-2.0

import CPlatform
public import Foundation

/// An X.509 certificate (RFC 5280).
// `@unchecked`: libcrypto's object is not changed after it is made, and libcrypto locks what it caches in it.
public final class Certificate: @unchecked Sendable {
    /// A kind of public key.
    public enum KeyKind: Sendable, Equatable {
        case rsa(bits: Int)
        case ellipticCurve(bits: Int)
        case other
    }

    /// What verifies a certificate's use.
    public enum Purpose: Sendable {
        case any, client, server
    }

    /// The state of a private key that should belong to a certificate.
    public enum KeyFit: Sendable, Equatable {
        case fits
        /// The text holds no private key that can be read.
        case unreadable
        /// The key is encrypted, and the password does not open it.
        case locked
        /// The key belongs to another certificate.
        case ofAnother
    }

    /// Certificates of one file at most.
    static let most = 1000

    let handle: OpaquePointer
    /// The first and the last moment of the validity.
    public let validity: ClosedRange<Date>
    /// The subject's name.
    public let subject: DistinguishedName
    /// The issuer's name.
    public let issuer: DistinguishedName

    /// - Parameter handle: a certificate that this object owns from now on.
    private init(owning handle: OpaquePointer) {
        self.handle = handle
        var begin: Int64 = 0
        var end: Int64 = 0
        _ = cplatform_certificate_validity(handle, &begin, &end)
        let first = Date(timeIntervalSince1970: Double(begin))
        validity = first...max(first, Date(timeIntervalSince1970: Double(end)))
        subject = DistinguishedName(text(owning: cplatform_certificate_subject(handle)))
        issuer = DistinguishedName(text(owning: cplatform_certificate_issuer(handle)))
    }

    deinit { cplatform_certificate_destroy(handle) }

    /// Reads one certificate; `nil` if it is malformed.
    public convenience init?(der: some Collection<UInt8>) {
        let bytes = Array(der)
        guard let handle = cplatform_certificate_decode(bytes, bytes.count) else { return nil }
        self.init(owning: handle)
    }

    /// Reads the certificates of a PEM text, in their order.
    ///
    /// - Returns: `nil` if a certificate is malformed. Everything that is not a certificate is skipped.
    public static func read(pem: [UInt8]) -> [Certificate]? {
        var handles = [OpaquePointer?](repeating: nil, count: most)
        let count = cplatform_certificates_read(pem, pem.count, &handles, Int32(most))
        guard count >= 0 else { return nil }
        return handles.prefix(Int(count)).compactMap { $0.map { Certificate(owning: $0) } }
    }

    /// The SHA-256 of the DER.
    public var fingerprint: [UInt8] {
        var hash = [UInt8](repeating: 0, count: Int(CPLATFORM_SHA256_SIZE))
        precondition(cplatform_certificate_hash(handle, &hash) == 1, "libcrypto refused to hash")
        return hash
    }

    /// The kind and the size of the public key.
    public var key: KeyKind {
        var bits: Int32 = 0
        switch cplatform_certificate_key(handle, &bits) {
        case Int32(CPLATFORM_KEY_RSA): return .rsa(bits: Int(bits))
        case Int32(CPLATFORM_KEY_EC): return .ellipticCurve(bits: Int(bits))
        default: return .other
        }
    }

    /// Whether the certificate is signed with its own key.
    public var isSelfSigned: Bool { cplatform_certificate_is_self_signed(handle) == 1 }

    /// The DNS names and the IP addresses among the subject's alternative names.
    public var names: [String] {
        text(owning: cplatform_certificate_names(handle)).split(separator: "\n").map(String.init)
    }

    /// Whether the certificate names a host, which is an IP address or a DNS name (RFC 6125).
    public func names(host: String) -> Bool { cplatform_certificate_is_for(handle, host) == 1 }

    /// Whether the private key of a PEM text belongs to this certificate.
    public func fit(ofKey pem: [UInt8], password: [UInt8]) -> KeyFit {
        let result = cplatform_certificate_check_key(handle, pem, pem.count, password, password.count)
        return switch result {
        case Int32(CPLATFORM_KEY_FITS): .fits
        case Int32(CPLATFORM_KEY_LOCKED): .locked
        case Int32(CPLATFORM_KEY_OF_ANOTHER): .ofAnother
        default: .unreadable
        }
    }
}

/// A certificate revocation list (RFC 5280 5).
// `@unchecked`: libcrypto's object is not changed after it is made, and libcrypto locks what it caches in it.
public final class RevocationList: @unchecked Sendable {
    let handle: OpaquePointer
    /// The name of the authority.
    public let issuer: DistinguishedName
    /// When the next list is due; `nil` if the list does not say it.
    public let due: Date?

    private init(owning handle: OpaquePointer) {
        self.handle = handle
        issuer = DistinguishedName(text(owning: cplatform_revocation_list_issuer(handle)))
        var seconds: Int64 = 0
        due =
            cplatform_revocation_list_due(handle, &seconds) == 1
            ? Date(timeIntervalSince1970: Double(seconds)) : nil
    }

    deinit { cplatform_revocation_list_destroy(handle) }

    /// Reads the lists of a PEM text; `nil` if one is malformed.
    public static func read(pem: [UInt8]) -> [RevocationList]? {
        var handles = [OpaquePointer?](repeating: nil, count: Certificate.most)
        let count = cplatform_revocation_lists_read(pem, pem.count, &handles, Int32(Certificate.most))
        guard count >= 0 else { return nil }
        return handles.prefix(Int(count)).compactMap { $0.map { RevocationList(owning: $0) } }
    }
}

/// The authorities and the revocation lists that certificates are verified against.
public struct TrustedAuthorities: Sendable {
    /// The reason why a certificate was not verified.
    public struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        /// libcrypto's number (X509_V_ERR).
        public let number: Int32
        /// The place of the failing certificate in the chain; 0 for the first.
        public let depth: Int

        /// libcrypto's words.
        public var description: String { String(cString: cplatform_certificate_error(number)) }
        /// Whether a certificate of the chain is revoked.
        public var isRevocation: Bool { number == 23 }
        /// Whether a revocation list is out of date.
        public var isOldList: Bool { number == 12 }
        /// Whether the chain does not lead to a trusted authority.
        public var isUnknownAuthority: Bool { [2, 18, 19, 20, 21, 27].contains(number) }
        /// Whether the date is outside the validity.
        public var isDate: Bool { number == 9 || number == 10 }
    }

    /// Every certificate is trusted, also one that another authority has issued.
    public var certificates: [Certificate]
    /// An authority without a list counts as having revoked nothing.
    public var revocationLists: [RevocationList]

    public init(certificates: [Certificate], revocationLists: [RevocationList] = []) {
        self.certificates = certificates
        self.revocationLists = revocationLists
    }

    /// Verifies the first certificate of a chain as TLS does: dates, signatures, purpose, strength and revocation.
    ///
    /// - Parameters:
    ///   - chain: the certificate and the intermediate authorities that come with it.
    ///   - purpose: the side of TLS that the certificate is for.
    /// - Returns: `nil` if the chain is good.
    public func refusal(of chain: [Certificate], for purpose: Certificate.Purpose) -> Refusal? {
        let chainHandles = chain.map { Optional($0.handle) }
        let trustedHandles = certificates.map { Optional($0.handle) }
        let listHandles = revocationLists.map { Optional($0.handle) }
        var depth: Int32 = 0
        let number = withExtendedLifetime((self, chain)) {
            cplatform_certificates_verify(
                chainHandles, Int32(chainHandles.count), trustedHandles, Int32(trustedHandles.count), listHandles,
                Int32(listHandles.count), Int32(purpose.number), &depth)
        }
        return number == 0 ? nil : Refusal(number: number, depth: Int(depth))
    }
}

extension Certificate.Purpose {
    fileprivate var number: Int {
        switch self {
        case .any: Int(CPLATFORM_PURPOSE_ANY)
        case .client: Int(CPLATFORM_PURPOSE_CLIENT)
        case .server: Int(CPLATFORM_PURPOSE_SERVER)
        }
    }
}

/// A text that libcrypto has made, which is freed.
private func text(owning pointer: UnsafeMutablePointer<CChar>?) -> String {
    guard let pointer else { return "" }
    defer { cplatform_text_destroy(pointer) }
    return String(cString: pointer)
}
