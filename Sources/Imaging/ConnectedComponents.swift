// SPDX-License-Identifier: Apache-2.0
//
// Components are found by runs: each run of set pixels is joined with the runs that it touches in earlier lines, in a
// forest of run indices. The search does not recurse, and its memory grows with the number of runs.

/// Connected components of binary volumes and planes.
///
/// Faces, edges and corners touch: 26 or 8 neighbours.
public enum ConnectedComponents {
    /// A run of set pixels in one line.
    private struct Run {
        let first: Int
        /// One past the end.
        let last: Int
    }

    /// Keeps the largest component and clears the others.
    ///
    /// If several components are equally large, the first one in the array is kept.
    ///
    /// - Parameters:
    ///   - values: `[slices, rows, columns]`, 0 or 1.
    ///   - slices: the number of slices; 1 for a plane.
    ///   - rows: the number of rows.
    ///   - columns: the number of columns.
    /// - Returns: the number of components before the call.
    @discardableResult
    public static func keepLargest(_ values: inout [UInt8], slices: Int, rows: Int, columns: Int) -> Int {
        var found = Labels(values, slices: slices, rows: rows, columns: columns)
        // A root is the first run of its component. If components are equally large, the first root is therefore the
        // first one in the array.
        let sizes = found.sizes
        guard let largest = sizes.indices.max(by: { (sizes[$0], $1) < (sizes[$1], $0) }) else { return 0 }
        found.clear(&values, columns: columns) { $0 != largest }
        return sizes.count { $0 > 0 }
    }

    /// Keeps the components that reach into some slices, and those that continue a kept one behind a gap.
    ///
    /// The largest component is kept if none reaches into the slices. The other components are cleared. A component continues another one if 1 to `gap` slices without any component lie between them, if the slices at
    /// both ends of the gap have a place of both in common, and if the component reaches into a slice that is sure.
    ///
    /// - Parameters:
    ///   - chosen: indices of slices.
    ///   - values: `[slices, rows, columns]`, 0 or 1.
    ///   - slices: the number of slices.
    ///   - rows: the number of rows.
    ///   - columns: the number of columns.
    ///   - gap: the largest number of slices in a gap.
    ///   - isSure: whether a slice, by its index, certainly shows the structure.
    /// - Returns: the number of components before the call, the number of kept ones, and the slices of those that were
    ///   kept first.
    public static func keep(
        touching chosen: [Int], in values: inout [UInt8], slices: Int, rows: Int, columns: Int, across gap: Int,
        where isSure: (Int) -> Bool
    ) -> (found: Int, kept: Int, first: Range<Int>) {
        var labels = Labels(values, slices: slices, rows: rows, columns: columns)
        let spans = labels.spans(slices: slices, rows: rows)
        var kept = Set(spans.filter { span in chosen.contains { span.value.contains($0) } }.keys)
        if kept.isEmpty {
            let largest = spans.keys.max { (labels.sizes[$0], $1) < (labels.sizes[$1], $0) }
            guard let largest else { return (0, 0, 0..<0) }
            kept = [largest]
        }
        let first = kept.compactMap { spans[$0] }.reduce(nil as Range<Int>?) { all, span in
            all.map { min($0.lowerBound, span.lowerBound)..<max($0.upperBound, span.upperBound) } ?? span
        }
        let occupied = Set(spans.values.joined())
        func continues(_ one: Int, _ other: Int) -> Bool {
            guard let span = spans[one], let second = spans[other] else { return false }
            guard span.lowerBound < second.lowerBound else {
                return span.lowerBound > second.lowerBound && continues(other, one)
            }
            let between = span.upperBound..<max(second.lowerBound, span.upperBound)
            return !between.isEmpty && between.count <= gap && occupied.isDisjoint(with: between)
                && labels.overlap(one, in: span.upperBound - 1, other, in: second.lowerBound, rows: rows)
        }
        var grows = true
        while grows {
            grows = false
            for (one, span) in spans where !kept.contains(one) && span.contains(where: isSure) {
                guard kept.contains(where: { continues(one, $0) }) else { continue }
                kept.insert(one)
                grows = true
            }
        }
        labels.clear(&values, columns: columns) { !kept.contains($0) }
        return (spans.count, kept.count, first ?? 0..<0)
    }

    /// Clears the components that have fewer elements than `least`.
    ///
    /// - Parameters:
    ///   - values: `[slices, rows, columns]`, 0 or 1.
    ///   - slices: the number of slices; 1 for a plane.
    ///   - rows: the number of rows.
    ///   - columns: the number of columns.
    ///   - least: the smallest number of elements of a component that is kept.
    /// - Returns: the number of cleared components.
    @discardableResult
    public static func removeSmall(
        _ values: inout [UInt8], slices: Int, rows: Int, columns: Int, below least: Int
    ) -> Int {
        var found = Labels(values, slices: slices, rows: rows, columns: columns)
        let sizes = found.sizes
        found.clear(&values, columns: columns) { sizes[$0] < least }
        return sizes.count { $0 > 0 && $0 < least }
    }

