// SPDX-License-Identifier: Apache-2.0

/// Voxels of one stack in patient space: slices in order of their position along the slice normal.
public struct Volume: Sendable {
    public let slices: Int
    public let rows: Int
    public let columns: Int
    /// `[slices, rows, columns]`, modality units.
    public let voxels: [Float]
    /// Plane of slice 0; slice `k` lies `k * sliceSpacing` mm further along its normal.
    public let plane: PlaneGeometry
    /// Distance between the centres of neighbouring slices, mm, positive.
    public let sliceSpacing: Double

    public init(slices: Int, rows: Int, columns: Int, voxels: [Float], plane: PlaneGeometry, sliceSpacing: Double) {
        precondition(slices > 0 && rows > 0 && columns > 0 && sliceSpacing > 0, "a volume has extent")
        precondition(voxels.count == slices * rows * columns, "voxels are [slices, rows, columns]")
        self.slices = slices
        self.rows = rows
        self.columns = columns
        self.voxels = voxels
        self.plane = plane
        self.sliceSpacing = sliceSpacing
    }
}
