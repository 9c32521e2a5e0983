// SPDX-License-Identifier: Apache-2.0
//
// Three published measures of a foreground map of one frame. Each type names its publication.

internal import Foundation

/// The weighted F-measure.
///
/// Margolin, Zelnik-Manor and Tal, "How to Evaluate Foreground Maps?", CVPR 2014, with beta 1. An
/// error counts less near the edge, or on a pixel with correct neighbours. A false positive counts
/// more at a greater distance from the object.
enum WeightedFMeasure {
    /// Measures a map.
    ///
    /// - Parameters:
    ///   - map: `[rows, columns]`, 0...1.
    ///   - truth: `[rows, columns]`, 0 or 1.
    ///   - rows: rows of the plane.
    ///   - columns: columns of the plane.
    /// - Returns: 0...1. The publication does not define an empty truth; the result is 0 then.
    static func score(_ map: [Double], truth: [UInt8], rows: Int, columns: Int) -> Double {
        guard truth.contains(1) else { return 0 }
        let nearest = NearestPixels(of: truth, rows: rows, columns: columns)
        let error = zip(map, truth).map { abs($0 - Double($1)) }
        // A pixel outside the object takes the error of the nearest pixel inside.
        let spread = error.indices.map { truth[$0] == 1 ? error[$0] : error[nearest.indices[$0]] }
        let smooth = smoothed(spread, rows: rows, columns: columns)
        var (inside, outside, wanted) = (0.0, 0.0, 0.0)
        for index in error.indices {
            if truth[index] == 1 {
                inside += min(error[index], smooth[index])
                wanted += 1
            } else {
                let distance = Double(nearest.squaredDistances[index]).squareRoot()
                outside += error[index] * (2 - exp(log(0.5) / 5 * distance))
            }
        }
        let found = wanted - inside
        let recall = 1 - inside / wanted
        let precision = found / (Double.ulpOfOne + found + outside)
        return 2 * recall * precision / (Double.ulpOfOne + recall + precision)
    }

    /// The values smoothed by a Gaussian of 7 x 7 pixels with a deviation of 5, with zeros around
    /// the plane.
    private static func smoothed(_ values: [Double], rows: Int, columns: Int) -> [Double] {
        let weights = (-3...3).map { exp(-Double($0 * $0) / 50) }
        let kernel = weights.map { $0 / weights.reduce(0, +) }
        func filtered(_ values: [Double], length: Int, step: Int) -> [Double] {
            values.indices.map { index in
                let place = index / step % length
                var sum = 0.0
                for offset in max(-3, -place)...min(3, length - 1 - place) {
                    sum += kernel[offset + 3] * values[index + offset * step]
                }
                return sum
            }
        }
        return filtered(filtered(values, length: columns, step: 1), length: rows, step: columns)
    }
}

/// The structure measure (S-measure).
///
/// Fan, Cheng, Liu, Li and Borji, "Structure-measure: A New Way to Evaluate Foreground Maps", ICCV
/// 2017, with alpha 0.5. Half of the measure is the similarity of object and background as wholes.
/// The other half is the similarity of the four parts into which the truth's centroid divides the
/// plane. Centroids are rounded as in the authors' MATLAB code.
enum StructureMeasure {
    /// Measures a map.
    ///
    /// - Parameters:
    ///   - map: `[rows, columns]`, 0...1.
    ///   - truth: `[rows, columns]`, 0 or 1.
    ///   - rows: rows of the plane.
    ///   - columns: columns of the plane.
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

    /// A measure of closeness to 1 and evenness, for values that should all be 1.
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

    /// The number of rows and columns of the upper left part.
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

    /// The structural similarity of two parts, each as one window, without the constants of SSIM.
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

/// The enhanced-alignment measure (E-measure).
///
/// Fan, Gong, Cao, Ren, Cheng and Borji, "Enhanced-alignment Measure for Binary Foreground Map
/// Evaluation", IJCAI 2018. PraNet's evaluation also takes its curve over 256 thresholds.
enum EnhancedAlignment {
    /// The measure of a binary answer.
    ///
    /// - Parameters:
    ///   - overlap: the overlap of answer and truth.
    ///   - pixels: the number of pixels of the frame.
    /// - Returns: 0...1.
    static func score(_ overlap: Overlap, pixels: Int) -> Double {
        let found = overlap.truePositives + overlap.falsePositives
        let wanted = overlap.truePositives + overlap.falseNegatives
        let neither = pixels - wanted - overlap.falsePositives
        let sum: Double
        if wanted == 0 {
            sum = Double(pixels - found)
        } else if wanted == pixels {
            sum = Double(found)
        } else {
            let (answer, truth) = (Double(found) / Double(pixels), Double(wanted) / Double(pixels))
            // Only four pairs of values occur, so their counts replace a loop over the pixels.
            func part(_ count: Int, _ a: Double, _ b: Double) -> Double {
                let (p, q) = (a - answer, b - truth)
                let alignment = 2 * p * q / (p * p + q * q + Double.ulpOfOne)
                return Double(count) * (alignment + 1) * (alignment + 1) / 4
            }
            sum =
                part(overlap.truePositives, 1, 1) + part(overlap.falsePositives, 1, 0)
                + part(overlap.falseNegatives, 0, 1) + part(neither, 0, 0)
        }
        return sum / (Double(pixels) - 1 + Double.ulpOfOne)
    }

    /// The measures of `map >= t / 255` for t = 0...255.
    ///
    /// The first answer fills the plane.
    static func curve(_ map: [Double], truth: [UInt8]) -> [Double] {
        // Pixels by the highest threshold that they reach, counted apart inside and outside the
        // truth.
        var inside = [Int](repeating: 0, count: 256)
        var outside = [Int](repeating: 0, count: 256)
        for (value, true1) in zip(map, truth) {
            let level = Int((min(max(value, 0), 1) * 255 + 1e-9).rounded(.down))
            if true1 == 1 { inside[level] += 1 } else { outside[level] += 1 }
        }
        let wanted = inside.reduce(0, +)
        var scores = [Double](repeating: 0, count: 256)
        var (both, wrong) = (0, 0)
        for level in (0...255).reversed() {
            both += inside[level]
            wrong += outside[level]
            let overlap = Overlap(truePositives: both, falsePositives: wrong, falseNegatives: wanted - both)
            scores[level] = score(overlap, pixels: truth.count)
        }
        return scores
    }
}
