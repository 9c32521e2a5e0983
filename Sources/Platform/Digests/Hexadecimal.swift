// SPDX-License-Identifier: Apache-2.0

extension Sequence<UInt8> {
    /// Two lower-case hexadecimal digits per byte.
    public var hexadecimal: String {
        withContiguousStorageIfAvailable(digits(of:)) ?? Array(self).withUnsafeBufferPointer(digits(of:))
    }
}

private func digits(of bytes: UnsafeBufferPointer<UInt8>) -> String {
    String(unsafeUninitializedCapacity: 2 * bytes.count) { digits in
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10 }
        for (place, byte) in bytes.enumerated() {
            digits[2 * place] = digit(byte >> 4)
            digits[2 * place + 1] = digit(byte & 15)
        }
        return 2 * bytes.count
    }
}
