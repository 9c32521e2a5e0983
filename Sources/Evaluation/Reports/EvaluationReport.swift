// SPDX-License-Identifier: Apache-2.0

public import Foundation
internal import Imaging

/// The settings of a report.
public struct ReportSettings: Sendable, Hashable, Codable {
    /// Title of the data set.
    public var title: String
    /// An answer with a lower Dice needs correction.
    public var acceptable: Double
    /// Settings of the intervals.
    public var resampling: Bootstrap
    /// The number of worst cases that the report shows for each segmenter.
    public var worstCases: Int
    /// Version of Kontur.
    public var softwareVersion: String
    /// Time of the report, seconds since 1970 UTC.
    public var created: Int64

    /// Settings with the defaults of `kontur evaluate`.
    public init(
        title: String, acceptable: Double = 0.7, resampling: Bootstrap = Bootstrap(), worstCases: Int = 6,
        softwareVersion: String, created: Int64
    ) {
        self.title = title
        self.acceptable = acceptable
        self.resampling = resampling
        self.worstCases = worstCases
        self.softwareVersion = softwareVersion
        self.created = created
    }
}

/// The summary of an evaluation: the content of `summary.json`, from which the report page is made.
public struct EvaluationReport: Sendable, Codable {
    /// The first sentence of every report.
    public var disclaimer =
        "Research software, not a medical device: results must not be used for diagnosis or treatment."
    /// The settings of the report.
    public var settings: ReportSettings
    /// The number of frames.
    public var frames: Int
    /// The number of volumes.
    public var volumes: Int
    /// Segmenters with the prompts of routine use first, then those with truth boxes.
    public var segmenters: [SegmenterSummary]
    /// The differences in Dice between any two segmenters, over the cases that both segmented.
    public var comparisons: [PairedComparison]
    /// The ways to segment volumes with boxes, side by side; empty without volumes that got boxes.
    public var promptedWays: [PromptedWay]
    /// The effects of the box on segmenters that take boxes.
    public var promptStudies: [PromptStudy]

    /// Sums up results.
    ///
    /// - Parameters:
    ///   - results: the results of all plans.
    ///   - plans: the plans in the order of the report.
    ///   - settings: the settings of the report.
    public init(_ results: [CaseResult], plans: [SegmenterPlan], settings: ReportSettings) {
        self.settings = settings
        let cases = Dictionary(grouping: results, by: \.key.caseID).values.compactMap(\.first)
        frames = cases.count { $0.kind == .frame }
        volumes = cases.count { $0.kind == .volume }
        func own(_ plan: SegmenterPlan) -> [CaseResult] {
            results.filter { $0.name == plan.name && $0.key.prompt == plan.prompt }
        }
        let shown = plans.filter { $0.prompt == .automatic || $0.prompt == .truthBox }
        segmenters = shown.compactMap { plan in
            let found = own(plan)
            return found.isEmpty
                ? nil : SegmenterSummary(found, descriptor: plan.segmenter.descriptor, settings: settings)
        }
        comparisons = Self.comparisons(shown.map { (Self.title($0), own($0)) }, settings.resampling)
        promptedWays = PromptedWay.all(results, plans: plans, resampling: settings.resampling)
        promptStudies = PromptStudy.studies(results, plans: plans, resampling: settings.resampling)
    }

    /// The name of a plan in the report.
    static func title(_ plan: SegmenterPlan) -> String {
        plan.name + (plan.prompt == .automatic ? "" : ", truth box")
    }

    private static func comparisons(
        _ all: [(name: String, results: [CaseResult])], _ resampling: Bootstrap
    ) -> [PairedComparison] {
        all.indices.flatMap { first in
            all.indices.dropFirst(first + 1).compactMap { second in
                let other = Dictionary(
                    all[second].results.compactMap { result in
                        result.scores.map { (result.key.caseID, $0.dice) }
                    }, uniquingKeysWith: { $1 })
                let pairs = all[first].results.compactMap { result -> (Double, Double)? in
                    guard let own = result.scores?.dice, let dice = other[result.key.caseID] else { return nil }
                    return (own, dice)
                }
                return PairedComparison(
                    all[first].name, pairs.map(\.0), all[second].name, pairs.map(\.1), resampling: resampling)
            }
        }
    }

    /// The content of `summary.json`.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}

/// The table `cases.csv` with one row for each case and segmenter.
public enum CaseTable {
    /// The whole table, with rows in the order of `results`.
    public static func csv(_ results: [CaseResult]) -> String {
        let measures = Set(results.flatMap { ($0.confidence?.measures ?? [:]).keys }).sorted()
        var names = ["case", "group", "kind", "segmenter", "version", "weights", "prompt", "failure"]
        names += ScoreColumn.all.map(\.name) + ["truthIsEmpty", "answerIsEmpty", "confidence"] + measures
        names += CaseTraits.titles.map(\.name) + ["frames", "seconds", "peakMemory"]
        return results.reduce(CSVTable.line(names)) { $0 + row($1, measures: measures) }
    }

    private static func row(_ result: CaseResult, measures: [String]) -> String {
        func number(_ value: Double?) -> String { value.map { String(format: "%.6f", $0) } ?? "" }
        func flag(_ value: Bool?) -> String { value.map { $0 ? "1" : "0" } ?? "" }
        var fields = [
            result.key.caseID, result.group ?? "", result.kind.rawValue, result.name, result.key.version,
            result.key.weightsHash, result.key.prompt.words, result.failure ?? "",
        ]
        fields += ScoreColumn.all.map { column in number(result.scores.flatMap(column.value)) }
        fields += [flag(result.scores?.truthIsEmpty), flag(result.scores?.answerIsEmpty)]
        fields += [number(result.confidence?.value)] + measures.map { number(result.confidence?.measures[$0]) }
        fields += CaseTraits.titles.map { number(result.traits?[$0.name]) }
        fields += [
            String(result.frames), result.seconds.map { String(format: "%.3f", $0) } ?? "",
            result.peakMemory.map(String.init) ?? "",
        ]
        return CSVTable.line(fields)
    }
}
