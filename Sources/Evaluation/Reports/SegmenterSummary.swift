// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The mean of one score over all cases that have it.
public struct ScoreSummary: Sendable, Hashable, Codable {
    /// Name of the score in `cases.csv`.
    public var name: String
    /// Title of the score in reports.
    public var title: String
    /// Mean with its interval.
    public var estimate: Estimate
}

/// The results of one segmenter on the whole data set.
public struct SegmenterSummary: Sendable, Hashable, Codable {
    /// A case without scores.
    public struct FailedCase: Sendable, Hashable, Codable {
        /// The case.
        public var caseID: String
        /// The error text.
        public var reason: String
    }

    /// The cases of one site, scanner or patient.
    public struct GroupScore: Sendable, Hashable, Codable {
        /// Name of the group.
        public var name: String
        /// Mean Dice of its cases.
        public var dice: Estimate
    }

    /// Name of the segmenter in reports.
    public var name: String
    /// Whether prompts came from the truth, so that routine use cannot reach these scores.
    public var isOracle: Bool
    /// The segmenter.
    public var descriptor: SegmenterDescriptor
    /// The number of cases with scores.
    public var cases: Int
    /// The cases without scores.
    public var failures: [FailedCase]
    /// Mean scores.
    public var scores: [ScoreSummary]
    /// Groups in the order of their names; empty if the cases do not name any.
    public var groups: [GroupScore]
    /// The number of cases with an empty truth.
    public var emptyCases: Int
    /// The number of these cases in which the segmenter marked something.
    public var emptyMarked: Int
    /// Fraction of cases with a Dice below the acceptable one.
    public var needCorrection: Double
    /// Seconds per case.
    public var seconds: Estimate?
    /// Largest resident memory of a worker over all cases, bytes.
    public var peakMemory: Int?
    /// Dice by traits of the cases.
    public var splits: [TraitSplit]
    /// Confidence as a predictor of Dice; `nil` without a confidence.
    public var confidence: ConfidenceStudy?
    /// The cases with the lowest Dice, the worst first.
    public var worst: [String]
    /// Scores of other choices among the same masks; empty for segmenters that do not choose.
    public var baselines: [BaselineSummary]
    /// Remarks that the segmenter made on every answer.
    public var notes: [String]

    /// Sums up the results of one segmenter and prompt, which are not empty.
    init(_ results: [CaseResult], descriptor: SegmenterDescriptor, settings: ReportSettings) {
        name = results[0].name
        isOracle = results[0].key.prompt != .automatic
        self.descriptor = descriptor
        failures = results.compactMap { result in
            result.failure.map { FailedCase(caseID: result.key.caseID, reason: $0) }
        }
        let scored = results.filter { $0.scores != nil }
        let dice = scored.compactMap(\.scores?.dice)
        cases = scored.count
        scores = Self.scores(scored, settings.resampling)
        groups = Dictionary(grouping: scored.filter { $0.group != nil }) { $0.group ?? "" }
            .sorted { $0.key < $1.key }
            .compactMap { name, members in
                Estimate(members.compactMap(\.scores?.dice), resampling: settings.resampling)
                    .map { GroupScore(name: name, dice: $0) }
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
        let withConfidence = scored.filter { $0.confidence != nil }
        confidence = ConfidenceStudy(
            dice: withConfidence.compactMap(\.scores?.dice), confidence: withConfidence.compactMap(\.confidence?.value),
            measures: withConfidence.compactMap(\.confidence?.measures), acceptable: settings.acceptable)
        worst = scored.sorted { ($0.scores?.dice ?? 0, $0.key.caseID) < ($1.scores?.dice ?? 0, $1.key.caseID) }
            .prefix(settings.worstCases).map(\.key.caseID)
        baselines = BaselineChoice.Method.allCases.compactMap {
            BaselineSummary($0, scored, resampling: settings.resampling)
        }
        notes = (scored.first?.notes ?? []).filter { note in scored.allSatisfy { $0.notes.contains(note) } }
    }

    private static func scores(_ results: [CaseResult], _ resampling: Bootstrap) -> [ScoreSummary] {
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

    /// The largest value of the mean curve over thresholds, as in PraNet's evaluation.
    ///
    /// The curve of a binary mask has two values: one at the threshold 0, at which the answer fills
    /// the frame, and one at all other thresholds.
    private static func largestOfMeanCurve(_ frames: [FrameScores], _ resampling: Bootstrap) -> Estimate? {
        let masks = frames.map(\.enhancedAlignment)
        let full = frames.map { 256 * $0.meanEnhancedAlignment - 255 * $0.enhancedAlignment }
        return Estimate(
            Quantiles.mean(masks) >= Quantiles.mean(full) ? masks : full, resampling: resampling)
    }
}

/// One score of a case: a column of `cases.csv`, and a row of the report.
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
