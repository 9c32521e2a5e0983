// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How well a measure that needs no truth foretells Dice.
public struct ConfidenceStudy: Sendable, Hashable, Codable {
    /// One measure over all cases.
    public struct Predictor: Sendable, Hashable, Codable {
        public var measure: String
        public var cases: Int
        /// With true Dice.
        public var spearman: Double?
        /// Of a low value of the measure for Dice below `acceptable`.
        public var auroc: Double?
    }

    /// Cases of about the same confidence.
    public struct Bin: Sendable, Hashable, Codable {
        public var low: Double
        public var high: Double
        public var cases: Int
        public var meanConfidence: Double
        public var meanDice: Double
    }

    /// What happens when answers with less confidence than `threshold` go to a human.
    public struct Triage: Sendable, Hashable, Codable {
        public var threshold: Double
        /// Share of the cases that go to a human.
        public var toHuman: Double
        /// Of the rest; `nil` when there is none.
        public var restMeanDice: Double?
        /// Share of the rest with a Dice below `acceptable`.
        public var restUnacceptable: Double?
        /// Share of all cases below `acceptable` that go to a human.
        public var caught: Double?
    }

    /// Dice below which an answer needs correction.
    public var acceptable: Double
    /// The recipe's confidence first, named `confidence`, then its measures.
    public var predictors: [Predictor]
    public var bins: [Bin]
    public var triage: [Triage]
    public var meanConfidence: Double
    public var meanDice: Double
    /// Mean of |mean confidence - mean Dice| over the bins, each counting by its cases.
    public var calibrationError: Double

    /// - Parameters:
    ///   - confidence: 0...1, one a case.
    ///   - measures: those behind it, by name; a case may lack one.
    /// - Returns: `nil` without a case.
    public init?(dice: [Double], confidence: [Double], measures: [[String: Double]], acceptable: Double) {
        precondition(dice.count == confidence.count && dice.count == measures.count, "values for every case")
        guard !dice.isEmpty else { return nil }
        self.acceptable = acceptable
        predictors = [Self.predictor("confidence", confidence, dice, acceptable)]
        for name in Set(measures.flatMap(\.keys)).sorted() {
            let known = dice.indices.filter { measures[$0][name] != nil }
            predictors.append(
                Self.predictor(name, known.compactMap { measures[$0][name] }, known.map { dice[$0] }, acceptable))
        }
        let bins = Self.bins(dice, confidence)
        self.bins = bins
        triage = stride(from: 0, through: 20, by: 1).map { step in
            Self.triage(Double(step) / 20, dice, confidence, acceptable)
        }
        meanConfidence = Quantiles.mean(confidence)
        meanDice = Quantiles.mean(dice)
        calibrationError =
            bins.reduce(0) { $0 + Double($1.cases) * abs($1.meanConfidence - $1.meanDice) } / Double(dice.count)
    }

    private static func predictor(
        _ name: String, _ values: [Double], _ dice: [Double], _ acceptable: Double
    ) -> Predictor {
        Predictor(
            measure: name, cases: values.count, spearman: Ranks.spearman(values, dice),
            auroc: Ranks.auroc(values.map { -$0 }, positive: dice.map { $0 < acceptable }))
    }

    /// Ten bins of equal width; those without a case are left out.
    private static func bins(_ dice: [Double], _ confidence: [Double]) -> [Bin] {
        (0..<10).compactMap { number in
            let inside = dice.indices.filter { min(9, max(0, Int(confidence[$0] * 10))) == number }
            guard !inside.isEmpty else { return nil }
            return Bin(
                low: Double(number) / 10, high: Double(number + 1) / 10, cases: inside.count,
                meanConfidence: Quantiles.mean(inside.map { confidence[$0] }),
                meanDice: Quantiles.mean(inside.map { dice[$0] }))
        }
    }

    private static func triage(
        _ threshold: Double, _ dice: [Double], _ confidence: [Double], _ acceptable: Double
    ) -> Triage {
        let rest = dice.indices.filter { confidence[$0] >= threshold }.map { dice[$0] }
        let bad = dice.count { $0 < acceptable }
        let badRest = rest.count { $0 < acceptable }
        return Triage(
            threshold: threshold, toHuman: 1 - Double(rest.count) / Double(dice.count),
            restMeanDice: rest.isEmpty ? nil : Quantiles.mean(rest),
            restUnacceptable: rest.isEmpty ? nil : Double(badRest) / Double(rest.count),
            caught: bad == 0 ? nil : Double(bad - badRest) / Double(bad))
    }
}
