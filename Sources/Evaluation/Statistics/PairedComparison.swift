// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Two segmenters on the same cases: how much better the first is, and whether chance could explain it.
public struct PairedComparison: Sendable, Hashable, Codable {
    public var first: String
    public var second: String
    /// First minus second, over the cases that both answered.
    public var difference: Estimate
    public var firstIsBetter: Int
    public var secondIsBetter: Int
    /// Two-sided: as large a mean difference when the sign of every case's difference is drawn. All signs are tried up
    /// to 14 cases, else 20,000 drawn ones.
    public var signFlipP: Double
    /// Wilcoxon's signed-rank test, two-sided, by the normal approximation with ties, zeros left out.
    public var wilcoxonP: Double

    /// - Parameters:
    ///   - a: scores of the first, in the order of `b`.
    /// - Returns: `nil` without a case.
    public init?(_ first: String, _ a: [Double], _ second: String, _ b: [Double], resampling: Resampling) {
        precondition(a.count == b.count, "a pair for every case")
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
        var generator = SeededGenerator(seed: seed &+ 1)
        let draws = 20_000
        let asLarge = (0..<draws).count { _ in
            abs(values.reduce(0) { $0 + (Bool.random(using: &generator) ? $1 : -$1) }) >= observed
        }
        // The observed signs are one draw: a p of 0 cannot be shown by drawing.
        return Double(asLarge + 1) / Double(draws + 1)
    }

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
