// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// One score over all cases that have it.
public struct ScoreSummary: Sendable, Hashable, Codable {
    public var name: String
    public var title: String
    public var estimate: Estimate
}

/// What one segmenter reached on the whole set.
public struct SegmenterSummary: Sendable, Hashable, Codable {
    public struct Failure: Sendable, Hashable, Codable {
        public var caseID: String
        public var reason: String
    }

    public struct Group: Sendable, Hashable, Codable {
        public var name: String
        public var dice: Estimate
    }

    public var name: String
    /// Boxes came from the truth: what is reached so is an oracle's.
    public var isOracle: Bool
    public var descriptor: SegmenterDescriptor
    public var cases: Int
    public var failures: [Failure]
    public var scores: [ScoreSummary]
    /// In the order of their names; empty when no case names one.
    public var groups: [Group]
    /// Cases in which nothing is, and how many of them were marked all the same.
    public var emptyCases: Int
    public var emptyMarked: Int
    /// Share of cases with a Dice below what is acceptable.
    public var needCorrection: Double
    public var seconds: Estimate?
    /// Over all cases, bytes.
    public var peakMemory: Int?
    public var splits: [TraitSplit]
    public var confidence: ConfidenceStudy?
    /// Cases with the least Dice, the worst first.
    public var worst: [String]
    /// What other choices among the same masks score; empty for segmenters that do not choose.
    public var yardsticks: [YardstickSummary]
    /// What was said of every answer, such as that a rule is not measured on these weights.
    public var notes: [String]

    /// - Parameter results: of this segmenter and prompt, not empty.
    init(_ results: [CaseResult], descriptor: SegmenterDescriptor, settings: ReportSettings) {
        name = results[0].name
        isOracle = results[0].key.prompt != .automatic
        self.descriptor = descriptor
        failures = results.compactMap { result in
            result.failure.map { Failure(caseID: result.key.caseID, reason: $0) }
        }
        let scored = results.filter { $0.scores != nil }
        let dice = scored.compactMap(\.scores?.dice)
        cases = scored.count
        scores = Self.scores(scored, settings.resampling)
        groups = Dictionary(grouping: scored.filter { $0.group != nil }) { $0.group ?? "" }
            .sorted { $0.key < $1.key }
            .compactMap { name, members in
                Estimate(members.compactMap(\.scores?.dice), resampling: settings.resampling)
                    .map { Group(name: name, dice: $0) }
            }
        emptyCases = scored.count { $0.scores?.truthIsEmpty == true }
        emptyMarked = scored.count { $0.scores?.truthIsEmpty == true && $0.scores?.answerIsEmpty == false }
        needCorrection = dice.isEmpty ? 0 : Double(dice.count { $0 < settings.acceptable }) / Double(dice.count)
        seconds = Estimate(scored.compactMap(\.seconds), resampling: settings.resampling)
        peakMemory = scored.compactMap(\.peakMemory).max()
        splits = CaseTraits.titles.compactMap { trait in
            TraitSplit(
                trait: trait.name, title: trait.title, values: scored.map { $0.traits?[trait.name] }, dice: dice,
                acceptable: settings.acceptable, resampling: settings.resampling)
        }
        let sure = scored.filter { $0.confidence != nil }
        confidence = ConfidenceStudy(
            dice: sure.compactMap(\.scores?.dice), confidence: sure.compactMap(\.confidence?.value),
            measures: sure.compactMap(\.confidence?.measures), acceptable: settings.acceptable)
        worst = scored.sorted { ($0.scores?.dice ?? 0, $0.key.caseID) < ($1.scores?.dice ?? 0, $1.key.caseID) }
            .prefix(settings.worstCases).map(\.key.caseID)
        yardsticks = Yardstick.Choice.allCases.compactMap {
            YardstickSummary($0, scored, resampling: settings.resampling)
        }
        notes = (scored.first?.notes ?? []).filter { note in scored.allSatisfy { $0.notes.contains(note) } }
    }

    private static func scores(_ results: [CaseResult], _ resampling: Resampling) -> [ScoreSummary] {
        var summaries = ScoreColumn.all.compactMap { column -> ScoreSummary? in
            let values = results.compactMap { result in result.scores.flatMap(column.value) }
            return Estimate(values, resampling: resampling)
                .map { ScoreSummary(name: column.name, title: column.title, estimate: $0) }
        }
        if let curve = summaries.firstIndex(where: { $0.name == "largestEnhancedAlignment" }) {
            let best = largestOfMeanCurve(results.compactMap(\.scores?.frame), resampling)
            if let best { summaries[curve].estimate = best }
        }
        return summaries
    }

    /// PraNet's evaluation takes the largest value of the mean curve, not the mean of every case's largest. The curve of
    /// a mask has two values: at the threshold 0, where all is foreground, and at all others.
    private static func largestOfMeanCurve(_ frames: [FrameScores], _ resampling: Resampling) -> Estimate? {
        let masks = frames.map(\.enhancedAlignment)
        let full = frames.map { 256 * $0.meanEnhancedAlignment - 255 * $0.enhancedAlignment }
        return Estimate(
            Quantiles.mean(masks) >= Quantiles.mean(full) ? masks : full, resampling: resampling)
    }
}

/// One score of a case: a column of `cases.csv`, a row of the report.
struct ScoreColumn: Sendable {
    let name: String
    let title: String
    let value: @Sendable (CaseScores) -> Double?

    static let all: [ScoreColumn] = [
        ScoreColumn(name: "dice", title: "Dice") { $0.dice },
        ScoreColumn(name: "iou", title: "IoU") { $0.iou },
        ScoreColumn(name: "precision", title: "Precision") { $0.precision },
        ScoreColumn(name: "recall", title: "Recall") { $0.recall },
        ScoreColumn(name: "weightedF", title: "Weighted F-measure") { $0.frame?.weightedF },
        ScoreColumn(name: "structure", title: "S-measure") { $0.frame?.structure },
        ScoreColumn(name: "enhancedAlignment", title: "E-measure of the mask") { $0.frame?.enhancedAlignment },
        ScoreColumn(name: "meanEnhancedAlignment", title: "E-measure, mean over thresholds") {
            $0.frame?.meanEnhancedAlignment
        },
        ScoreColumn(name: "largestEnhancedAlignment", title: "E-measure, largest over thresholds") {
            $0.frame?.largestEnhancedAlignment
        },
        ScoreColumn(name: "meanAbsoluteError", title: "Mean absolute error") { $0.frame?.meanAbsoluteError },
        ScoreColumn(name: "hausdorff95", title: "95% Hausdorff distance, mm") { $0.surface?.hausdorff95 },
        ScoreColumn(name: "averageSurfaceDistance", title: "Average surface distance, mm") { $0.surface?.average },
        ScoreColumn(name: "symmetricSurfaceDistance", title: "Average symmetric surface distance, mm") {
            $0.surface?.symmetricAverage
        },
    ]
}
