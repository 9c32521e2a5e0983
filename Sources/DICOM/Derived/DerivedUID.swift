// SPDX-License-Identifier: Apache-2.0

import Platform

/// UIDs that follow from what they name: running a job twice makes the same ones.
///
/// `2.25.` and a UUID as a decimal number (PS3.5 B.2), the UUID made of the SHA-256 over length-prefixed fields with the
/// version and variant bits of a custom UUID (RFC 9562 5.8, version 8).
public enum DerivedUID {
    /// - Parameter fields: everything that decides the bytes of the object, in a fixed order; never a clock or a revision.
    public static func make(_ fields: [String]) -> String {
        var hash = SHA256()
        for field in fields {
            let bytes = Array(field.utf8)
            withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: bytes)
        }
        var uuid = Array(hash.finalize().prefix(16))
        uuid[6] = uuid[6] & 0x0F | 0x80
        uuid[8] = uuid[8] & 0x3F | 0x80
        let number = uuid.reduce(into: UInt128(0)) { $0 = $0 << 8 | UInt128($1) }
        return "2.25.\(number)"
    }
}
