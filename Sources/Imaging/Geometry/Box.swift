// SPDX-License-Identifier: Apache-2.0

/// A rectangle in an image, XYXY: pixels, x along a row (column index), y down a column (row index).
public struct Box: Sendable, Hashable, Codable {
    /// The left edge.
    public var x0: Double
    /// The upper edge.
    public var y0: Double
    /// The right edge.
    public var x1: Double
    /// The lower edge.
    public var y1: Double

    /// Makes a rectangle from its edges.
    public init(x0: Double, y0: Double, x1: Double, y1: Double) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    /// The extent along a row, pixels.
    public var width: Double { x1 - x0 }
    /// The extent down a column, pixels.
    public var height: Double { y1 - y0 }
}

/// A point in an image, on the structure to segment or beside it: pixels, x along a row, y down a column.
public struct LabeledPoint: Sendable, Hashable, Codable {
    /// The place along a row.
    public var x: Double
    /// The place down a column.
    public var y: Double
    /// Whether the point lies on the structure.
    public var isForeground: Bool

    /// Makes a point with its label.
    public init(x: Double, y: Double, isForeground: Bool) {
        self.x = x
        self.y = y
        self.isForeground = isForeground
    }
}
