// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// A DICOM Segmentation object: PS3.3 A.51.
public enum SegmentationInstance {
    /// Writes one segment of one stack as a Part 10 file, Explicit VR Little Endian.
    ///
    /// - Parameters:
    ///   - sources: the source instances, in stack order.
    ///   - masks: one for each frame of the sources, in their order, on the source grid. Frames whose mask is empty are
    ///     left out.
    ///   - probabilities: of the same shape, 0...1; needed for `.fractional` only.
    /// - Returns: the number of frames written.
    @discardableResult
    public static func write(
        _ description: SegmentationDescription, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = [], to path: String
    ) throws(SegmentationError) -> Int {
        throw .nothingFound
    }
}
