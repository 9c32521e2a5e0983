// SPDX-License-Identifier: Apache-2.0

/// The status of a DIMSE response (PS3.7 annex C).
public struct DIMSEStatus: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The value of Status (0000,0900).
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    // Statuses of every service class (PS3.7 annex C).
    /// 0000: the operation succeeded.
    public static let success = DIMSEStatus(rawValue: 0x0000)
    /// 0110: a failure of the performer (C.5.15).
    public static let processingFailure = DIMSEStatus(rawValue: 0x0110)
    /// 0117: the UID is not valid (C.5.7).
    public static let invalidSOPInstance = DIMSEStatus(rawValue: 0x0117)
    /// 0122: the SOP class is not supported (C.5.19).
    public static let sopClassNotSupported = DIMSEStatus(rawValue: 0x0122)
    /// 0211: the operation is not known.
    public static let unrecognizedOperation = DIMSEStatus(rawValue: 0x0211)

    // Statuses of the storage service class (PS3.4 table B.2-1).
    /// A700: the storage SCP lacks resources now.
    public static let outOfResources = DIMSEStatus(rawValue: 0xA700)
    /// C000: the data set cannot be understood.
    public static let cannotUnderstand = DIMSEStatus(rawValue: 0xC000)

    /// Whether the operation was done, with a warning (PS3.7 annex C.4, PS3.4 table B.2-1).
    ///
    /// 0001: requested optional attributes are not supported. 0107: attribute list error. 0116: attribute value out of
    /// range. Bxxx: warnings of the service class, such as B000, B006 and B007 of storage.
    public var isWarning: Bool { [0x0001, 0x0107, 0x0116].contains(rawValue) || rawValue & 0xF000 == 0xB000 }

    /// Four hexadecimal digits, as the standard writes them.
    public var description: String {
        let digits = String(rawValue, radix: 16, uppercase: true)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}
