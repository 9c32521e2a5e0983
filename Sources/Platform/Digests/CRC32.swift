// SPDX-License-Identifier: Apache-2.0

import CPlatform

/// The CRC-32 of zip and PNG files (ISO 3309), computed by zlib.
public struct CRC32: Sendable {
    /// The checksum of all bytes so far.
    public private(set) var value: UInt32 = 0

    public init() {}

    /// The checksum of some bytes.
    public init(_ bytes: UnsafeRawBufferPointer) { update(bytes) }

    /// Adds bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = cplatform_crc32(value, bytes.baseAddress, bytes.count)
    }
}
