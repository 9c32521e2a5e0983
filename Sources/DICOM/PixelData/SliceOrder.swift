// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Why planes do not make a volume.
public enum GeometryError: Error, Sendable, Hashable, CustomStringConvertible {
    case tooFewSlices(Int)
    case noPlane(index: Int, reason: String)
    case differentOrientation
    case differentSize
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
        throw .tooFewSlices(planes.count)
    }

    /// The first thing that makes this order no volume, or `nil` when it is one.
    public var problem: GeometryError? { nil }
}
