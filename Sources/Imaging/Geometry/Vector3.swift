// SPDX-License-Identifier: Apache-2.0

/// A point or direction in the patient's frame: LPS (x to the patient's left, y to posterior, z to the head), in mm.
///
/// - SeeAlso: PS3.3 C.7.6.2.1.1 (Image Position and Image Orientation).
public struct Vector3: Sendable, Hashable, Codable {
    public var x: Double
    public var y: Double
    public var z: Double

    public init(_ x: Double, _ y: Double, _ z: Double) {
        self.x = x
        self.y = y
        self.z = z
    }

    /// A vector from exactly three numbers, as DICOM stores one; `nil` for any other count or a number not finite.
    public init?(_ values: some Collection<Double>) {
        guard values.count == 3, values.allSatisfy(\.isFinite) else { return nil }
        let all = Array(values)
        self.init(all[0], all[1], all[2])
    }

    public var length: Double { dot(self).squareRoot() }
    public var components: [Double] { [x, y, z] }

    public func dot(_ other: Vector3) -> Double { x * other.x + y * other.y + z * other.z }

    public func cross(_ other: Vector3) -> Vector3 {
        Vector3(y * other.z - z * other.y, z * other.x - x * other.z, x * other.y - y * other.x)
    }

    public static func + (a: Vector3, b: Vector3) -> Vector3 { Vector3(a.x + b.x, a.y + b.y, a.z + b.z) }
    public static func - (a: Vector3, b: Vector3) -> Vector3 { Vector3(a.x - b.x, a.y - b.y, a.z - b.z) }
    public static func * (a: Vector3, scale: Double) -> Vector3 { Vector3(a.x * scale, a.y * scale, a.z * scale) }
}
