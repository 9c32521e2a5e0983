// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Foundation
import Imaging
import Testing

@Suite struct ReportTests {
    static let settings = ReportSettings(title: "a <b> & c", softwareVersion: "1", created: 0)

    static func plan(_ name: String, _ prompt: PromptPlan = .automatic) -> SegmenterPlan {
        let code = CodedConcept("1", "SCT", "thing")
        return SegmenterPlan(
            InstalledSegmenter(
                SegmenterDescriptor(
                    name: name, version: "1", accepts: .frames, weightsHash: "ff", segmentLabel: "thing",
                    category: code, type: code, anatomicRegion: nil,
                    recommendedDisplayColor: DisplayColor(red: 1, green: 2, blue: 3), title: "", paper: "",
                    licence: "")), prompt: prompt)
    }

    /// Results of one plan, one for each Dice.
    static func results(
        _ name: String, _ dice: [Double], prompt: PromptPlan = .automatic, emptyTruth: Set<Int> = []
    ) throws -> [CaseResult] {
        try dice.enumerated().map { number, dice in
            var result = try JSONDecoder().decode(CaseResult.self, from: Data(ResultLogTests.line.utf8))
            result.key.caseID = "case, \(number)"
            result.key.segmenter = name
            result.key.prompt = prompt
            result.name = name
            result.group = number % 2 == 0 ? "even" : "odd"
            result.scores?.dice = dice
            result.scores?.truthIsEmpty = emptyTruth.contains(number)
            result.scores?.answerIsEmpty = dice == 1
            result.confidence?.value = dice / 2
            return result
        }
    }

    @Test func `sums up every segmenter, and compares each two on the cases that both answered`() throws {
        let first = try Self.results("one", [0.9, 0.8, 0.1, 1, 0], emptyTruth: [3, 4])
        let second = try Self.results("two", [0.8, 0.7, 0.2])
        let report = EvaluationReport(
            first + second, plans: [Self.plan("one"), Self.plan("two")], settings: Self.settings)
        #expect(report.frames == 5 && report.volumes == 0)
        let one = try #require(report.segmenters.first)
        #expect(one.cases == 5 && one.emptyCases == 2 && one.emptyMarked == 1)
        #expect(abs(one.needCorrection - 0.4) < 1e-12)
        #expect(one.groups.map(\.name) == ["even", "odd"] && one.groups.map(\.dice.count) == [3, 2])
        #expect(one.worst.first == "case, 4")
        #expect(one.confidence?.predictors.first?.spearman == 1)
        let pair = try #require(report.comparisons.first)
        #expect(report.comparisons.count == 1 && pair.difference.count == 3)
        #expect(abs(pair.difference.mean - (0.1 + 0.1 - 0.1) / 3) < 1e-12)
    }

