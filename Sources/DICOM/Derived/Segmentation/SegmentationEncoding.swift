// SPDX-License-Identifier: Apache-2.0

/// The encoding of masks in Pixel Data, by the value of Segmentation Type (0062,0001): PS3.3 C.8.20.2.3.
public enum SegmentationEncoding: String, Sendable, Hashable {
    /// One bit per pixel.
    case binary = "BINARY"
    /// One byte per pixel: a probability of 0...1 scaled to 0...255 (Segmentation Fractional Type PROBABILITY).
    case fractional = "FRACTIONAL"
    /// One byte per pixel: the number of the segment to which the pixel belongs, or 0 for the background.
    case labelMap = "LABELMAP"

    /// SOP Class UID of objects with this encoding.
    var sopClassUID: String { self == .labelMap ? SOPClass.labelMapSegmentation : SOPClass.segmentation }

    /// Bits Allocated and Bits Stored.
    var bits: Int { self == .binary ? 1 : 8 }
}

extension ObjectDescription {
    /// The encoding of a SEG.
    ///
    /// A label map does not hold probabilities, so it holds the masks of a fractional answer.
    public var encoding: SegmentationEncoding {
        if case .segmentation(let profile) = kind, ViewerProfile.named(profile).isLabelMap { return .labelMap }
        return type == .binary ? .binary : .fractional
    }
}
