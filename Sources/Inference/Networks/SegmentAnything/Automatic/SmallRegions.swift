// SPDX-License-Identifier: Apache-2.0
//
// remove_small_regions of segment-anything 1.0. It labels with OpenCV's connected components (8 neighbours), whose labels
// follow the order in which blocks of 2 x 2 pixels are first met: that decides which of equally large islands stays.

enum SmallRegions {
    /// Fills holes, then clears islands, of fewer than `area` pixels; when all islands are that small the largest stays.
    ///
    /// - Parameter pixels: `[height, width]`, row-major, 0 or 1; changed in place.
    /// - Returns: whether there was anything to fill or clear.
    static func remove(below area: Int, from pixels: inout [UInt8], height: Int, width: Int) -> Bool {
        let holes = fill(of: 0, below: area, &pixels, height, width, keepsOne: false)
        let islands = fill(of: 1, below: area, &pixels, height, width, keepsOne: true)
        return holes || islands
    }

    private struct Region {
        let seed: Int
        var size = 0
        /// Of its first block of 2 x 2 pixels, row by row.
        var block = Int.max
    }

    /// Gives the other value to every region of pixels of `value` that is too small.
    private static func fill(
        of value: UInt8, below area: Int, _ pixels: inout [UInt8], _ height: Int, _ width: Int, keepsOne: Bool
    ) -> Bool {
        // 2 marks what has been visited.
        var marks = pixels
        var regions = [Region]()
        var stack = [Int]()
        for seed in marks.indices where marks[seed] == value {
            var region = Region(seed: seed)
            visit(seed, value, &marks, height, width, &stack) { pixel in
                region.size += 1
                region.block = min(region.block, pixel / width / 2 * width + pixel % width / 2)
            }
            regions.append(region)
        }
        var small = regions.filter { $0.size < area }
        guard !small.isEmpty else { return false }
        if keepsOne, small.count == regions.count {
            let largest = small.indices.min { first, second in
                (-small[first].size, small[first].block) < (-small[second].size, small[second].block)
            }
            if let largest { small.remove(at: largest) }
        }
        for region in small {
            visit(region.seed, value, &pixels, height, width, &stack) { _ in }
        }
        // What was visited has the mark; it becomes the other value.
        for index in pixels.indices where pixels[index] == 2 { pixels[index] = 1 - value }
        return true
    }

    /// Marks the region of `seed` and calls `body` with each of its pixels.
    private static func visit(
        _ seed: Int, _ value: UInt8, _ marks: inout [UInt8], _ height: Int, _ width: Int, _ stack: inout [Int],
        _ body: (Int) -> Void
    ) {
        marks[seed] = 2
        stack.append(seed)
        while let pixel = stack.popLast() {
            body(pixel)
            let (y, x) = (pixel / width, pixel % width)
            for row in max(y - 1, 0)...min(y + 1, height - 1) {
                for column in max(x - 1, 0)...min(x + 1, width - 1) where marks[row * width + column] == value {
                    marks[row * width + column] = 2
                    stack.append(row * width + column)
                }
            }
        }
    }
}
