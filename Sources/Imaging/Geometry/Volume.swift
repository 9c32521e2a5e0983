// SPDX-License-Identifier: Apache-2.0

/// The voxels of one stack in patient space.
///
/// Slices are ordered by their position along the slice normal.
public struct Volume: Sendable {
    /// The number of slices.
    public let slices: Int
    /// The number of rows of each slice.
    public let rows: Int
    /// The number of columns of each slice.
    public let columns: Int
    /// `[slices, rows, columns]`, row-major, modality units.
    public let voxels: [Float]
    /// `[slices, rows, columns]`, 1 for a voxel that is not part of the image; empty if all voxels are.
    public let padding: [UInt8]
    /// The plane of slice 0; slice `k` lies `k * sliceSpacing` mm further along its normal.
    public let plane: PlaneGeometry
    /// The distance between the centres of neighbouring slices, mm, positive.
    public let sliceSpacing: Double

    /// Makes a volume of `slices * rows * columns` voxels, and as many values of padding or none.
    public init(
        slices: Int, rows: Int, columns: Int, voxels: [Float], padding: [UInt8] = [], plane: PlaneGeometry,
        sliceSpacing: Double
    ) {
        precondition(slices > 0 && rows > 0 && columns > 0 && sliceSpacing > 0, "a volume has extent")
        precondition(voxels.count == slices * rows * columns, "voxels are [slices, rows, columns]")
        precondition(padding.isEmpty || padding.count == voxels.count, "padding is [slices, rows, columns]")
        self.slices = slices
        self.rows = rows
        self.columns = columns
        self.voxels = voxels
        self.padding = padding
        self.plane = plane
        self.sliceSpacing = sliceSpacing
    }

    /// The volume with padded voxels as background.
    public var withPaddingAsBackground: Volume {
        guard !padding.isEmpty else { return self }
        return Volume(
            slices: slices, rows: rows, columns: columns, voxels: Padding.asBackground(voxels, padding),
            padding: padding, plane: plane, sliceSpacing: sliceSpacing)
    }
}

/// The permutation and flips that turn a volume to the orientation that recipes for volumes work in.
///
/// In that orientation slices go from inferior to superior, rows to posterior, and columns to the patient's left.
/// Voxels are moved but not interpolated. The three axes of an oblique volume count as three different patient axes:
/// the assignment with the closest directions.
public struct CanonicalOrientation: Sendable, Hashable {
    /// The extents of the source: slices, rows, columns.
    public let sourceShape: [Int]
    /// The source axis that becomes canonical axis 0 (slices), 1 (rows) and 2 (columns).
    public let axes: [Int]
    /// For each canonical axis, whether it runs against its source axis.
    public let flipped: [Bool]
    /// The distance between neighbouring samples along each canonical axis, mm.
    public let spacing: [Double]

    /// Finds the permutation and flips of a volume.
    public init(of volume: Volume) {
        let plane = volume.plane
        let directions = [plane.normal, plane.columnDirection, plane.rowDirection]
        let targets = [Vector3(0, 0, 1), Vector3(0, 1, 0), Vector3(1, 0, 0)]
        let permutations = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        func closeness(_ permutation: [Int]) -> Double {
            zip(permutation, targets).reduce(0) { $0 + abs(directions[$1.0].dot($1.1)) }
        }
        // If several permutations are equally close, the first one is taken, so that a tie gives the identity.
        var best = permutations[0]
        for other in permutations.dropFirst() where closeness(other) > closeness(best) + 1e-9 { best = other }
        let spacings = [volume.sliceSpacing, plane.rowSpacing, plane.columnSpacing]
        sourceShape = [volume.slices, volume.rows, volume.columns]
        axes = best
        flipped = zip(best, targets).map { directions[$0].dot($1) < 0 }
        spacing = best.map { spacings[$0] }
    }

    /// The extents in canonical order: slices, rows, columns.
    public var shape: [Int] { axes.map { sourceShape[$0] } }
    /// Whether the volume has the canonical orientation already.
    public var isIdentity: Bool { axes == [0, 1, 2] && !flipped.contains(true) }

    /// Moves values from `[slices, rows, columns]` of the source to canonical order.
    public func canonical(_ values: [Float]) -> [Float] { gather(values) }

    /// Moves values from canonical order to `[slices, rows, columns]` of the source.
    public func source(_ values: [Float]) -> [Float] { scatter(values) }

    /// Moves values from canonical order to `[slices, rows, columns]` of the source.
    public func source(_ values: [UInt8]) -> [UInt8] { scatter(values) }

    private func gather<Value>(_ values: [Value]) -> [Value] {
        precondition(values.count == sourceShape.reduce(1, *), "the values are the source's")
        if isIdentity { return values }
        return [Value](unsafeUninitializedCapacity: values.count) { output, filled in
            walk { canonical, source in output.initializeElement(at: canonical, to: values[source]) }
            filled = values.count
        }
    }

    private func scatter<Value>(_ values: [Value]) -> [Value] {
        precondition(values.count == sourceShape.reduce(1, *), "the values are the source's")
        if isIdentity { return values }
        return [Value](unsafeUninitializedCapacity: values.count) { output, filled in
            walk { canonical, source in output.initializeElement(at: source, to: values[canonical]) }
            filled = values.count
        }
    }

    /// Calls `body` with the index of every voxel in canonical order and in the source.
    @inline(__always)
    private func walk(_ body: (Int, Int) -> Void) {
        let strides = [sourceShape[1] * sourceShape[2], sourceShape[2], 1]
        let shape = shape
        let steps = (0..<3).map { flipped[$0] ? -strides[axes[$0]] : strides[axes[$0]] }
        let start = (0..<3).reduce(0) { $0 + (flipped[$1] ? (shape[$1] - 1) * strides[axes[$1]] : 0) }
        var canonical = 0
        for slice in 0..<shape[0] {
            for row in 0..<shape[1] {
                var source = start + slice * steps[0] + row * steps[1]
                for _ in 0..<shape[2] {
                    body(canonical, source)
                    canonical += 1
                    source += steps[2]
                }
            }
        }
    }
}
