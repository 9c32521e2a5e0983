// SPDX-License-Identifier: Apache-2.0

/// Where one frame lies in the patient: PS3.3 C.7.6.2 (Image Plane).
public struct PlaneGeometry: Sendable, Hashable, Codable {
    /// Centre of the first transmitted pixel, LPS, mm.
    public var position: Vector3
    /// Unit direction in which the column index grows (along a row), LPS.
    public var rowDirection: Vector3
    /// Unit direction in which the row index grows (down a column), LPS.
    public var columnDirection: Vector3
    /// Distance between neighbouring rows, mm: first value of Pixel Spacing.
    public var rowSpacing: Double
    /// Distance between neighbouring columns, mm: second value of Pixel Spacing.
    public var columnSpacing: Double

    public init(
        position: Vector3, rowDirection: Vector3, columnDirection: Vector3, rowSpacing: Double, columnSpacing: Double
    ) {
        self.position = position
        self.rowDirection = rowDirection
        self.columnDirection = columnDirection
        self.rowSpacing = rowSpacing
        self.columnSpacing = columnSpacing
    }

    /// The slice normal, row direction x column direction, LPS.
    public var normal: Vector3 { rowDirection.cross(columnDirection) }
}
