// SPDX-License-Identifier: Apache-2.0

/// Why a SEG was not written, or does not hold what was meant.
public enum SegmentationError: Error, Sendable, Hashable, CustomStringConvertible {
    case source(index: Int, DataSetError)
    /// Every mask is empty: there is no SEG without frames.
    case nothingFound
    case inconsistent(reason: String)
    case tooLarge(bytes: Int)
    case cannotWrite(reason: String)
    case cannotRead(DataSetError)
    /// What was read back differs from what was meant.
    case mismatch(reason: String)

    public var description: String {
        switch self {
        case .source(let index, let error): "could not read source instance \(index + 1): \(error)"
        case .nothingFound: "nothing was found: every mask is empty"
        case .inconsistent(let reason): "the segmentation does not fit its sources: \(reason)"
        case .tooLarge(let bytes):
            "the segmentation would need \(bytes) bytes of pixel data, more than one object holds"
        case .cannotWrite(let reason): "could not write the segmentation: \(reason)"
        case .cannotRead(let error): "could not read the segmentation back: \(error)"
        case .mismatch(let reason): "the segmentation read back is not the one that was meant: \(reason)"
        }
    }
}
