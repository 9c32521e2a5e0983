// SPDX-License-Identifier: Apache-2.0

/// What follows from the order of numbers alone.
public enum Ranks {
    /// From 1; equal values share the mean of their ranks.
    static func ranks(of values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var first = 0
        while first < order.count {
            var last = first
            while last + 1 < order.count, values[order[last + 1]] == values[order[first]] { last += 1 }
            for place in first...last { ranks[order[place]] = Double(first + last) / 2 + 1 }
            first = last + 1
        }
        return ranks
    }

    /// Spearman's correlation of two measures of the same cases; `nil` where one of them is the same for all.
    public static func spearman(_ a: [Double], _ b: [Double]) -> Double? {
        precondition(a.count == b.count, "two values for every case")
        guard a.count > 1 else { return nil }
        let (x, y) = (ranks(of: a), ranks(of: b))
        let mean = Double(a.count + 1) / 2
        let (xx, yy, xy) = zip(x, y).reduce((0.0, 0.0, 0.0)) { sums, pair in
            let (p, q) = (pair.0 - mean, pair.1 - mean)
            return (sums.0 + p * p, sums.1 + q * q, sums.2 + p * q)
        }
        return xx > 0 && yy > 0 ? xy / (xx * yy).squareRoot() : nil
    }

    /// The area under the ROC curve of `score` for `positive`: how often a positive case has the higher score, ties
    /// counting one half; `nil` without a positive or without a negative case.
    public static func auroc(_ score: [Double], positive: [Bool]) -> Double? {
        precondition(score.count == positive.count, "a label for every case")
        let positives = Double(positive.count { $0 })
        let negatives = Double(positive.count) - positives
        guard positives > 0, negatives > 0 else { return nil }
        let sum = zip(ranks(of: score), positive).reduce(0) { $0 + ($1.1 ? $1.0 : 0) }
        return (sum - positives * (positives + 1) / 2) / (positives * negatives)
    }
}