    @Test func `a rule is compared with other choices, and remarks on every result are shown`() throws {
        var results = try Self.results("sam-auto", [0.5, 0.7, 1], emptyTruth: [2])
        for number in results.indices {
            results[number].notes = ["\(number) masks", "the rule is <not measured> on these weights"]
            results[number].baselines = zip(BaselineChoice.Method.allCases, [0.9, 0.25] as [Double]).compactMap {
                choice, dice in
                results[number].scores.map { scores in
                    var scores = scores
                    scores.dice = dice
                    scores.answerIsEmpty = choice == .bestWithTruth && number == 2
                    return BaselineChoice(method: choice, scores: scores)
                }
            }
        }
        let plans = [Self.plan("sam-auto"), Self.plan("other")]
        let all = try results + Self.results("other", [0.1])
        let report = EvaluationReport(all, plans: plans, settings: Self.settings)
        let summary = report.segmenters[0]
        #expect(summary.baselines.map(\.method) == [.bestWithTruth, .largest])
        #expect(zip(summary.baselines, [0.9, 0.25]).allSatisfy { abs($0.dice.mean - $1) < 1e-12 })
        #expect(summary.baselines.map(\.emptyMarked) == [0, 1])
        #expect(summary.notes == ["the rule is <not measured> on these weights"])
        #expect(report.segmenters[1].baselines.isEmpty && report.segmenters[1].notes.isEmpty)
        let page = ReportPage(report, results: all, plans: plans, cases: [], output: "/nowhere").html
        for text in [
            "sam-auto: choice of the rule", "sam-auto: best mask, chosen with the truth", "sam-auto: largest mask",
            "<li>sam-auto: the rule is &lt;not measured&gt; on these weights</li>",
        ] { #expect(page.contains(text) || page.contains(text.replacing("&#39;", with: "'")), "\(text)") }
    }

    @Test func `failed cases are listed and do not count as scores`() throws {
        var results = try Self.results("one", [0.9, 0.8])
        results[1].failure = "the worker died"
        results[1].scores = nil
        let report = EvaluationReport(results, plans: [Self.plan("one")], settings: Self.settings)
        #expect(report.segmenters[0].cases == 1)
        #expect(report.segmenters[0].failures.map(\.reason) == ["the worker died"])
    }

    @Test func `a prompt study compares boxes on the cases that all of them answered`() throws {
        let wide = PromptPlan.truthBox(enlargement: 0.5, shift: 0.3)
        let results =
            try Self.results("box", [0.5, 0.6, 0.7]) + Self.results("box", [0.9, 0.8], prompt: .truthBox)
            + Self.results("box", [0.4, 0.2, 0.1], prompt: wide)
        let report = EvaluationReport(
            results, plans: [Self.plan("box"), Self.plan("box", .truthBox), Self.plan("box", wide)],
            settings: Self.settings)
        #expect(report.segmenters.map(\.isOracle) == [false, true])
        let study = try #require(report.promptStudies.first)
        #expect(study.cases == 2)
        #expect(abs(try #require(study.automatic?.mean) - 0.55) < 1e-12)
        #expect(abs(try #require(study.cell(enlargement: 0, shift: 0)?.dice.mean) - 0.85) < 1e-12)
        #expect(abs(try #require(study.cell(enlargement: 0.5, shift: 0.3)?.dice.mean) - 0.3) < 1e-12)
    }

    @Test func `a box in each slice and tracked boxes are compared on the volumes that all of them answered`() throws {
        let middle = PromptPlan.keyBoxes(places: [0.5])
        let wide = PromptPlan.truthBox(enlargement: 0.5, shift: 0)
        func volumes(_ name: String, _ dice: [Double], _ prompt: PromptPlan, prompts: Int) throws -> [CaseResult] {
            try Self.results(name, dice, prompt: prompt).map { result in
                var result = result
                (result.kind, result.prompts) = (.volume, prompts)
                return result
            }
        }
        let results =
            try volumes("slices", [0.9, 0.7, 0.1], .truthBox, prompts: 40)
            + volumes("track", [0.8, 0.6], middle, prompts: 1) + volumes("track", [0.2, 0.2], wide, prompts: 1)
            + volumes("track", [0.7, 0.7, 0.7], .automatic, prompts: 0)
        var tracked = Self.plan("track", middle)
        tracked.segmenter.descriptor.accepts = .volume
        var automatic = tracked
        automatic.prompt = .automatic
        let plans = [Self.plan("slices", .truthBox), tracked, Self.plan("track", wide), automatic]
        let report = EvaluationReport(results, plans: plans, settings: Self.settings)
        let ways = report.promptedWays
        #expect(ways.map(\.name) == ["slices", "track", "track"] && ways.map(\.cases) == [2, 2, 2])
        #expect(ways.map(\.isOracle) == [true, true, false] && ways.map(\.prompts) == [40, 1, 0])
        #expect(zip(ways, [0.8, 0.7, 0.7]).allSatisfy { abs($0.dice.mean - $1) < 1e-12 })
        #expect(
            ways.map(\.boxes)
                == ["one box in each slice", "one box at 50% of the structure", "its own choice of slice and box"])
        let page = ReportPage(report, results: results, plans: plans, cases: [], output: "/nowhere").html
        #expect(page.contains("A box in each slice, or one box that is tracked") && page.contains("<td>40.0</td>"))
        // Words are at the left of their column, numbers at the right.
        #expect(page.contains("<th class=\"word\">boxes from</th><th>boxes drawn per volume</th>"))
        #expect(page.contains("<td class=\"word\">truth</td><td>"))
        let frames = try Self.results("one", [0.9], prompt: .truthBox)
        let plain = EvaluationReport(frames, plans: [Self.plan("one", .truthBox)], settings: Self.settings)
        #expect(plain.promptedWays.isEmpty)
    }

    @Test func `the page is complete, escapes its input and does not load anything`() throws {
        let results = try Self.results("one", [0.9, 0.8, 0.1])
        let plans = [Self.plan("one")]
        let report = EvaluationReport(results, plans: plans, settings: Self.settings)
        let page = ReportPage(report, results: results, plans: plans, cases: [], output: "/nowhere").html
        #expect(page.hasPrefix("<!DOCTYPE html>") && page.hasSuffix("</body></html>\n"))
        #expect(page.contains("a &lt;b&gt; &amp; c") && !page.contains("<b>"))
        #expect(page.contains("not a medical device"))
        for text in ["http:", "https:", "href", "src=\"//", "@import", "url("] { #expect(!page.contains(text)) }
    }

    @Test func `the table has one row for each case and segmenter`() throws {
        let text = CaseTable.csv(try Self.results("one", [0.9, 0.8]))
        let lines = text.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].hasPrefix("case,group,kind,segmenter,version,weights,prompt,failure,dice,iou,"))
        #expect(lines[1].hasPrefix("\"case, 0\",even,frame,one,1,ff,,,0.900000,0.400000,"))
        #expect(lines[0].split(separator: ",", omittingEmptySubsequences: false).count == 33)
    }
}
