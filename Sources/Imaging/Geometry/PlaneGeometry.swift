// SPDX-License-Identifier: Apache-2.0

/// The plane of one frame in the patient: PS3.3 C.7.6.2 (Image Plane).
public struct PlaneGeometry: Sendable, Hashable, Codable {
    /// The centre of the first transmitted pixel, LPS, mm.
    public var position: Vector3
    /// The direction along a row, in which the column index grows: a unit vector, LPS.
    public var rowDirection: Vector3
    /// The direction down a column, in which the row index grows: a unit vector, LPS.
    public var columnDirection: Vector3
    /// The distance between neighbouring rows, mm: first value of Pixel Spacing.
    public var rowSpacing: Double
    /// The distance between neighbouring columns, mm: second value of Pixel Spacing.
    public var columnSpacing: Double

    /// Makes a plane; the directions must be perpendicular unit vectors.
    public init(
        position: Vector3, rowDirection: Vector3, columnDirection: Vector3, rowSpacing: Double, columnSpacing: Double
    ) {
        self.position = position
        self.rowDirection = rowDirection
        self.columnDirection = columnDirection
        self.rowSpacing = rowSpacing
        self.columnSpacing = columnSpacing
    }

    /// The slice normal: row direction x column direction, LPS.
    public var normal: Vector3 { rowDirection.cross(columnDirection) }
}

/// A point or direction in the patient's frame, LPS, in mm: x to the patient's left, y to posterior, z to the head.
///
/// - SeeAlso: PS3.3 C.7.6.2.1.1 (Image Position and Image Orientation).
public struct Vector3: Sendable, Hashable, Codable {
    /// To the patient's left.
    public var x: Double
    /// To posterior.
    public var y: Double
    /// To the head.
    public var z: Double

    /// Makes a vector from its components.
    public init(_ x: Double, _ y: Double, _ z: Double) {
        self.x = x
        self.y = y
        self.z = z
    }

    /// Makes a vector from three finite numbers, as DICOM stores one; `nil` for any other count or an infinite number.
    public init?(_ values: some Collection<Double>) {
        guard values.count == 3, values.allSatisfy(\.isFinite) else { return nil }
        let all = Array(values)
        self.init(all[0], all[1], all[2])
    }

    /// The Euclidean length.
    public var length: Double { dot(self).squareRoot() }
    /// The three components: x, y, z.
    public var components: [Double] { [x, y, z] }

    /// The scalar product.
    public func dot(_ other: Vector3) -> Double { x * other.x + y * other.y + z * other.z }

    /// The vector product: `self` x `other`, right-handed.
    public func cross(_ other: Vector3) -> Vector3 {
        Vector3(y * other.z - z * other.y, z * other.x - x * other.z, x * other.y - y * other.x)
    }

    /// The sum of two vectors.
    public static func + (a: Vector3, b: Vector3) -> Vector3 { Vector3(a.x + b.x, a.y + b.y, a.z + b.z) }
    /// The difference of two vectors.
    public static func - (a: Vector3, b: Vector3) -> Vector3 { Vector3(a.x - b.x, a.y - b.y, a.z - b.z) }
    /// The vector with every component multiplied.
    public static func * (a: Vector3, scale: Double) -> Vector3 { Vector3(a.x * scale, a.y * scale, a.z * scale) }
}
