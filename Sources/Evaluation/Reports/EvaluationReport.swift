// SPDX-License-Identifier: Apache-2.0

public import Foundation
internal import Imaging

/// How results are summed up.
public struct ReportSettings: Sendable, Hashable, Codable {
    /// What the data is called.
    public var title: String
    /// Dice below which an answer needs correction.
    public var acceptable: Double
    public var resampling: Resampling
    /// How many of the worst cases are shown, for each segmenter.
    public var worstCases: Int
    public var softwareVersion: String
    /// Seconds since 1970 UTC.
    public var created: Int64

    public init(
        title: String, acceptable: Double = 0.7, resampling: Resampling = Resampling(), worstCases: Int = 6,
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

/// Everything that an evaluation has found out: `summary.json`, and what the page and the tables are made of.
public struct EvaluationReport: Sendable, Codable {
    public var disclaimer =
        "Research software, not a medical device: results must not be used for diagnosis or treatment."
    public var settings: ReportSettings
    public var frames: Int
    public var volumes: Int
    /// Prompted as in routine first, then those with truth boxes.
    public var segmenters: [SegmenterSummary]
    /// Every two of them, Dice of the cases that both answered.
    public var comparisons: [PairedComparison]
    public var promptStudies: [PromptStudy]

    /// - Parameters:
    ///   - results: of all plans.
    ///   - plans: in the order in which the report shows them.
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
        promptStudies = PromptStudy.studies(results, plans: plans, resampling: settings.resampling)
    }

    static func title(_ plan: SegmenterPlan) -> String {
        plan.name + (plan.prompt == .automatic ? "" : ", truth box")
    }

    private static func comparisons(
        _ all: [(name: String, results: [CaseResult])], _ resampling: Resampling
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

    /// `summary.json`.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}

/// `cases.csv`: one row for each case and segmenter.
public enum CaseTable {
    /// - Parameter results: in the order of the rows.
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
