// SPDX-License-Identifier: Apache-2.0

/// The name of a DICOM application (PS3.5 6.2, VR AE): 1 to 16 characters of the default repertoire without backslash
/// and control characters; leading and trailing spaces do not count.
public struct AETitle: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    /// - Returns: nil when `text` is no AE title.
    public init?(_ text: String) {
        self.init(bytes: Array(text.utf8))
    }

    /// Reads a field of a PDU or a data set; trailing NULs, which some peers pad with, do not count either.
    init?(bytes: [UInt8]) {
        var value = bytes[...]
        while let last = value.last, last == 0x20 || last == 0 { value.removeLast() }
        while value.first == 0x20 { value.removeFirst() }
        guard (1...16).contains(value.count), value.allSatisfy({ (0x20...0x7E).contains($0) && $0 != 0x5C }) else {
            return nil
        }
        text = String(decoding: value, as: UTF8.self)
    }

    /// 16 bytes, padded with spaces.
    var paddedBytes: [UInt8] {
        Array(text.utf8) + [UInt8](repeating: 0x20, count: 16 - text.utf8.count)
    }

    public var description: String { text }
}
