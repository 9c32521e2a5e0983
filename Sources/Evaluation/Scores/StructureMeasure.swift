// SPDX-License-Identifier: Apache-2.0
//
// The structure measure of Fan, Cheng, Liu, Li and Borji, "Structure-measure: A New Way to Evaluate Foreground Maps",
// ICCV 2017, with alpha 0.5: half the likeness of the object and of its background as wholes, half that of the four
// parts into which the truth's centroid divides the plane. Centroids are rounded as the authors' MATLAB code does.

enum StructureMeasure {
    /// - Parameters:
    ///   - map: `[rows, columns]`, 0...1.
    ///   - truth: `[rows, columns]`, 0 or 1.
    /// - Returns: 0...1.
    static func score(_ map: [Double], truth: [UInt8], rows: Int, columns: Int) -> Double {
        let share = Double(truth.reduce(0) { $0 + Int($1) }) / Double(truth.count)
        let mean = map.reduce(0, +) / Double(map.count)
        if share == 0 { return 1 - mean }
        if share == 1 { return mean }
        let region = region(map, truth, rows, columns)
        return max(0, 0.5 * object(map, truth, share) + 0.5 * region)
    }

    private static func object(_ map: [Double], _ truth: [UInt8], _ share: Double) -> Double {
        let foreground = likeness(zip(map, truth).filter { $0.1 == 1 }.map(\.0))
        let background = likeness(zip(map, truth).filter { $0.1 == 0 }.map { 1 - $0.0 })
        return share * foreground + (1 - share) * background
    }

    /// How near to 1 and how even the values are that should all be 1.
    private static func likeness(_ values: [Double]) -> Double {
        let mean = values.reduce(0, +) / Double(values.count)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let deviation = values.count > 1 ? (squares / Double(values.count - 1)).squareRoot() : 0
        return 2 * mean / (mean * mean + 1 + deviation + Double.ulpOfOne)
    }

    private static func region(_ map: [Double], _ truth: [UInt8], _ rows: Int, _ columns: Int) -> Double {
        let (row, column) = centroid(truth, columns)
        var sum = 0.0
        for part in [
            (0..<row, 0..<column), (0..<row, column..<columns), (row..<rows, 0..<column),
            (row..<rows, column..<columns),
        ]
        where !part.0.isEmpty && !part.1.isEmpty {
            let indices = part.0.flatMap { row in part.1.map { row * columns + $0 } }
            let weight = Double(indices.count) / Double(truth.count)
            sum += weight * similarity(indices.map { map[$0] }, indices.map { Double(truth[$0]) })
        }
        return sum
    }

    /// How many rows and columns lie in the upper left part.
    private static func centroid(_ truth: [UInt8], _ columns: Int) -> (row: Int, column: Int) {
        var (row, column, count) = (0, 0, 0)
        for index in truth.indices where truth[index] == 1 {
            row += index / columns + 1
            column += index % columns + 1
            count += 1
        }
        func rounded(_ sum: Int) -> Int { Int((Double(sum) / Double(count)).rounded()) }
        return (rounded(row), rounded(column))
    }

    /// The structural similarity of two parts, each taken as one window, without the constants of SSIM.
    private static func similarity(_ a: [Double], _ b: [Double]) -> Double {
        let count = Double(a.count)
        let (x, y) = (a.reduce(0, +) / count, b.reduce(0, +) / count)
        var (xx, yy, xy) = (0.0, 0.0, 0.0)
        for (p, q) in zip(a, b) {
            xx += (p - x) * (p - x)
            yy += (q - y) * (q - y)
            xy += (p - x) * (q - y)
        }
        let degrees = count - 1 + Double.ulpOfOne
        let above = 4 * x * y * xy / degrees
        let below = (x * x + y * y) * (xx + yy) / degrees
        if above != 0 { return above / (below + Double.ulpOfOne) }
        return below == 0 ? 1 : 0
    }
}
