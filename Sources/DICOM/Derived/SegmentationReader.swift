// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Reads a SEG back, by code that shares nothing with the packer.
public enum SegmentationReader {
    /// Compares a SEG with what was meant, frame by frame: pixels, source UIDs, frame numbers and positions.
    ///
    /// - Parameters: as `SegmentationInstance.write` was given them.
    public static func verify(
        path: String, type: SegmentationType, sources: [SegmentationSource], masks: [Mask],
        probabilities: [[Float]] = []
    ) throws(SegmentationError) {
        throw .nothingFound
    }
}
