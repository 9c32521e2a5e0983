// SPDX-License-Identifier: Apache-2.0
//
// The rules for a UID: PS3.5 9.1. Left out: the ban on leading zeros, which some devices violate.

import Platform

/// A unique identifier: components of digits, joined by dots.
///
/// A value has at least two components and at most 64 characters. All readers of data sets, File Meta Information, PDUs
/// and routes apply this one rule.
public struct UID: Hashable, Sendable, CustomStringConvertible {
    /// The characters, without padding.
    public let text: String

    /// Takes a text without padding; `nil` if it is not a UID.
    public init?(_ text: String) {
        guard Self.isValid(text.utf8) else { return nil }
        self.text = text
    }

    /// Takes the value of an element or of a PDU's item; `nil` if it is not a UID.
    ///
    /// - Parameter bytes: may end with NULs or spaces, which some writers pad with.
    package init?(padded bytes: some BidirectionalCollection<UInt8>) {
        var value = bytes[...]
        while let last = value.last, last == 0 || last == 0x20 { value.removeLast() }
        guard Self.isValid(value) else { return nil }
        text = String(decoding: value, as: UTF8.self)
    }

    /// The characters, without padding.
    public var description: String { text }

    private static func isValid(_ bytes: some Collection<UInt8>) -> Bool {
        guard bytes.count <= 64 else { return false }
        let components = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return components.count >= 2
            && components.allSatisfy { !$0.isEmpty && $0.allSatisfy { (0x30...0x39).contains($0) } }
    }
}

/// UIDs that are computed from the content that they name, so that a job that runs twice makes the same UIDs.
///
/// A derived UID is `2.25.` and a UUID as a decimal number (PS3.5 B.2). The UUID holds the first 16 bytes of a SHA-256,
/// with the version and variant bits of a custom UUID (RFC 9562 5.8, version 8).
public enum DerivedUID {
    /// Makes the UID of an object.
    ///
    /// - Parameter fields: everything that decides the bytes of the object, in a fixed order; never a clock or a
    ///   revision. Each field is hashed after its length, so that fields do not run together.
    /// - Returns: a UID of at most 44 characters.
    public static func make(_ fields: [String]) -> String {
        var hash = SHA256()
        for field in fields { hash.update(field: Array(field.utf8)) }
        var uuid = Array(hash.finalize().prefix(16))
        uuid[6] = uuid[6] & 0x0F | 0x80
        uuid[8] = uuid[8] & 0x3F | 0x80
        let number = uuid.reduce(into: UInt128(0)) { $0 = $0 << 8 | UInt128($1) }
        return "2.25.\(number)"
    }
}

extension SHA256 {
    /// Adds a field after its length in 8 bytes, so that fields do not run together.
    mutating func update(field: [UInt8]) {
        withUnsafeBytes(of: UInt64(field.count).bigEndian) { update(bufferPointer: $0) }
        field.withUnsafeBytes { update(bufferPointer: $0) }
    }
}
