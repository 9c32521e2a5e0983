// SPDX-License-Identifier: Apache-2.0
//
// The enhanced-alignment measure of Fan, Gong, Cao, Ren, Cheng and Borji, "Enhanced-alignment Measure for Binary
// Foreground Map Evaluation", IJCAI 2018, and its curve over 256 thresholds, as PraNet's evaluation takes it.

enum EnhancedAlignment {
    /// Of a binary answer.
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
            // Only four pairs of values occur: each is counted instead of looked at.
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

    /// The score of `map >= t / 255` for t = 0...255. The first is that of an answer that fills the plane.
    ///
    /// - Parameter map: 0...1.
    static func curve(_ map: [Double], truth: [UInt8]) -> [Double] {
        // The highest threshold that a pixel reaches, counted apart inside and outside the truth.
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
