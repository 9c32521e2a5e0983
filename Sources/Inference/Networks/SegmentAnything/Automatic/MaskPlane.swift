// SPDX-License-Identifier: Apache-2.0

/// A mask that is built row by row from logits.
///
/// It counts the pixels that a higher and a lower threshold would leave, and tracks the box around
/// the mask.
struct MaskPlane: Sendable {
    let height: Int
    let width: Int
    private var pixels: [UInt8]
    private var (cut, high, low): (Float, Float, Float) = (0, 0, 0)
    private var (above, aboveLow) = (0, 0)
    private var (x0, x1, y0, y1) = (0, 0, 0, -1)

    init(height: Int, width: Int) {
        self.height = height
        self.width = width
        pixels = [UInt8](repeating: 0, count: height * width)
    }

    /// Creates a finished mask from pixels `[height, width]`, row-major, 0 or 1.
    init(height: Int, width: Int, pixels: [UInt8]) {
        self.height = height
        self.width = width
        self.pixels = pixels
        clear(cut: 0, high: 0, low: 0)
        for row in 0..<height { extendBox(row) }
    }

    /// Starts a new mask; the caller then adds every row in order.
    ///
    /// The thresholds `high` and `low` are those of the stability score.
    mutating func clear(cut: Float, high: Float, low: Float) {
        (self.cut, self.high, self.low) = (cut, high, low)
        (above, aboveLow) = (0, 0)
        (x0, x1, y0, y1) = (width, -1, 0, -1)
    }

    /// Adds the logits of a row.
    mutating func add(_ row: Int, _ logits: UnsafePointer<Float>) {
        let (cut, high, low, width) = (cut, high, low, width)
        // A row has fewer than 2^31 pixels, so its counts fit 32 bits.
        var (more, less, any): (Int32, Int32, UInt8) = (0, 0, 0)
        pixels.withUnsafeMutableBufferPointer { pixels in
            guard let base = pixels.baseAddress else { return }
            let target = base + row * width
            for column in 0..<width {
                let logit = logits[column]
                more &+= logit > high ? 1 : 0
                less &+= logit > low ? 1 : 0
                let inside: UInt8 = logit > cut ? 1 : 0
                target[column] = inside
                any |= inside
            }
        }
        above += Int(more)
        aboveLow += Int(less)
        if any != 0 { extendBox(row) }
    }

    private mutating func extendBox(_ row: Int) {
        let line = row * width
        guard let first = (0..<width).first(where: { pixels[line + $0] != 0 }) else { return }
        var last = width - 1
        while pixels[line + last] == 0 { last -= 1 }
        if y1 < 0 { y0 = row }
        (y1, x0, x1) = (row, min(x0, first), max(x1, last))
    }

    /// The number of pixels above the high threshold divided by the number above the low one; 0/0
    /// for an empty mask.
    var stabilityScore: Float { Float(above) / Float(aboveLow) }

    /// The box around the set pixels, including its last column and row, or `nil` if the mask is
    /// empty.
    var box: PixelBox? { y1 < 0 ? nil : PixelBox(x0: x0, y0: y0, x1: x1, y1: y1) }

    /// The run lengths of the mask placed in a larger plane.
    func runLengths(within box: PixelBox?, atX x: Int, y: Int, of size: (height: Int, width: Int)) -> RunLengths {
        pixels.withUnsafeBufferPointer { plane in
            RunLengths(plane: plane, width: width, within: box, atX: x, y: y, of: size)
        }
    }
}

// COCO's uncompressed run lengths, as segment-anything's mask_to_rle_pytorch writes them.

/// A binary mask as the lengths of runs of equal pixels.
///
/// The runs go column by column from the top left. Runs of clear pixels alternate with runs of set
/// pixels, and the first run is clear. Its length is 0 if the first pixel is set.
public struct RunLengths: Sendable, Hashable, Codable {
    /// The height of the mask.
    public let height: Int
    /// The width of the mask.
    public let width: Int
    /// The lengths of the runs.
    public let counts: [Int]

    /// Creates a mask from runs, whose lengths add up to `height * width`.
    public init(height: Int, width: Int, counts: [Int]) {
        precondition(counts.allSatisfy { $0 >= 0 } && counts.reduce(0, +) == height * width, "runs fill the plane")
        self.height = height
        self.width = width
        self.counts = counts
    }

    /// The number of set pixels.
    public var area: Int {
        stride(from: 1, to: counts.count, by: 2).reduce(0) { $0 + counts[$1] }
    }

    /// The mask as `[height, width]`, row-major, 0 or 1.
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

    /// Creates a mask from pixels `[height, width]`, row-major, 0 or 1.
    public init(height: Int, width: Int, pixels: [UInt8]) {
        precondition(pixels.count == height * width, "pixels are [height, width]")
        self = pixels.withUnsafeBufferPointer { pixels in
            RunLengths(
                plane: pixels, width: width,
                within: PixelBox(x0: 0, y0: 0, x1: width - 1, y1: height - 1), atX: 0, y: 0, of: (height, width))
        }
    }

    /// Creates the runs of a plane that is placed in a larger one.
    ///
    /// - Parameters:
    ///   - plane: `[height, width]`, row-major, 0 or 1.
    ///   - width: the width of the plane.
    ///   - box: contains all set pixels, including its last column and row; `nil` if every pixel is clear.
    ///   - x: the column of the larger plane that holds the plane's first column.
    ///   - y: the row of the larger plane that holds the plane's first row.
    ///   - size: (height, width) of the larger plane.
    init(
        plane: UnsafeBufferPointer<UInt8>, width: Int, within box: PixelBox?, atX x: Int, y: Int,
        of size: (height: Int, width: Int)
    ) {
        var counts = [Int]()
        /// The start of the current run, and whether its pixels are set.
        var (start, isSet): (Int, UInt8) = (0, 0)
        if let box {
            let rows = box.y1 - box.y0 + 1
            // 32 columns at a time are transposed, because a walk down single columns would miss
            // the cache.
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
                        // Pixels below the box, and above it in the next column, are clear.
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
