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

    /// Keeps the components that reach into at least one of some slices, and clears the others.
    ///
    /// Nothing changes if no component does.
    ///
    /// - Parameters:
    ///   - chosen: indices of slices.
    ///   - values: `[slices, rows, columns]`, 0 or 1.
    ///   - slices: the number of slices.
    ///   - rows: the number of rows.
    ///   - columns: the number of columns.
    /// - Returns: the number of components before the call, and of those that reach into the slices.
    public static func keep(
        touching chosen: [Int], in values: inout [UInt8], slices: Int, rows: Int, columns: Int
    ) -> (found: Int, kept: Int) {
        var labels = Labels(values, slices: slices, rows: rows, columns: columns)
        let found = labels.sizes.count { $0 > 0 }
        var kept = Set<Int>()
        for slice in chosen {
            for run in labels.lineStarts[slice * rows]..<labels.lineStarts[(slice + 1) * rows] {
                kept.insert(root(run, &labels.parents))
            }
        }
        if !kept.isEmpty { labels.clear(&values, columns: columns) { !kept.contains($0) } }
        return (found, kept.count)
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
