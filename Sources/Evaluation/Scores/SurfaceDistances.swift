// SPDX-License-Identifier: Apache-2.0
//
// Distances between surfaces as medpy.metric.binary 0.5 defines them (hd95, asd, assd), which
// publications on the 2018 atrium challenge use. A voxel belongs to the surface if one of its six
// neighbours lies outside the object or the volume. Distances run between voxel centres.

/// Distances between the surfaces of two volumes, mm.
public struct SurfaceDistances: Sendable, Hashable, Codable {
    /// 95th percentile of the distances from each surface to the other, interpolated linearly.
    public var hausdorff95: Double
    /// Mean distance from the answer's surface to the truth's.
    public var average: Double
    /// Mean of the distances from each surface to the other.
    public var symmetricAverage: Double

    /// Measures the distances, which are 0 if both volumes are empty.
    ///
    /// The result is `nil` if only one volume is empty, because a distance does not exist then.
    ///
    /// - Parameters:
    ///   - answer: 0 or 1, `[slices, rows, columns]`.
    ///   - truth: 0 or 1, `[slices, rows, columns]`.
    ///   - shape: slices, rows and columns.
    ///   - spacing: the spacing of slices, rows and columns, mm.
    public init?(answer: [UInt8], truth: [UInt8], shape: [Int], spacing: [Double]) {
        precondition(shape.count == 3 && spacing.count == 3, "volumes have three axes")
        precondition(answer.count == shape.reduce(1, *) && truth.count == answer.count, "values are of this shape")
        let (here, there) = (Self.surface(of: answer, shape), Self.surface(of: truth, shape))
        if here.isEmpty && there.isEmpty {
            (hausdorff95, average, symmetricAverage) = (0, 0, 0)
            return
        }
        guard !here.isEmpty, !there.isEmpty else { return nil }
        let box = SurfaceBox(around: here + there, shape: shape)
        let forward = box.distances(from: here, to: there, spacing: spacing)
        let backward = box.distances(from: there, to: here, spacing: spacing)
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        average = mean(forward)
        symmetricAverage = mean(forward + backward)
        hausdorff95 = Quantiles.quantile(0.95, of: (forward + backward).sorted())
    }

    /// Indices of the surface's voxels.
    private static func surface(of values: [UInt8], _ shape: [Int]) -> [Int] {
        let steps = [shape[1] * shape[2], shape[2], 1]
        return values.indices.filter { index in
            guard values[index] != 0 else { return false }
            return (0..<3).contains { axis in
                let place = index / steps[axis] % shape[axis]
                return place == 0 || place == shape[axis] - 1 || values[index - steps[axis]] == 0
                    || values[index + steps[axis]] == 0
            }
        }
    }
}

/// The part of a volume in which both surfaces lie.
///
/// Distances outside this part are not needed.
private struct SurfaceBox {
    let shape: [Int]
    let origin: [Int]
    let extent: [Int]

    init(around indices: [Int], shape: [Int]) {
        let places = [shape[1] * shape[2], shape[2], 1]
        var (low, high) = (shape, [0, 0, 0])
        for index in indices {
            for axis in 0..<3 {
                let place = index / places[axis] % shape[axis]
                low[axis] = min(low[axis], place)
                high[axis] = max(high[axis], place)
            }
        }
        self.shape = shape
        origin = low
        extent = zip(low, high).map { $1 - $0 + 1 }
    }

    /// The index within the box of an index into the volume.
    private func inside(_ index: Int) -> Int {
        let (slice, row, column) = (index / (shape[1] * shape[2]), index / shape[2] % shape[1], index % shape[2])
        return ((slice - origin[0]) * extent[1] + row - origin[1]) * extent[2] + column - origin[2]
    }

    /// Distances in mm from each voxel of `from` to the nearest voxel of `to`.
    func distances(from: [Int], to: [Int], spacing: [Double]) -> [Double] {
        var squares = [Double](repeating: .infinity, count: extent.reduce(1, *))
        for index in to { squares[inside(index)] = 0 }
        for axis in (0..<3).reversed() { sweep(&squares, axis: axis, spacing: spacing[axis]) }
        return from.map { squares[inside($0)].squareRoot() }
    }

    /// One axis of the squared distance transform, by the lower envelope of the parabolas on every
    /// line.
    private func sweep(_ squares: inout [Double], axis: Int, spacing: Double) {
        let length = extent[axis]
        let step = extent[(axis + 1)...].reduce(1, *)
        var line = [Double](repeating: 0, count: length)
        var sites = [Int](repeating: 0, count: length)
        var starts = [Double](repeating: 0, count: length)
        for first in 0..<squares.count / length {
            let start = first / step * step * length + first % step
            for place in 0..<length { line[place] = squares[start + place * step] }
            var count = 0
            for place in 0..<length where line[place].isFinite {
                var meeting = -Double.infinity
                while count > 0 {
                    let other = sites[count - 1]
                    let (x, y) = (Double(place) * spacing, Double(other) * spacing)
                    meeting = (line[place] + x * x - line[other] - y * y) / (2 * (x - y))
                    if meeting > starts[count - 1] { break }
                    count -= 1
                    meeting = -.infinity
                }
                (sites[count], starts[count]) = (place, meeting)
                count += 1
            }
            guard count > 0 else { continue }
            var site = 0
            for place in 0..<length {
                let x = Double(place) * spacing
                while site + 1 < count, starts[site + 1] < x { site += 1 }
                let offset = Double(place - sites[site]) * spacing
                squares[start + place * step] = line[sites[site]] + offset * offset
            }
        }
    }
}
