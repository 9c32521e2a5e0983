// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The reason why planes do not make a volume.
public enum GeometryError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Fewer than two slices.
    case tooFewSlices(Int)
    /// The slice at `index` has no usable plane.
    case noPlane(index: Int, reason: String)
    /// Row or column directions differ.
    case differentOrientation
    /// Rows or columns differ.
    case differentSize
    /// A slice has more than one channel.
    case notGrey
    /// Pixel spacings differ.
    case differentSpacing
    /// Slices are shifted across the normal, by up to `offset` mm.
    case skewed(offset: Double)
    /// `count` slices have the position of another slice.
    case duplicatedPosition(count: Int)
    /// `count` slices are missing between the first and the last.
    case missingSlices(count: Int)
    /// Neighbouring gaps range from `smallest` to `largest` mm, which missing slices do not explain.
    case irregularSpacing(smallest: Double, largest: Double)

    /// The mistake in the slices.
    public var description: String {
        func mm(_ value: Double) -> String { "\((value * 1000).rounded() / 1000) mm" }
        return switch self {
        case .tooFewSlices(let count): "a volume needs at least two slices; the stack has \(count)"
        case .noPlane(let index, let reason): "slice \(index + 1) does not have a usable position: \(reason)"
        case .differentOrientation: "slices have different orientations"
        case .differentSize: "slices have different sizes"
        case .notGrey: "slices are in colour"
        case .differentSpacing: "slices have different pixel spacings"
        case .skewed(let offset): "slices are shifted sideways by up to \(mm(offset))"
        case .duplicatedPosition(let count):
            count == 1
                ? "1 slice has the position of another slice" : "\(count) slices have the position of another slice"
        case .missingSlices(let count): count == 1 ? "1 slice is missing" : "\(count) slices are missing"
        case .irregularSpacing(let smallest, let largest):
            "slices are unevenly spaced, from \(mm(smallest)) to \(mm(largest))"
        }
    }
}

/// The order of planes along their common normal, with its gaps and irregularities.
///
/// Image Position (Patient) decides the order; Instance Number is ignored. Routing computes the order from headers, and
/// decoding computes it again.
public struct SliceOrder: Sendable, Hashable, Codable {
    /// Indices into the given planes, in the direction of the normal.
    public var indices: [Int]
    /// The median distance between neighbours, mm; 0 if all planes have one position.
    public var spacing: Double
    /// The places where whole slices are missing.
    public var gaps: [Gap]
    /// The slices that have the position of the slice before them, as indices into `indices`.
    public var duplicates: [Int]
    /// The distances between neighbours, in mm, that are not a whole multiple of the spacing.
    public var irregular: [Double]

    /// Missing slices at one place.
    public struct Gap: Sendable, Hashable, Codable {
        /// The slice before the gap, as an index into `indices`.
        public var after: Int
        /// The number of missing slices.
        public var missing: Int
    }

    /// Orders planes.
    ///
    /// - Parameters:
    ///   - planes: at least two, of one orientation.
    ///   - tolerance: the deviation of a distance from a multiple of the spacing that is allowed, as a fraction of the
    ///     spacing.
    /// - Throws: `GeometryError` if the planes cannot be ordered: too few, different orientations or spacings, skewed.
    public init(planes: [PlaneGeometry], tolerance: Double = 0.05) throws(GeometryError) {
        guard let first = planes.first, planes.count >= 2 else { throw .tooFewSlices(planes.count) }
        try Self.checkLikeness(of: planes, to: first)
        let along = planes.map { ($0.position - first.position).dot(first.normal) }
        // Equal positions keep the order they came in, so that the same planes give the same order.
        indices = planes.indices.sorted { (along[$0], $0) < (along[$1], $1) }
        let distances = zip(indices, indices.dropFirst()).map { along[$1] - along[$0] }
        let apart = distances.filter { $0 > Self.samePosition }.sorted()
        spacing = apart.isEmpty ? 0 : apart[apart.count / 2]
        gaps = []
        duplicates = []
        irregular = []
        for (slice, distance) in distances.enumerated() { judge(distance, after: slice, tolerance: tolerance) }
        guard !irregular.isEmpty, let grid = SliceGrid(indices.map { along[$0] }, samePosition: Self.samePosition)
        else { return }
        (spacing, irregular) = (grid.spacing, [])
        gaps = grid.gaps
    }

    private mutating func judge(_ distance: Double, after slice: Int, tolerance: Double) {
        guard distance > Self.samePosition else {
            duplicates.append(slice + 1)
            return
        }
        let steps = (distance / spacing).rounded()
        guard steps >= 1, steps < 1e6, abs(distance - steps * spacing) <= tolerance * spacing else {
            irregular.append(distance)
            return
        }
        if steps > 1 { gaps.append(Gap(after: slice, missing: Int(steps) - 1)) }
    }

    /// The first reason why the planes are not an evenly spaced volume; `nil` if they are one.
    public var problem: GeometryError? {
        if !duplicates.isEmpty { return .duplicatedPosition(count: duplicates.count) }
        if let largest = irregular.max(), let smallest = irregular.min() {
            return .irregularSpacing(smallest: min(smallest, spacing), largest: max(largest, spacing))
        }
        return gaps.isEmpty ? nil : .missingSlices(count: gaps.reduce(0) { $0 + $1.missing })
    }

