// SPDX-License-Identifier: Apache-2.0

/// A box of pixels, XYXY. Around a mask its last column and row are inside; around a crop they are one past the end.
public struct PixelBox: Sendable, Hashable, Codable {
    public var x0: Int
    public var y0: Int
    public var x1: Int
    public var y1: Int

    public init(x0: Int, y0: Int, x1: Int, y1: Int) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    /// x1 - x0, as the reference has it for boxes of both kinds.
    public var width: Int { x1 - x0 }
    public var height: Int { y1 - y0 }
    /// `[x, y, width, height]`.
    public var xywh: [Int] { [x0, y0, width, height] }

    func moved(byX x: Int, y: Int) -> PixelBox { PixelBox(x0: x0 + x, y0: y0 + y, x1: x1 + x, y1: y1 + y) }
}

/// A point in an image, x along a row: pixels, or fractions of the image's extents where a grid is meant.
public struct GridPoint: Sendable, Hashable, Codable {
    public var x: Double
    public var y: Double

    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }
}
