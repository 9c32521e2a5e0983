// SPDX-License-Identifier: Apache-2.0
//
// Where in a field of view far larger than the training's a network should look, as training/recipes/field_search.py
// does it.

internal import Imaging

/// Answers windows of a grid and chooses the one with the most plausible answer.
///
/// Plausibility is the expected Dice times the boundary certainty of `AnswerMeasures`. A window is put around the
/// centre of mass of each answer, most plausible first, answered, and moved to the new centre until it stays, which a
/// piece of something that the window cuts does not. There are up to `candidates` of them; the best is the region.
struct FieldSearch {
    /// What a network makes of one window by itself.
    struct Answer {
        /// Of the foreground, and 0 or 1, for every point of the window.
        let probability: [Float]
        let mask: [UInt8]
    }

    /// Points along an axis: of a window at most, between the starts of two at most, of the places that regions begin
    /// at.
    static let window = 96
    static let step = 48
    static let rounding = 8
    /// How many windows are answered again, more than `apart` points from each other along some axis.
    static let candidates = 4
    static let apart = 24
    /// Answers after which a window must have stopped to move.
    static let moves = 3
    /// Share of a window's voxels above the background that makes it worth an answer.
    static let leastInside = 0.05
    /// Less than this is no atrium.
    static let leastPlausible = 0.35

    let grid: [Int]
    let windows: [GridRegion]

    /// - Parameter grid: [slices, rows, columns] of what is searched.
    init(grid: [Int]) {
        self.grid = grid
        let shape = grid.map { min($0, Self.window) }
        let (slices, rows, columns) = (Self.starts(grid[0]), Self.starts(grid[1]), Self.starts(grid[2]))
        windows = slices.flatMap { slice in
            rows.flatMap { row in columns.map { GridRegion(starts: [slice, row, $0], shape: shape) } }
        }
    }

    /// Where windows begin along an axis: as few as `step` allows, evenly, the last one at the end.
    private static func starts(_ extent: Int) -> [Int] {
        let count = (max(0, extent - window) + step - 1) / step
        return count > 0 ? (0...count).map { $0 * (extent - window) / count } : [0]
    }

    /// The region to look at, and how plausible an answer is there: 0 where nothing was found at all.
    ///
    /// - Parameters:
    ///   - values: of the grid.
    ///   - answered: the network's answer to a window's values of a shape.
    ///   - progress: is called with the number of windows done, up to `windows.count` and `candidates`.
    func region(
        _ values: [Float], progress: (Int) -> Void, answered: ([Float], [Int]) throws -> Answer
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

    /// Where a window stays when it is moved to the centre of what is found in it, and how plausible that is.
    private func settled(
        _ start: GridRegion, _ values: [Float], _ answered: ([Float], [Int]) throws -> Answer
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

    private static func plausibility(of answer: Answer, _ shape: [Int]) -> Double {
        let measures = AnswerMeasures(
            shape: shape, probability: answer.probability, mask: answer.mask, views: [answer.mask])
        return measures.expectedDice * measures.boundaryCertainty
    }

    /// The window around the centre of mass of the mask that was found in a window, in whole steps of `rounding` and
    /// inside the grid; `nil` for an empty mask.
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