    /// The runs of a volume and their components.
    private struct Labels {
        let runs: [Run]
        /// The index of the first run of each line, and the number of runs.
        let lineStarts: [Int]
        /// For each run, the index of an earlier run of its component, or its own.
        var parents: [Int]
        /// For the first run of a component, the component's number of elements; 0 for the other runs.
        var sizes: [Int]

        init(_ values: [UInt8], slices: Int, rows: Int, columns: Int) {
            precondition(values.count == slices * rows * columns, "values are [slices, rows, columns]")
            (runs, lineStarts) = findRuns(values, lines: slices * rows, columns: columns)
            parents = Array(runs.indices)
            for slice in 0..<slices {
                for row in 0..<rows {
                    let line = slice * rows + row
                    if row > 0 { join(line, line - 1, runs, lineStarts, &parents) }
                    guard slice > 0 else { continue }
                    for other in max(row - 1, 0)...min(row + 1, rows - 1) {
                        join(line, (slice - 1) * rows + other, runs, lineStarts, &parents)
                    }
                }
            }
            sizes = [Int](repeating: 0, count: runs.count)
            for index in runs.indices {
                sizes[root(index, &parents)] += runs[index].last - runs[index].first
            }
        }

        /// The slices of each component, by its first run.
        mutating func spans(slices: Int, rows: Int) -> [Int: Range<Int>] {
            var spans = [Int: Range<Int>]()
            for slice in 0..<slices {
                for run in lineStarts[slice * rows]..<lineStarts[(slice + 1) * rows] {
                    let first = root(run, &parents)
                    spans[first] = (spans[first]?.lowerBound ?? slice)..<slice + 1
                }
            }
            return spans
        }

        /// Whether a component in one slice and another one in another slice have a row and column in common.
        mutating func overlap(_ one: Int, in slice: Int, _ other: Int, in second: Int, rows: Int) -> Bool {
            for row in 0..<rows {
                let (line, next) = (slice * rows + row, second * rows + row)
                for a in lineStarts[line]..<lineStarts[line + 1] where root(a, &parents) == one {
                    for b in lineStarts[next]..<lineStarts[next + 1] where root(b, &parents) == other {
                        if runs[a].first < runs[b].last, runs[b].first < runs[a].last { return true }
                    }
                }
            }
            return false
        }

        /// Clears each component if `chosen` returns true for the component's first run.
        mutating func clear(_ values: inout [UInt8], columns: Int, where chosen: (Int) -> Bool) {
            for line in 0..<lineStarts.count - 1 {
                for index in lineStarts[line]..<lineStarts[line + 1] where chosen(root(index, &parents)) {
                    for column in runs[index].first..<runs[index].last { values[line * columns + column] = 0 }
                }
            }
        }
    }

    /// The runs of all lines, and the index of each line's first run.
    private static func findRuns(_ values: [UInt8], lines: Int, columns: Int) -> ([Run], [Int]) {
        var runs = [Run]()
        var starts = [Int]()
        starts.reserveCapacity(lines + 1)
        values.withUnsafeBufferPointer { values in
            for line in 0..<lines {
                starts.append(runs.count)
                var column = 0
                while column < columns {
                    guard values[line * columns + column] != 0 else {
                        column += 1
                        continue
                    }
                    let first = column
                    while column < columns, values[line * columns + column] != 0 { column += 1 }
                    runs.append(Run(first: first, last: column))
                }
            }
        }
        starts.append(runs.count)
        return (runs, starts)
    }

    /// Joins the runs of two lines that touch, also at a corner.
    private static func join(_ line: Int, _ other: Int, _ runs: [Run], _ starts: [Int], _ parents: inout [Int]) {
        var a = starts[line]
        var b = starts[other]
        while a < starts[line + 1], b < starts[other + 1] {
            if runs[a].first <= runs[b].last, runs[b].first <= runs[a].last {
                let (x, y) = (root(a, &parents), root(b, &parents))
                parents[max(x, y)] = min(x, y)
            }
            if runs[a].last < runs[b].last { a += 1 } else { b += 1 }
        }
    }

    /// The first run of a run's component.
    ///
    /// The search also halves the path to this run, so that later searches are faster.
    private static func root(_ index: Int, _ parents: inout [Int]) -> Int {
        var index = index
        while parents[index] != index {
            parents[index] = parents[parents[index]]
            index = parents[index]
        }
        return index
    }
}
