// SPDX-License-Identifier: Apache-2.0
//
// The search of a field of view far larger than the training's, as in
// training/recipes/field_search.py.

internal import Imaging

/// Segments windows of a grid and chooses the one with the most plausible answer.
///
/// The plausibility of an answer is the expected Dice times the boundary certainty of
/// `AnswerMeasures`. The search puts a new window around the centre of mass of each answer, the
/// most plausible first. It segments that window and moves it to the new centre until it stops moving. A window that
/// cuts a structure does not come to rest. At most `candidates` windows are followed like this, and the best is the
/// region.
struct FieldSearch {
    /// A network's answer for one window by itself.
    struct WindowAnswer {
        /// Foreground probability of every point of the window.
        let probability: [Float]
        /// 0 or 1 for every point of the window.
        let mask: [UInt8]
    }

    /// The longest side of a window, points.
    static let window = 96
    /// The largest distance between the starts of two neighbouring windows, points.
    static let step = 48
    /// Regions start at multiples of this number of points.
    static let rounding = 8
    /// The largest number of windows that are segmented again.
    static let candidates = 4
    /// Two candidates are more than this number of points apart along at least one axis.
    static let apart = 24
    /// The largest number of answers after which a candidate must stop moving.
    static let moves = 3
    /// A window is segmented if at least this fraction of its voxels lies above the background.
    static let leastInside = 0.05
    /// An answer that is less plausible than this does not show an atrium.
    static let leastPlausible = 0.35

    let grid: [Int]
    let windows: [GridRegion]

    /// Divides a grid into windows.
    ///
    /// - Parameter grid: shape of the searched grid, [slices, rows, columns].
    init(grid: [Int]) {
        self.grid = grid
        let shape = grid.map { min($0, Self.window) }
        let (slices, rows, columns) = (Self.starts(grid[0]), Self.starts(grid[1]), Self.starts(grid[2]))
        windows = slices.flatMap { slice in
            rows.flatMap { row in columns.map { GridRegion(starts: [slice, row, $0], shape: shape) } }
        }
    }

    /// The starts of the windows along an axis: as few as `step` allows, evenly spaced, the last
    /// one at the end.
    private static func starts(_ extent: Int) -> [Int] {
        let count = (max(0, extent - window) + step - 1) / step
        return count > 0 ? (0...count).map { $0 * (extent - window) / count } : [0]
    }

    /// Finds the region that the network should segment.
    ///
    /// - Parameters:
    ///   - values: the values of the grid, [slices, rows, columns].
    ///   - progress: called with the number of windows done, up to `windows.count` + `candidates`.
    ///   - answered: runs the network on a window's values, which have the given shape.
    /// - Returns: the region and the plausibility of its answer, which is 0 if every answer is
    ///   empty.
    func region(
        _ values: [Float], progress: (Int) -> Void, answered: ([Float], [Int]) throws -> WindowAnswer
    ) rethrows -> (region: GridRegion, plausibility: Double) {
        let background = min(0, values.min() ?? 0)
        var found = [(region: GridRegion, plausibility: Double)]()
        for (index, window) in windows.enumerated() {
            progress(index)
            let part = window.cut(values, of: grid)
            guard Double(part.count { $0 > background }) >= Self.leastInside * Double(part.count) else { continue }
            let answer = try answered(part, window.shape)
            guard let around = around(answer.mask, in: window) else { continue }
            found.append((around, Self.plausibility(of: answer, window.shape)))
        }
        let ordered = found.enumerated().sorted {
            ($1.element.plausibility, $0.offset) < ($0.element.plausibility, $1.offset)
        }
        var regions = [(region: GridRegion, plausibility: Double)]()
        for (_, (window, _)) in ordered
        where regions.count < Self.candidates && regions.allSatisfy({ window.distance(to: $0.region) > Self.apart }) {
            progress(windows.count + regions.count)
            regions.append(try settled(window, values, answered))
        }
        if let best = regions.max(by: { $0.plausibility < $1.plausibility }) { return best }
        return (GridRegion(starts: grid.map { max(0, $0 - Self.window) / 2 }, shape: windows[0].shape), 0)
    }

    /// The place where a window comes to rest when it is moved to the centre of each answer.
    ///
    /// The plausibility is that of the answer there, or 0 if the window is still moving after `moves` answers.
    private func settled(
        _ start: GridRegion, _ values: [Float], _ answered: ([Float], [Int]) throws -> WindowAnswer
    ) rethrows -> (region: GridRegion, plausibility: Double) {
        var window = start
        for _ in 0..<Self.moves {
            let answer = try answered(window.cut(values, of: grid), window.shape)
            let again = around(answer.mask, in: window) ?? window
            if window.distance(to: again) <= Self.rounding {
                return (window, Self.plausibility(of: answer, window.shape))
            }
            window = again
        }
        return (window, 0)
    }

    private static func plausibility(of answer: WindowAnswer, _ shape: [Int]) -> Double {
        let measures = AnswerMeasures(
            shape: shape, probability: answer.probability, mask: answer.mask, views: [answer.mask])
        return measures.expectedDice * measures.boundaryCertainty
    }

    /// A window around the centre of mass of a window's mask, in whole steps of `rounding` and
    /// inside the grid.
    ///
    /// - Returns: `nil` for an empty mask.
    private func around(_ mask: [UInt8], in window: GridRegion) -> GridRegion? {
        var (sum, count) = ([0, 0, 0], 0)
        for (index, value) in mask.enumerated() where value != 0 {
            sum[0] += index / (window.shape[1] * window.shape[2])
            sum[1] += index / window.shape[2] % window.shape[1]
            sum[2] += index % window.shape[2]
            count += 1
        }
        guard count > 0 else { return nil }
        let starts = (0..<3).map { axis in
            let middle = Double(sum[axis]) / Double(count) + Double(window.starts[axis])
            let steps = ((middle - Double(Self.window) / 2) / Double(Self.rounding) + 0.5).rounded(.towardZero)
            return min(max(Int(steps) * Self.rounding, 0), max(0, grid[axis] - Self.window))
        }
        return GridRegion(starts: starts, shape: window.shape)
    }
}

/// A box of points in a grid, [slices, rows, columns].
struct GridRegion: Equatable {
    /// Index of the first point along each axis.
    let starts: [Int]
    let shape: [Int]

    /// The largest distance between the starts along one axis, points.
    func distance(to other: GridRegion) -> Int {
        zip(starts, other.starts).map { abs($0 - $1) }.max() ?? 0
    }

    /// Calls `body` with the index in the grid at which each row of the region begins, in the
    /// region's order.
    private func eachRow(in grid: [Int], _ body: (Int) throws -> Void) rethrows {
        for slice in starts[0]..<starts[0] + shape[0] {
            for row in starts[1]..<starts[1] + shape[1] {
                try body((slice * grid[1] + row) * grid[2] + starts[2])
            }
        }
    }

    /// The grid's values in this region.
    func cut(_ values: [Float], of grid: [Int]) -> [Float] {
        var part = [Float]()
        part.reserveCapacity(shape.reduce(1, *))
        eachRow(in: grid) { part.append(contentsOf: values[$0..<$0 + shape[2]]) }
        return part
    }

    /// The region's values on the grid, with zeros around them.
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
