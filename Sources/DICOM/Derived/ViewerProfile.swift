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
    /// Makes up a frame of reference, Plane Position and Pixel Measures: frames 1 mm apart, pixels of 1 mm.
    public var makesUpFrameOfReference: Bool

    public static func named(_ name: Name) -> ViewerProfile {
        switch name {
        case .strict: ViewerProfile(orientationWithoutGeometry: nil, makesUpFrameOfReference: false)
        case .ohif: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], makesUpFrameOfReference: false)
        case .slicer: ViewerProfile(orientationWithoutGeometry: [1, 0, 0, 0, 1, 0], makesUpFrameOfReference: true)
        }
    }
}
