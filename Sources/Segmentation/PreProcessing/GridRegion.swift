// SPDX-License-Identifier: Apache-2.0

/// A box of a grid [slices, rows, columns].
struct GridRegion: Equatable {
    let starts: [Int]
    let shape: [Int]

    /// The most that the starts are apart along one axis, points.
    func distance(to other: GridRegion) -> Int {
        zip(starts, other.starts).map { abs($0 - $1) }.max() ?? 0
    }

    /// Calls `body` with where each row of the region begins in the grid, in the order of the region.
    private func eachRow(in grid: [Int], _ body: (Int) throws -> Void) rethrows {
        for slice in starts[0]..<starts[0] + shape[0] {
            for row in starts[1]..<starts[1] + shape[1] {
                try body((slice * grid[1] + row) * grid[2] + starts[2])
            }
        }
    }

    func cut(_ values: [Float], of grid: [Int]) -> [Float] {
        var part = [Float]()
        part.reserveCapacity(shape.reduce(1, *))
        eachRow(in: grid) { part.append(contentsOf: values[$0..<$0 + shape[2]]) }
        return part
    }

    /// The values of this region on the grid, zeros around them.
    func placed(_ part: [Float], on grid: [Int]) -> [Float] {
        var values = [Float](repeating: 0, count: grid.reduce(1, *))
        var row = 0
        eachRow(in: grid) {
            values.replaceSubrange($0..<$0 + shape[2], with: part[row..<row + shape[2]])
            row += shape[2]
        }
        return values
    }
}
