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
        precondition(frames.count == planes.count, "every frame has its plane")
        let order = try SliceOrder(planes: planes)
        if gaps == .refuse, let problem = order.problem { throw problem }
        guard order.spacing > 0 else { throw .duplicatedPosition(count: order.duplicates.count) }
        guard let first = frames.first, frames.allSatisfy({ $0.rows == first.rows && $0.columns == first.columns })
        else { throw .differentSize }
        guard frames.allSatisfy({ $0.channels == 1 }) else { throw .notGrey }
        var voxels: [Float] = []
        voxels.reserveCapacity(frames.count * first.rows * first.columns)
        for index in order.indices { voxels += frames[index].samples }
        volume = Volume(
            slices: frames.count, rows: first.rows, columns: first.columns, voxels: voxels,
            plane: planes[order.indices[0]], sliceSpacing: order.spacing)
        self.order = order
    }
}
