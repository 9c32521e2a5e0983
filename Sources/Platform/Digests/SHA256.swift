// SPDX-License-Identifier: Apache-2.0

import CPlatform
public import Foundation

/// SHA-256 (FIPS 180-4), computed by libcrypto.
///
/// A copy is independent of the original.
public struct SHA256: Sendable {
    /// The 32 bytes of a hash.
    public struct Digest: Sequence, Hashable, Sendable {
        fileprivate var bytes: [UInt8]

        public func makeIterator() -> IndexingIterator<[UInt8]> { bytes.makeIterator() }
        public var underestimatedCount: Int { bytes.count }
        public func withContiguousStorageIfAvailable<Result>(
            _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
        ) rethrows -> Result? {
            try bytes.withContiguousStorageIfAvailable(body)
        }
    }

    /// Owns libcrypto's state.
    // `@unchecked`: a state changes only while exactly one SHA256 value refers to it.
    private final class State: @unchecked Sendable {
        let digest: OpaquePointer

        /// - Parameter digest: `nil` if memory is exhausted.
        init(_ digest: OpaquePointer?) {
            guard let digest else { preconditionFailure("libcrypto has no memory for a digest") }
            self.digest = digest
        }

        deinit { cplatform_sha256_destroy(digest) }
    }

    private var state = State(cplatform_sha256_create())

    /// Begins a hash, before any bytes are added.
    public init() {}

    /// Adds bytes.
    public mutating func update(bufferPointer bytes: UnsafeRawBufferPointer) {
        if !isKnownUniquelyReferenced(&state) { state = State(cplatform_sha256_copy(state.digest)) }
        let status = cplatform_sha256_update(state.digest, bytes.baseAddress, bytes.count)
        precondition(status == 1, "libcrypto refused to hash")
    }

    /// Adds bytes, for instance a `Data` or an array.
    public mutating func update(data: some DataProtocol) {
        for region in data.regions { region.withUnsafeBytes { update(bufferPointer: $0) } }
    }

    /// The hash of all bytes so far.
    ///
    /// More bytes can be added afterwards.
    public func finalize() -> Digest {
        let end = State(cplatform_sha256_copy(state.digest))
        var bytes = [UInt8](repeating: 0, count: Int(CPLATFORM_SHA256_SIZE))
        let status = cplatform_sha256_finish(end.digest, &bytes)
        precondition(status == 1, "libcrypto refused to hash")
        return Digest(bytes: bytes)
    }

    /// The hash of some bytes.
    public static func hash(data: some DataProtocol) -> Digest {
        var hasher = SHA256()
        hasher.update(data: data)
        return hasher.finalize()
    }

    /// The hash of some bytes.
    public static func hash(data: [UInt8]) -> Digest {
        var hasher = SHA256()
        data.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return hasher.finalize()
    }

    /// HMAC-SHA-256 (RFC 2104) of some bytes.
    public static func authenticationCode(for data: Data, key: [UInt8]) -> Digest {
        var code = [UInt8](repeating: 0, count: Int(CPLATFORM_SHA256_SIZE))
        let status = data.withUnsafeBytes {
            cplatform_hmac_sha256(key, key.count, $0.baseAddress, $0.count, &code)
        }
        precondition(status == 1, "libcrypto refused to hash")
        return Digest(bytes: code)
    }
}
