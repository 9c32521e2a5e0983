// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Why planes do not make a volume.
public enum GeometryError: Error, Sendable, Hashable, CustomStringConvertible {
    case tooFewSlices(Int)
    case noPlane(index: Int, reason: String)
    case differentOrientation
    case differentSize
    case notGrey
    case differentSpacing
    /// Slices that lie beside each other rather than along the normal, by up to `offset` mm.
    case skewed(offset: Double)
    /// `count` slices lie where another one lies already.
    case duplicatedPosition(count: Int)
    /// `count` slices are missing between the first and the last.
    case missingSlices(count: Int)
    /// Neighbouring gaps from `smallest` to `largest` mm that whole missing slices do not explain.
    case irregularSpacing(smallest: Double, largest: Double)

    public var description: String {
        func mm(_ value: Double) -> String { "\((value * 1000).rounded() / 1000) mm" }
        return switch self {
        case .tooFewSlices(let count): "a volume needs at least two slices, there are \(count)"
        case .noPlane(let index, let reason): "slice \(index + 1) has no usable position: \(reason)"
        case .differentOrientation: "slices have different orientations"
        case .differentSize: "slices have different sizes"
        case .notGrey: "slices are in colour"
        case .differentSpacing: "slices have different pixel spacings"
        case .skewed(let offset): "slices are shifted sideways by up to \(mm(offset))"
        case .duplicatedPosition(let count): "\(count) slices lie where another one lies"
        case .missingSlices(let count): "\(count) slices are missing"
        case .irregularSpacing(let smallest, let largest):
            "slices are unevenly spaced, from \(mm(smallest)) to \(mm(largest))"
        }
    }
}

/// The order of planes along their common normal, and what is wrong with it.
///
/// Ordered by Image Position (Patient) along the slice normal; Instance Number is not trusted. Pure: routing asks it from
/// headers alone, decoding asks it again.
public struct SliceOrder: Sendable, Hashable, Codable {
    /// Indices into the planes given, in the direction of the normal.
    public var indices: [Int]
    /// The spacing that most neighbours have, mm, positive (0 when all planes share one position).
    public var spacing: Double
    /// Gaps: after which slice (an index into `indices`) how many whole slices are missing.
    public var gaps: [Gap]
    /// Slices that lie where the one before them lies, as indices into `indices`.
    public var duplicates: [Int]
    /// Neighbouring distances, mm, that are neither the spacing nor a whole multiple of it.
    public var irregular: [Double]

    public struct Gap: Sendable, Hashable, Codable {
        public var after: Int
        public var missing: Int
    }

    /// - Parameters:
    ///   - planes: at least two, of one orientation.
    ///   - tolerance: how far a distance may be from the spacing, as a part of it.
    /// - Throws: when the planes cannot be ordered at all: too few, different orientations or spacings, skewed.
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

    /// The first thing that makes this order no volume, or `nil` when it is one.
    public var problem: GeometryError? {
        if !duplicates.isEmpty { return .duplicatedPosition(count: duplicates.count) }
        if let largest = irregular.max(), let smallest = irregular.min() {
            return .irregularSpacing(smallest: min(smallest, spacing), largest: max(largest, spacing))
        }
        return gaps.isEmpty ? nil : .missingSlices(count: gaps.reduce(0) { $0 + $1.missing })
    }

    /// Centres closer than this, mm, are at one position.
    private static let samePosition = 0.01
    /// Difference in a direction, or in pixel spacing as a part of it, that rounding explains.
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
        // Half a pixel sideways is where a slice no longer lies behind its neighbour.
        guard shift <= 0.5 * min(first.rowSpacing, first.columnSpacing) else { throw .skewed(offset: shift) }
    }
}
