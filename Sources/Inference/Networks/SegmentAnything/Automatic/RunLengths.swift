// SPDX-License-Identifier: Apache-2.0
//
// COCO's uncompressed run lengths, as segment-anything's mask_to_rle_pytorch writes them.

/// A binary plane as lengths of runs, column by column from the top left: clear pixels first, then set and clear ones in
/// turn. The first length is 0 where the first pixel is set.
public struct RunLengths: Sendable, Hashable, Codable {
    public let height: Int
    public let width: Int
    public let counts: [Int]

    /// - Parameter counts: they add up to `height * width`.
    public init(height: Int, width: Int, counts: [Int]) {
        precondition(counts.allSatisfy { $0 >= 0 } && counts.reduce(0, +) == height * width, "runs fill the plane")
        self.height = height
        self.width = width
        self.counts = counts
    }

    /// Number of pixels set.
    public var area: Int {
        stride(from: 1, to: counts.count, by: 2).reduce(0) { $0 + counts[$1] }
    }

    /// `[height, width]`, row-major, 0 or 1.
    public var pixels: [UInt8] {
        var pixels = [UInt8](repeating: 0, count: height * width)
        var position = 0
        for (index, count) in counts.enumerated() {
            if index % 2 == 1 {
                for place in position..<position + count { pixels[place % height * width + place / height] = 1 }
            }
            position += count
        }
        return pixels
    }

    /// - Parameter pixels: `[height, width]`, row-major, 0 or 1.
    public init(height: Int, width: Int, pixels: [UInt8]) {
        precondition(pixels.count == height * width, "pixels are [height, width]")
        self = pixels.withUnsafeBufferPointer { pixels in
            RunLengths(
                plane: pixels, width: width,
                within: PixelBox(x0: 0, y0: 0, x1: width - 1, y1: height - 1), atX: 0, y: 0, of: (height, width))
        }
    }

    /// A plane set down in a larger one.
    ///
    /// - Parameters:
    ///   - plane: `[height, width]`, row-major, 0 or 1.
    ///   - box: all set pixels lie in it, its last column and row included; `nil` when there are none.
    ///   - x: column of the larger plane in which the plane's first one lies.
    ///   - y: likewise.
    ///   - size: (height, width) of the larger plane.
    init(
        plane: UnsafeBufferPointer<UInt8>, width: Int, within box: PixelBox?, atX x: Int, y: Int,
        of size: (height: Int, width: Int)
    ) {
        var counts = [Int]()
        /// Where the current run began, and whether its pixels are set.
        var (start, isSet): (Int, UInt8) = (0, 0)
        if let box {
            let rows = box.y1 - box.y0 + 1
            // Some columns at a time are turned into lines: a walk down single columns would miss the cache.
            let most = 32
            var lines = [UInt8](repeating: 0, count: most * rows)
            lines.withUnsafeMutableBufferPointer { lines in
                for first in stride(from: box.x0, through: box.x1, by: most) {
                    let columns = min(most, box.x1 - first + 1)
                    for row in 0..<rows {
                        let source = (box.y0 + row) * width + first
                        for column in 0..<columns { lines[column * rows + row] = plane[source + column] }
                    }
                    for column in 0..<columns {
                        let base = (x + first + column) * size.height + y + box.y0
                        for row in 0..<rows {
                            let value = lines[column * rows + row]
                            if value != isSet {
                                counts.append(base + row - start)
                                (start, isSet) = (base + row, value)
                            }
                        }
                        // Below the box and above it in the next column nothing is set, if there is anything.
                        let below = base + rows
                        if isSet == 1, rows < size.height {
                            counts.append(below - start)
                            (start, isSet) = (below, 0)
                        }
                    }
                }
            }
        }
        let end = size.height * size.width
        if start < end { counts.append(end - start) }
        self.init(height: size.height, width: size.width, counts: counts)
    }
}
