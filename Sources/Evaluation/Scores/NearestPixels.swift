// SPDX-License-Identifier: Apache-2.0
//
// The exact Euclidean feature transform in two passes: along the columns, then along each row over
// the lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012). If several pixels are nearest, the leftmost
// column wins, and within a column the uppermost pixel, as in SciPy's distance_transform_edt.

/// The nearest pixel of a set for every pixel of a plane, with its distance.
struct NearestPixels {
    /// Index of the nearest pixel, `[rows, columns]`.
    let indices: [Int]
    /// Squared distance to it in pixels, `[rows, columns]`.
    let squaredDistances: [Int]

    /// Finds the nearest pixels of a set that is not empty.
    ///
    /// - Parameters:
    ///   - set: not 0 for pixels of the set, `[rows, columns]`.
    ///   - rows: rows of the plane.
    ///   - columns: columns of the plane.
    init(of set: [UInt8], rows: Int, columns: Int) {
        precondition(set.count == rows * columns && set.contains { $0 != 0 }, "the set holds a pixel of the plane")
        let nearestRows = Self.nearestRows(set, rows, columns)
        var indices = [Int](repeating: 0, count: set.count)
        var squares = [Int](repeating: 0, count: set.count)
        for row in 0..<rows {
            let line = nearestRows[row * columns..<(row + 1) * columns]
            // Columns with a pixel of the set, and the squared distance to that pixel within the
            // column.
            let sites = line.indices.filter { line[$0] >= 0 }.map { index -> (column: Int, height: Int) in
                let distance = line[index] - row
                return (index - row * columns, distance * distance)
            }
            var site = 0
            let envelope = Self.envelope(sites)
            for column in 0..<columns {
                func square(_ place: Int) -> Int {
                    let (own, height) = sites[envelope[place]]
                    return (own - column) * (own - column) + height
                }
                while site + 1 < envelope.count, square(site + 1) < square(site) { site += 1 }
                let nearest = sites[envelope[site]].column
                indices[row * columns + column] = nearestRows[row * columns + nearest] * columns + nearest
                squares[row * columns + column] = square(site)
            }
        }
        self.indices = indices
        self.squaredDistances = squares
    }

    /// The row of the nearest pixel of the set in each pixel's column; -1 if the column does not
    /// have one.
    private static func nearestRows(_ set: [UInt8], _ rows: Int, _ columns: Int) -> [Int] {
        var nearest = [Int](repeating: -1, count: set.count)
        for column in 0..<columns {
            var last = -1
            for row in 0..<rows {
                if set[row * columns + column] != 0 { last = row }
                nearest[row * columns + column] = last
            }
            last = -1
            for row in (0..<rows).reversed() {
                let index = row * columns + column
                if set[index] != 0 { last = row }
                if last >= 0, nearest[index] < 0 || last - row < row - nearest[index] { nearest[index] = last }
            }
        }
        return nearest
    }

    /// Indices of the sites whose parabolas reach or touch the lower envelope.
    private static func envelope(_ sites: [(column: Int, height: Int)]) -> [Int] {
        var kept: [Int] = []
        for index in sites.indices {
            while kept.count >= 2 {
                let (a, b, c) = (sites[kept[kept.count - 2]], sites[kept[kept.count - 1]], sites[index])
                // Where a and c meet, b lies strictly above both, so b is never the nearest.
                let (ab, bc) = (b.column - a.column, c.column - b.column)
                let excess = (ab + bc) * b.height - bc * a.height - ab * c.height - ab * bc * (ab + bc)
                if excess <= 0 { break }
                kept.removeLast()
            }
            kept.append(index)
        }
        return kept
    }
}
