// SPDX-License-Identifier: Apache-2.0

/// The reason why an object was not written, or does not hold the intended content.
public enum ObjectError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The source instance at `index` of the stack cannot be read.
    case source(index: Int, DataSetError)
    /// Every mask is empty, and a SEG has at least one frame.
    case nothingFound
    /// Description, sources and masks do not fit each other.
    case inconsistent(reason: String)
    /// Pixel Data would not fit into one element.
    case tooLarge(bytes: Int)
    /// The file could not be encoded or written.
    case cannotWrite(reason: String)
    /// The written file could not be read back.
    case cannotRead(DataSetError)
    /// The file that was read back differs from the intended content.
    case mismatch(reason: String)

    /// The mistake and its place.
    public var description: String {
        switch self {
        case .source(let index, let error): "could not read source instance \(index + 1): \(error)"
        case .nothingFound: "nothing was found: every mask is empty"
        case .inconsistent(let reason): "the object does not fit its sources: \(reason)"
        case .tooLarge(let bytes):
            "the object would need \(bytes) bytes of pixel data, more than one object can hold"
        case .cannotWrite(let reason): "could not write the object: \(reason)"
        case .cannotRead(let error): "could not read the object back: \(error)"
        case .mismatch(let reason): "the object read back is not the one that was meant: \(reason)"
        }
    }
}
