// SPDX-License-Identifier: Apache-2.0
//
// Size measures of masks. A diameter joins the centres of two set pixels, so a structure of one pixel has the diameter 0.
// The convex hull is that of A. M. Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979.

/// The extent of the set pixels of one mask.
public struct MaskExtent: Sendable, Hashable {
    /// A pixel by the indices of its row and column.
    public struct Pixel: Sendable, Hashable {
        /// The index of the row, from 0.
        public let row: Int
        /// The index of the column, from 0.
        public let column: Int
    }

    /// The number of set pixels.
    public let area: Int
    /// The smallest rectangle that contains the set pixels as squares: pixels, XYXY, from the corner of the image.
    public let box: Box
    /// The corners of the convex hull of the centres of the set pixels, in order; one or two if there are not more.
    public let hull: [Pixel]

    /// Measures a mask; `nil` if it is empty.
    public init?(_ mask: Mask) {
        var area = 0
        // Only the first and the last set pixel of a row can be a corner of the hull.
        var ends: [Pixel] = []
        mask.pixels.withUnsafeBufferPointer { pixels in
            for row in 0..<mask.rows {
                let line = pixels[row * mask.columns..<(row + 1) * mask.columns]
                guard let first = line.firstIndex(where: { $0 != 0 }), let last = line.lastIndex(where: { $0 != 0 })
                else { continue }
                area += line.reduce(0) { $0 + ($1 == 0 ? 0 : 1) }
                ends.append(Pixel(row: row, column: first - line.startIndex))
                if last != first { ends.append(Pixel(row: row, column: last - line.startIndex)) }
            }
        }
        guard let top = ends.first, let bottom = ends.last else { return nil }
        let columns = ends.map(\.column)
        self.area = area
        box = Box(
            x0: Double(columns.min() ?? 0), y0: Double(top.row), x1: Double((columns.max() ?? 0) + 1),
            y1: Double(bottom.row + 1))
        hull = Self.hull(of: ends)
    }

    /// The convex hull of pixels in the order of rows, then columns.
    private static func hull(of pixels: [Pixel]) -> [Pixel] {
        func chain(_ pixels: some Sequence<Pixel>) -> [Pixel] {
            var chain: [Pixel] = []
            for pixel in pixels {
                while let last = chain.last, let before = chain.dropLast().last, !turns(before, last, pixel) {
                    chain.removeLast()
                }
                chain.append(pixel)
            }
            return chain.dropLast()
        }
        guard pixels.count > 2 else { return pixels }
        return chain(pixels) + chain(pixels.reversed())
    }

    /// Whether the path through three pixels turns to one side, which is the same for the whole hull.
    private static func turns(_ a: Pixel, _ b: Pixel, _ c: Pixel) -> Bool {
        (b.row - a.row) * (c.column - a.column) > (b.column - a.column) * (c.row - a.row)
    }

    /// The longest distance between the centres of two set pixels of this mask.
    ///
    /// - Parameters:
    ///   - rowSpacing: the distance between neighbouring rows.
    ///   - columnSpacing: the distance between neighbouring columns.
    /// - Returns: the distance in the unit of the spacings: pixels if both are 1.
    public func longestDiameter(rowSpacing: Double = 1, columnSpacing: Double = 1) -> Double {
        var longest = 0.0
        for (index, a) in hull.enumerated() {
            for b in hull[(index + 1)...] {
                let (y, x) = (Double(a.row - b.row) * rowSpacing, Double(a.column - b.column) * columnSpacing)
                longest = max(longest, x * x + y * y)
            }
        }
        return longest.squareRoot()
    }
}

/// The longest distance in a structure that extends over several planes.
public enum VolumeExtent {
    /// The corners of one plane's hull in the patient, and a ball around them.
    private struct Plane {
        let corners: [Vector3]
        let centre: Vector3
        let radius: Double

        init(_ extent: MaskExtent, _ plane: PlaneGeometry) {
            corners = extent.hull.map { pixel in
                plane.position + plane.rowDirection * (Double(pixel.column) * plane.columnSpacing)
                    + plane.columnDirection * (Double(pixel.row) * plane.rowSpacing)
            }
            let centre = corners.reduce(Vector3(0, 0, 0), +) * (1 / Double(max(corners.count, 1)))
            self.centre = centre
            radius = corners.map { ($0 - centre).length }.max() ?? 0
        }

        /// No corner of this plane is farther from one of the other plane.
        func bound(_ other: Plane) -> Double { (centre - other.centre).length + radius + other.radius }
    }

    /// The longest distance between the centres of two set voxels, mm.
    ///
    /// - Parameter planes: the extent of each plane with set pixels, and the place of the plane.
    /// - Returns: mm; 0 without planes.
    public static func longestDiameter(of planes: [(extent: MaskExtent, plane: PlaneGeometry)]) -> Double {
        let planes = planes.map { Plane($0.extent, $0.plane) }
        var pairs: [(first: Plane, second: Plane, bound: Double)] = []
        for (index, first) in planes.enumerated() {
            for second in planes[index...] { pairs.append((first, second, first.bound(second))) }
        }
        // The far pairs come first, so that most of the others cannot hold a longer distance.
        pairs.sort { $0.bound > $1.bound }
        var longest = 0.0
        for pair in pairs {
            if pair.bound <= longest { break }
            for a in pair.first.corners {
                for b in pair.second.corners { longest = max(longest, (a - b).length) }
            }
        }
        return longest
    }
}
