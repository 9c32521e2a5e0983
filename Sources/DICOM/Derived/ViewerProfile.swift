// SPDX-License-Identifier: Apache-2.0

/// Which geometry attributes are written for images that have no frame of reference: what viewers need differs.
///
/// A value of attribute choices: the writer never asks which profile it has. Images with a frame of reference get the
/// same object whatever the profile.
public struct ViewerProfile: Sendable, Hashable {
    public enum Name: String, Sendable, Hashable, Codable, CaseIterable {
        /// As PS3.3 A.51 asks: no plane groups without a frame of reference.
        case strict
        /// Adds a shared Plane Orientation, without which OHIF shows nothing.
        case ohif
        /// Adds a made-up frame of reference with plane groups, without which 3D Slicer cannot load.
        case slicer
    }

    /// Image Orientation (Patient) to share among frames that have none of their own.
    public var orientationWithoutGeometry: [Double]?
    /// Makes up a frame of reference, Plane Position and Pixel Measures: frames this far apart, pixels this large, mm.
    public var madeUpSpacing: Double?

    public static func named(_ name: Name) -> ViewerProfile {
        switch name {
        case .strict: ViewerProfile(orientationWithoutGeometry: nil, madeUpSpacing: nil)
        case .ohif: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: nil)
        case .slicer: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], madeUpSpacing: 1)
        }
    }

    /// Frames one behind the other, where the profile makes up a geometry.
    func madeUpGeometry(frameOfReferenceUID: String, frames: Int) -> SegmentationGeometry? {
        guard let spacing = madeUpSpacing, let orientation = orientationWithoutGeometry else { return nil }
        return SegmentationGeometry(
            frameOfReferenceUID: frameOfReferenceUID,
            pixelSpacing: [WrittenText.decimal(spacing), WrittenText.decimal(spacing)], sliceThickness: spacing,
            spacingBetweenSlices: spacing, orientation: orientation.map(WrittenText.decimal),
            positions: (0..<frames).map { ["0", "0", WrittenText.decimal(Double($0) * spacing)] })
    }
}
