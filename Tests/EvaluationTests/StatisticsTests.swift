// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Testing

@Suite struct StatisticsTests {
    @Test func `rank correlation, AUROC and Wilcoxon's test equal those of SciPy and scikit-learn`() throws {
        let golden = Golden.statistics
        let (a, b) = (golden.a, golden.b)
        #expect(abs(try #require(Ranks.spearman(a, b)) - golden.spearman) < 1e-12)
        let auroc = try #require(Ranks.auroc(b.map { 1 - $0 }, positive: a.map { $0 < 0.7 }))
        #expect(abs(auroc - golden.auroc) < 1e-12)
        let pair = try #require(PairedComparison("a", a, "b", b, resampling: Bootstrap()))
        #expect(abs(pair.wilcoxonP - golden.wilcoxon) < 1e-9)
        #expect(abs(pair.difference.mean - zip(a, b).reduce(0) { $0 + $1.0 - $1.1 } / 40) < 1e-12)
    }

    @Test func `the same seed gives the same interval, another seed one like it`() throws {
        let values = Golden.statistics.a
        let first = try #require(Estimate(values, resampling: Bootstrap(seed: 5)))
        #expect(first == Estimate(values, resampling: Bootstrap(seed: 5)))
        let second = try #require(Estimate(values, resampling: Bootstrap(seed: 6)))
        #expect(first.low != second.low && abs(first.low - second.low) < 0.01)
        #expect(first.low < first.mean && first.mean < first.high)
        #expect(abs(first.median - Golden.statistics.quantiles[2]) < 1e-12)
        // The interval of a mean is about two standard errors to either side.
        let deviation = (values.reduce(0) { $0 + ($1 - first.mean) * ($1 - first.mean) } / 39).squareRoot()
        #expect(abs((first.high - first.low) / 2 - 1.96 * deviation / 40.0.squareRoot()) < 0.008)
    }

    @Test func `an estimate needs a value, and one value has an interval without width`() {
        #expect(Estimate([], resampling: Bootstrap()) == nil)
        let one = Estimate([0.25], resampling: Bootstrap())
        #expect(one?.low == 0.25 && one?.high == 0.25 && one?.count == 1)
    }

    @Test func `few pairs are compared by trying all signs`() throws {
        // All five differences have the same sign, so 2 of 32 sign patterns are as extreme.
        let pair = try #require(
            PairedComparison("x", [0.9, 0.8, 0.7, 0.9, 0.6], "y", [0.8, 0.6, 0.4, 0.5, 0.1], resampling: Bootstrap()))
        #expect(pair.signFlipP == 2.0 / 32)
        #expect(pair.firstIsBetter == 5 && pair.secondIsBetter == 0)
        let same = try #require(PairedComparison("x", [0.5, 0.5], "y", [0.5, 0.5], resampling: Bootstrap()))
        #expect(same.signFlipP == 1 && same.wilcoxonP == 1 && same.difference.mean == 0)
    }

    @Test func `ties count one half in AUROC, and a single class does not have an AUROC`() {
        #expect(Ranks.auroc([1, 1, 1, 1], positive: [true, false, true, false]) == 0.5)
        #expect(Ranks.auroc([1, 2], positive: [true, true]) == nil)
        #expect(Ranks.spearman([1, 1, 1], [1, 2, 3]) == nil)
        #expect(Ranks.spearman([1, 2, 3], [30, 20, 10]) == -1)
    }

    @Test func `a threshold divides cases into those for review and the rest, which is scored`() throws {
        let dice = [0.95, 0.9, 0.6, 0.2]
        let confidence = [0.9, 0.85, 0.7, 0.3]
        let study = try #require(
            ConfidenceStudy(
                dice: dice, confidence: confidence, measures: [["m": 1], ["m": 2], [:], ["m": 0]], acceptable: 0.7))
        let row = try #require(study.triage.first { abs($0.threshold - 0.8) < 1e-9 })
        #expect(row.toHuman == 0.5 && row.caught == 1 && row.restUnacceptable == 0)
        #expect(abs((row.restMeanDice ?? 0) - 0.925) < 1e-12)
        #expect(study.predictors[0].spearman == 1 && study.predictors[0].auroc == 1)
        #expect(study.predictors[1].measure == "m" && study.predictors[1].cases == 3)
        #expect(study.bins.map(\.cases) == [1, 1, 1, 1])
        #expect(abs(study.calibrationError - (0.1 + 0.1 + 0.05 + 0.05) / 4) < 1e-12)
        let last = try #require(study.triage.last)
        #expect(last.toHuman == 1 && last.restMeanDice == nil)
    }
}
