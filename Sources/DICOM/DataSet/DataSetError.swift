// SPDX-License-Identifier: Apache-2.0

/// Why a file was refused before anything was made of it. No case holds a value from the data set except UIDs.
public enum DataSetError: Error, Sendable, Hashable, CustomStringConvertible {
    case cannotOpen(reason: String)
    /// Neither a Part 10 file nor a bare data set.
    case notDICOM(found: String)
    /// The bytes end inside an element.
    case truncated(attribute: String, offset: Int, missing: Int)
    case nestedTooDeep(limit: Int)
    /// A length that cannot be: undefined where PS3.5 forbids it, or longer than what holds it.
    case invalidLength(attribute: String, offset: Int, length: UInt32)
    case invalidEncoding(reason: String, offset: Int)
    case tooLarge(what: String, limit: Int)
    case unsupportedTransferSyntax(uid: String)
    case missing(attribute: String)
    case invalidValue(attribute: String, reason: String)

    public var description: String {
        switch self {
        case .cannotOpen(let reason): "could not open the file: \(reason)"
        case .notDICOM(let found): "not a DICOM file: \(found)"
        case .truncated(let attribute, let offset, let missing):
            "the data set is truncated: \(attribute) at byte \(offset) lacks \(missing) bytes; send the instance again"
        case .nestedTooDeep(let limit): "sequences are nested deeper than \(limit) levels"
        case .invalidLength(let attribute, let offset, let length):
            "\(attribute) at byte \(offset) has the impossible length 0x\(String(length, radix: 16, uppercase: true))"
        case .invalidEncoding(let reason, let offset): "the data set is not well formed at byte \(offset): \(reason)"
        case .tooLarge(let what, let limit): "\(what) exceeds the limit of \(limit)"
        case .unsupportedTransferSyntax(let uid):
            "transfer syntax \(TransferSyntax.name(of: uid)) is not supported; have the sender use another"
        case .missing(let attribute): "\(attribute) is missing or empty"
        case .invalidValue(let attribute, let reason): "\(attribute) is not usable: \(reason)"
        }
    }
}
