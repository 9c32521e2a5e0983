// SPDX-License-Identifier: Apache-2.0

/// A study of how well confidence and its measures predict Dice without the truth.
public struct ConfidenceStudy: Sendable, Hashable, Codable {
    /// The quality of one measure as a predictor, over all cases that have it.
    public struct Predictor: Sendable, Hashable, Codable {
        /// Name of the measure.
        public var measure: String
        /// The number of cases that have the measure.
        public var cases: Int
        /// Spearman's rank correlation with Dice.
        public var spearman: Double?
        /// Area under the ROC curve of low values for a Dice below `acceptable`.
        public var auroc: Double?
    }

    /// Cases with about the same confidence.
    public struct Bin: Sendable, Hashable, Codable {
        /// The lower limit of the confidence.
        public var low: Double
        /// The upper limit of the confidence.
        public var high: Double
        /// The number of cases.
        public var cases: Int
        /// Mean confidence of these cases.
        public var meanConfidence: Double
        /// Mean Dice of these cases.
        public var meanDice: Double
    }

    /// The effect of sending answers with a confidence below `threshold` to a human.
    public struct Triage: Sendable, Hashable, Codable {
        /// Answers with a lower confidence go to a human.
        public var threshold: Double
        /// Fraction of the cases that go to a human.
        public var toHuman: Double
        /// Mean Dice of the remaining cases; `nil` if every case goes to a human.
        public var restMeanDice: Double?
        /// Fraction of the remaining cases with a Dice below `acceptable`.
        public var restUnacceptable: Double?
        /// Fraction of all cases below `acceptable` that go to a human.
        public var caught: Double?
    }

    /// An answer with a lower Dice needs correction.
    public var acceptable: Double
    /// The confidence, named `confidence`, and then its measures.
    public var predictors: [Predictor]
    /// Ten bins of equal width, without empty ones.
    public var bins: [Bin]
    /// Thresholds from 0 to 1 in steps of 0.05.
    public var triage: [Triage]
    /// Mean confidence of all cases.
    public var meanConfidence: Double
    /// Mean Dice of all cases.
    public var meanDice: Double
    /// Mean of |mean confidence - mean Dice| over the bins, weighted by their cases.
    public var calibrationError: Double

    /// Studies the confidence of answers.
    ///
    /// The result is `nil` without a case.
    ///
    /// - Parameters:
    ///   - dice: one per case.
    ///   - confidence: 0...1, one per case.
    ///   - measures: the measures behind the confidence, by name. A case may lack some.
    ///   - acceptable: a lower Dice needs correction.
    public init?(dice: [Double], confidence: [Double], measures: [[String: Double]], acceptable: Double) {
        precondition(
            dice.count == confidence.count && dice.count == measures.count, "all lists have one element per case")
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

    /// Ten bins of equal width, without empty ones.
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
