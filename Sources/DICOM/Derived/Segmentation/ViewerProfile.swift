// SPDX-License-Identifier: Apache-2.0

/// Segmentation Type (0062,0001): PS3.3 C.8.20.2.3.
public enum SegmentationType: String, Sendable, Hashable, Codable, CaseIterable {
    /// One bit per pixel.
    case binary
    /// One byte per pixel: a probability of 0...1 scaled to 0...255 (Segmentation Fractional Type PROBABILITY).
    case fractional
}

/// The form of the SEGs that a peer gets.
///
/// Viewers need different attributes, and archives take different classes.
/// The writer follows the choices in a profile and does not test the profile's name. The geometry concerns only images
/// without a frame of reference. `docs/pacs.md` tabulates which viewer shows which profile.
public struct ViewerProfile: Sendable, Hashable {
    /// The profiles by name.
    public enum Name: String, Sendable, Hashable, Codable, CaseIterable {
        /// Follows PS3.3 A.51: without a frame of reference the SEG does not have plane groups.
        case strict
        /// Adds a shared Plane Orientation: OHIF does not show the SEG without it.
        case ohif
        /// Adds an invented frame of reference with plane groups: 3D Slicer does not load the SEG without them.
        case slicer
        /// Writes a label map (Label Map Segmentation Storage), with the geometry of `ohif`.
        case labelmap
    }

    /// Image Orientation (Patient) for all frames: the direction of a row, then that of a column; `nil` for none.
    public var orientationWithoutGeometry: [Double]?
    /// Distance between frames and size of pixels, in mm, of an invented geometry; `nil` for none.
    public var madeUpSpacing: Double?
    /// Whether the object is a label map.
    public var isLabelMap = false

    /// The profile of a name.
    public static func named(_ name: Name) -> ViewerProfile {
        switch name {
        case .strict: ViewerProfile(orientationWithoutGeometry: nil, madeUpSpacing: nil)
        case .ohif: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: nil)
        case .slicer: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: 1)
        case .labelmap:
            ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: nil, isLabelMap: true)
        }
    }

    /// An invented geometry with one frame behind the other; `nil` if the profile does not ask for one.
    func madeUpGeometry(frameOfReferenceUID: String, frames: Int) -> SegmentationGeometry? {
        guard let spacing = madeUpSpacing, let orientation = orientationWithoutGeometry else { return nil }
        return SegmentationGeometry(
            frameOfReferenceUID: frameOfReferenceUID,
            pixelSpacing: [WrittenText.decimal(spacing), WrittenText.decimal(spacing)], sliceThickness: spacing,
            spacingBetweenSlices: spacing, orientation: orientation.map(WrittenText.decimal),
            positions: (0..<frames).map { ["0", "0", WrittenText.decimal(Double($0) * spacing)] })
    }
}
