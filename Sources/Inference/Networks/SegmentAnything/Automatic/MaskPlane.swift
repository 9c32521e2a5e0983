// SPDX-License-Identifier: Apache-2.0

/// A mask under construction, row by row: its pixels, its box, and how many pixels two other cuts would leave.
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

    /// - Parameter pixels: `[height, width]`, row-major, 0 or 1.
    init(height: Int, width: Int, pixels: [UInt8]) {
        self.height = height
        self.width = width
        self.pixels = pixels
        clear(cut: 0, high: 0, low: 0)
        for row in 0..<height { extendBox(row) }
    }

    /// Starts anew; every row is added afterwards, in order.
    mutating func clear(cut: Float, high: Float, low: Float) {
        (self.cut, self.high, self.low) = (cut, high, low)
        (above, aboveLow) = (0, 0)
        (x0, x1, y0, y1) = (width, -1, 0, -1)
    }

    mutating func add(_ row: Int, _ logits: UnsafePointer<Float>) {
        let (cut, high, low, width) = (cut, high, low, width)
        // Rows are shorter than 2^31.
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

    /// The pixels above the high cut over those above the low one; not a number where there are none.
    var stabilityScore: Float { Float(above) / Float(aboveLow) }

    /// Around the set pixels, the last column and row inside; `nil` when none is set.
    var box: PixelBox? { y1 < 0 ? nil : PixelBox(x0: x0, y0: y0, x1: x1, y1: y1) }

    /// The mask set down in a larger plane, as `RunLengths.init(plane:)` takes it.
    func runLengths(within box: PixelBox?, atX x: Int, y: Int, of size: (height: Int, width: Int)) -> RunLengths {
        pixels.withUnsafeBufferPointer { plane in
            RunLengths(plane: plane, width: width, within: box, atX: x, y: y, of: size)
        }
    }
}