    /// The distance in mm up to which two centres have one position.
    private static let samePosition = 0.01
    /// The largest difference that rounding explains: between directions, or between pixel spacings as a fraction.
    private static let rounding = 1e-3

    private static func checkLikeness(of planes: [PlaneGeometry], to first: PlaneGeometry) throws(GeometryError) {
        var shift = 0.0
        for plane in planes {
            guard (plane.rowDirection - first.rowDirection).length <= rounding,
                (plane.columnDirection - first.columnDirection).length <= rounding
            else { throw .differentOrientation }
            guard abs(plane.rowSpacing - first.rowSpacing) <= rounding * first.rowSpacing,
                abs(plane.columnSpacing - first.columnSpacing) <= rounding * first.columnSpacing
            else { throw .differentSpacing }
            let offset = plane.position - first.position
            shift = max(shift, (offset - first.normal * offset.dot(first.normal)).length)
        }
        // A slice that is shifted by more than half a pixel is not behind its neighbour any more.
        guard shift <= 0.5 * min(first.rowSpacing, first.columnSpacing) else { throw .skewed(offset: shift) }
    }
}

/// An even grid near positions that a sender has rounded, such as to one decimal at steps of 0.625 mm.
private struct SliceGrid {
    /// The distance between neighbours, mm.
    let spacing: Double
    /// The places where whole slices are missing.
    let gaps: [SliceOrder.Gap]

    /// The deviation from the grid, in mm, that rounding to one decimal explains: half a unit in each coordinate.
    private static let rounding = 0.05 * 3.0.squareRoot()
    /// The deviation that is tolerated at most, as a fraction of the spacing.
    private static let fraction = 0.2

    /// Fits a grid by least squares; `nil` if a position lies beside it.
    ///
    /// - Parameters:
    ///   - positions: ascending, mm.
    ///   - samePosition: the distance up to which two centres have one position.
    init?(_ positions: [Double], samePosition: Double) {
        let steps = zip(positions, positions.dropFirst()).map { $1 - $0 }
        let apart = steps.filter { $0 > samePosition }.sorted()
        guard !apart.isEmpty else { return nil }
        let median = apart[apart.count / 2]
        let single = apart.filter { $0 < 1.5 * median && $0 > 0.5 * median }
        let estimate = single.reduce(0, +) / Double(single.count)
        var places: [Double] = [0]
        var gaps: [SliceOrder.Gap] = []
        for (slice, step) in steps.enumerated() {
            let count = step > samePosition ? (step / estimate).rounded() : 0
            guard count >= 1 || step <= samePosition, count < 1e6 else { return nil }
            if count > 1 { gaps.append(SliceOrder.Gap(after: slice, missing: Int(count) - 1)) }
            places.append((places.last ?? 0) + count)
        }
        let number = Double(places.count)
        let (meanPlace, meanPosition) = (places.reduce(0, +) / number, positions.reduce(0, +) / number)
        let covariance = zip(places, positions).reduce(0) { $0 + ($1.0 - meanPlace) * ($1.1 - meanPosition) }
        let variance = places.reduce(0) { $0 + ($1 - meanPlace) * ($1 - meanPlace) }
        guard variance > 0 else { return nil }
        let slope = covariance / variance
        let limit = min(Self.rounding, Self.fraction * slope)
        guard
            zip(places, positions).allSatisfy({ abs(meanPosition + ($0 - meanPlace) * slope - $1) <= limit })
        else { return nil }
        spacing = slope
        self.gaps = gaps
    }
}

/// The volume that the frames of one stack make in patient space.
public struct VolumeAssembly: Sendable {
    /// The treatment of missing, doubled or unevenly spaced slices.
    public enum Gaps: String, Sendable, Hashable, Codable {
        /// Such a stack is not a volume.
        case refuse
        /// The slices are taken as evenly spaced, and `order` lists the irregularities.
        case mark
    }

    /// The voxels with their geometry.
    public let volume: Volume
    /// The order of the frames: slice `k` of the volume is frame `order.indices[k]`.
    public let order: SliceOrder

    /// Orders frames and makes a volume of them.
    ///
    /// - Parameters:
    ///   - frames: at least two, each `[rows, columns]`, one channel, modality units.
    ///   - planes: one per frame, in the same order.
    ///   - gaps: the treatment of irregular stacks.
    /// - Throws: `GeometryError` if the frames cannot be ordered, or if `gaps` does not allow their order.
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
        for index in order.indices { voxels += frames[index].samples.floats }
        let isPadded = frames.contains { !$0.padding.isEmpty }
        let none = [UInt8](repeating: 0, count: first.rows * first.columns)
        let padding = isPadded ? order.indices.flatMap { frames[$0].padding.isEmpty ? none : frames[$0].padding } : []
        volume = Volume(
            slices: frames.count, rows: first.rows, columns: first.columns, voxels: voxels, padding: padding,
            plane: planes[order.indices[0]], sliceSpacing: order.spacing)
        self.order = order
    }
}
