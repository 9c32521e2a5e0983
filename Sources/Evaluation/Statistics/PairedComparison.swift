// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// Two segmenters on the same cases: the difference of their scores, and the probability that
/// chance explains it.
public struct PairedComparison: Sendable, Hashable, Codable {
    /// Name of the first segmenter.
    public var first: String
    /// Name of the second segmenter.
    public var second: String
    /// First minus second, over the cases that both segmented.
    public var difference: Estimate
    /// The number of cases in which the first scored higher.
    public var firstIsBetter: Int
    /// The number of cases in which the second scored higher.
    public var secondIsBetter: Int
    /// Two-sided p value of the sign-flip test.
    ///
    /// It is the probability of a mean difference at least as large if the sign of every case's
    /// difference is random. With at most 14 cases, the test tries every combination of signs. With more, it tries
    /// 20,000 random ones.
    public var signFlipP: Double
    /// Two-sided p value of Wilcoxon's signed-rank test, by the normal approximation with ties and
    /// without zeros.
    public var wilcoxonP: Double

    /// Compares two segmenters.
    ///
    /// The result is `nil` without a case.
    ///
    /// - Parameters:
    ///   - first: name of the first.
    ///   - a: scores of the first, one per case.
    ///   - second: name of the second.
    ///   - b: scores of the second, in the order of `a`.
    ///   - resampling: for the interval of the difference.
    public init?(_ first: String, _ a: [Double], _ second: String, _ b: [Double], resampling: Bootstrap) {
        precondition(a.count == b.count, "both lists have one score per case")
        let differences = zip(a, b).map { $0 - $1 }
        guard let difference = Estimate(differences, resampling: resampling) else { return nil }
        self.first = first
        self.second = second
        self.difference = difference
        firstIsBetter = differences.count { $0 > 0 }
        secondIsBetter = differences.count { $0 < 0 }
        signFlipP = Self.signFlip(differences, seed: resampling.seed)
        wilcoxonP = Self.wilcoxon(differences)
    }

    /// The p value of the sign-flip test.
    static func signFlip(_ differences: [Double], seed: UInt64) -> Double {
        let values = differences.filter { $0 != 0 }
        let observed = abs(values.reduce(0, +)) - 1e-12
        if values.count <= 14 {
            let all = 1 << values.count
            let asLarge = (0..<all).count { signs in
                abs(values.indices.reduce(0) { $0 + (signs >> $1 & 1 == 0 ? values[$1] : -values[$1]) }) >= observed
            }
            return Double(asLarge) / Double(all)
        }
        var generator = SplitMix64(seed: seed &+ 1)
        let draws = 20_000
        let asLarge = (0..<draws).count { _ in
            abs(values.reduce(0) { $0 + (Bool.random(using: &generator) ? $1 : -$1) }) >= observed
        }
        // The observed signs count as one draw, because drawing cannot prove a p value of 0.
        return Double(asLarge + 1) / Double(draws + 1)
    }

    /// The p value of Wilcoxon's signed-rank test.
    static func wilcoxon(_ differences: [Double]) -> Double {
        let values = differences.filter { $0 != 0 }
        guard !values.isEmpty else { return 1 }
        let ranks = Ranks.ranks(of: values.map(abs))
        let n = Double(values.count)
        let sum = zip(values, ranks).reduce(0) { $0 + ($1.0 > 0 ? $1.1 : 0) }
        let ties = Dictionary(grouping: ranks) { $0 }.values.reduce(0) { sum, group in
            let t = Double(group.count)
            return sum + t * t * t - t
        }
        let variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
        guard variance > 0 else { return 1 }
        return erfc(abs(sum - n * (n + 1) / 4) / variance.squareRoot() / 2.0.squareRoot())
    }
}

/// Statistics that depend on the order of numbers alone.
public enum Ranks {
    /// Ranks from 1.
    ///
    /// Equal values share the mean of their ranks.
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

    /// Spearman's rank correlation of two measures of the same cases; `nil` if one of them is
    /// constant.
    public static func spearman(_ a: [Double], _ b: [Double]) -> Double? {
        precondition(a.count == b.count, "both lists have one value per case")
        guard a.count > 1 else { return nil }
        let (x, y) = (ranks(of: a), ranks(of: b))
        let mean = Double(a.count + 1) / 2
        let (xx, yy, xy) = zip(x, y).reduce((0.0, 0.0, 0.0)) { sums, pair in
            let (p, q) = (pair.0 - mean, pair.1 - mean)
            return (sums.0 + p * p, sums.1 + q * q, sums.2 + p * q)
        }
        return xx > 0 && yy > 0 ? xy / (xx * yy).squareRoot() : nil
    }

    /// The area under the ROC curve of a score.
    ///
    /// It is the probability that a positive case has a higher score than a negative one. Ties
    /// count one half.
    ///
    /// - Parameters:
    ///   - score: one per case.
    ///   - positive: the label of each case.
    /// - Returns: `nil` without a positive or without a negative case.
    public static func auroc(_ score: [Double], positive: [Bool]) -> Double? {
        precondition(score.count == positive.count, "both lists have one element per case")
        let positives = Double(positive.count { $0 })
        let negatives = Double(positive.count) - positives
        guard positives > 0, negatives > 0 else { return nil }
        let sum = zip(ranks(of: score), positive).reduce(0) { $0 + ($1.1 ? $1.0 : 0) }
        return (sum - positives * (positives + 1) / 2) / (positives * negatives)
    }
}
