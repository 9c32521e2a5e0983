// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Places the frames of one stack in patient space.
public struct VolumeAssembly: Sendable {
    /// What to do about missing, doubled or unevenly spaced slices.
    public enum Gaps: String, Sendable, Hashable, Codable {
        case refuse
        /// Assemble what there is, as if evenly spaced; `order` says what is wrong.
        case mark
    }

    public let volume: Volume
    /// Slice `k` of the volume is frame `order.indices[k]`.
    public let order: SliceOrder

    /// - Parameters:
    ///   - frames: at least two, each [rows, columns], one channel, modality units.
    ///   - planes: one a frame, in the same order.
    /// - Throws: `GeometryError`, for what `gaps` does not allow.
    /// - SeeAlso: PS3.3 C.7.6.2 (Image Plane).
    public init(frames: [Frame], planes: [PlaneGeometry], gaps: Gaps = .refuse) throws(GeometryError) {
        throw .tooFewSlices(planes.count)
    }
}
