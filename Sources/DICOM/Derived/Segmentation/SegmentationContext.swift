// SPDX-License-Identifier: Apache-2.0

import Imaging

/// One frame of the SEG and its source frame.
struct SegmentationFrame {
    /// Index into the masks.
    let mask: Int
    /// Index into the sources.
    let source: Int
    /// The number of the source frame in its instance, counted from 1.
    let frameNumber: Int
    /// The number of the source frame in the stack, counted from 1.
    let placeInStack: Int
    /// The number among the written frames, counted from 1: the second Dimension Index Value.
    let rank: Int
}

/// Everything that the sources of the module tables of a SEG need.
struct SegmentationContext {
    let object: ObjectContext
    let frames: [SegmentationFrame]
    let rows: Int
    let columns: Int
    /// `nil` if the SEG does not have a frame of reference.
    let geometry: SegmentationGeometry?
    /// Image Orientation (Patient) for all frames of a SEG without geometry; `nil` for none.
    let orientationWithoutGeometry: [String]?
    /// The encoding of Pixel Data.
    let encoding: SegmentationEncoding
    /// The value of Pixel Data.
    let pixelData: [UInt8]

    var description: ObjectDescription { object.description }
}
