// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// The pilot report: one HTML page that needs nothing beside it. Pictures and plots are inside, its only script
/// computes the table of costs, and a policy forbids it to load anything.
public struct ReportPage {
    let report: EvaluationReport
    /// Results of the plans shown, as `EvaluationReport.segmenters` lists them.
    let results: [[CaseResult]]
    let names: [String]
    /// PNG files by segmenter (its index) and case.
    private let pictures: [Int: [(caseID: String, png: Data)]]

    func pictures(of segmenter: Int) -> [(caseID: String, png: Data)] { pictures[segmenter] ?? [] }

    /// - Parameters:
    ///   - results: of all plans.
    ///   - cases: read again for pictures of the worst.
    ///   - output: the folder of the masks.
    public init(
        _ report: EvaluationReport, results: [CaseResult], plans: [SegmenterPlan], cases: [EvaluationCase],
        output: String
    ) {
        self.report = report
        let shown = plans.filter { $0.prompt == .automatic || $0.prompt == .truthBox }
        let own = shown.map { plan in results.filter { $0.name == plan.name && $0.key.prompt == plan.prompt } }
        self.results = own.filter { !$0.isEmpty }
        names = zip(shown, own).filter { !$0.1.isEmpty }.map { EvaluationReport.title($0.0) }
        let byID = Dictionary(cases.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var pictures: [Int: [(String, Data)]] = [:]
        for (number, summary) in report.segmenters.enumerated() {
            for id in summary.worst {
                guard let source = byID[id], let result = self.results[number].first(where: { $0.key.caseID == id }),
                    let png = try? result.picture(of: source, output: output)
                else { continue }
                pictures[number, default: []].append((id, png))
            }
        }
        self.pictures = pictures
    }

    /// The whole page.
    public var html: String {
        let title = Markup.escaped(report.settings.title)
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Kontur pilot report: \(title)</title><style>\(Self.style)</style></head><body>
            <header><p class="warning">\(Markup.escaped(report.disclaimer))</p>
            <h1>Pilot report: \(title)</h1><p>\(introduction)</p></header>
            <main>
            \(section("At a glance", glance))
            \(section("Scores", scores))
            \(section("Where it fails", failures))
            \(section("Worst cases", worstCases))
            \(section("Does confidence foretell quality?", confidence))
            \(section("What the box does", prompts))
            \(section("Time and memory", resources))
            \(section("What it would mean here", CostTable(report, names: names).html))
            \(section("How this was measured", methods))
            </main></body></html>

            """
    }

    /// A section, left out when there is nothing to say.
    private func section(_ title: String, _ content: String) -> String {
        content.isEmpty ? "" : "<section><h2>\(title)</h2>\n\(content)</section>"
    }

    private var introduction: String {
        var counts: [String] = []
        if report.frames > 0 { counts.append("\(report.frames) \(report.frames == 1 ? "frame" : "frames")") }
        if report.volumes > 0 { counts.append("\(report.volumes) \(report.volumes == 1 ? "volume" : "volumes")") }
        let date = Date(timeIntervalSince1970: TimeInterval(report.settings.created))
            .formatted(.iso8601.year().month().day())
        return Markup.escaped(
            "\(counts.joined(separator: " and ")) with a known truth, segmented by Kontur \(report.settings.softwareVersion) on \(date). "
                + "Brackets hold 95% intervals. An answer needs correction when its Dice is below \(Plot.short(report.settings.acceptable))."
        )
    }

    private var glance: String {
        let rows = report.segmenters.enumerated().map { number, summary -> [String] in
            func score(_ name: String) -> Estimate? { summary.scores.first { $0.name == name }?.estimate }
            let marked = summary.emptyCases == 0 ? "" : "\(summary.emptyMarked) of \(summary.emptyCases)"
            return [
                Markup.escaped(names[number]), "\(summary.cases)", Markup.interval(score("dice")),
                Markup.interval(score("iou")), Markup.percent(summary.needCorrection), marked,
                Markup.number(summary.seconds?.median, digits: 2),
                summary.failures.isEmpty ? "" : "\(summary.failures.count)",
            ]
        }
        let titles = [
            "segmenter", "cases", "mean Dice", "mean IoU", "need correction", "empty cases marked", "median s a case",
            "failed",
        ]
        return Markup.table(titles, rows)
            + Markup.figure(dicePlot, caption: "Dice of every case, with the mean and its interval.")
            + oracleNote + baselines + notes
    }

    private var baselines: String {
        let rows = report.segmenters.enumerated().filter { !$0.element.baselines.isEmpty }.flatMap { number, summary in
            func score(_ name: String) -> Estimate? { summary.scores.first { $0.name == name }?.estimate }
            func row(_ choice: String, _ dice: Estimate?, _ iou: Estimate?, _ marked: Int) -> [String] {
                [
                    Markup.escaped("\(names[number]): \(choice)"), Markup.interval(dice), Markup.interval(iou),
                    summary.emptyCases == 0 ? "" : "\(marked) of \(summary.emptyCases)",
                ]
            }
            return [row("the rule's choice", score("dice"), score("iou"), summary.emptyMarked)]
                + summary.baselines.map { row($0.method.title, $0.dice, $0.iou, $0.emptyMarked) }
        }
        guard !rows.isEmpty else { return "" }
        return "<h3>The rule beside other choices among the same masks</h3>"
            + Markup.table(["choice", "mean Dice", "mean IoU", "empty cases marked"], rows)
            + "<p>The best mask was chosen with the truth, which no routine has: what is lost between it and the rule is the rule's doing, what it lacks itself the network's.</p>"
    }

    private var notes: String {
        let said = zip(names, report.segmenters).flatMap { name, summary in
            summary.notes.map { "<li>\(Markup.escaped("\(name): \($0)"))</li>" }
        }
        return said.isEmpty ? "" : "<h3>Said of every answer</h3><ul>\(said.joined())</ul>"
    }

    private var oracleNote: String {
        report.segmenters.contains(where: \.isOracle)
            ? "<p>Rows with a truth box were prompted from the truth itself, which no routine has: they show what the network can do with a perfect box, not what a site would get.</p>"
            : ""
    }

    private var dicePlot: String {
        let count = Double(max(1, names.count))
        var plot = Plot("Dice of every case", x: 0...count, y: 0...1, width: max(360, 150 * count + 80), height: 300)
        plot.axes(
            x: "", xTicks: names.indices.map { Double($0) + 0.5 }, y: "Dice", yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
            names: names)
        for (number, own) in results.enumerated() {
            for (place, result) in own.enumerated() {
                guard let dice = result.scores?.dice else { continue }
                // Spread by the golden ratio: neighbours in the list do not lie on each other.
                let spread = (Double(place) * 0.618034).truncatingRemainder(dividingBy: 1) * 0.5 - 0.25
                plot.dot(
                    Double(number) + 0.45 + spread, dice, radius: 2.6, colour: Plot.colour(number), opacity: 0.45,
                    tip: "\(result.key.caseID): \(Markup.number(dice))")
            }
            if let dice = report.segmenters[number].scores.first?.estimate {
                plot.whisker(Double(number) + 0.8, dice, colour: "#1b2733")
            }
        }
        return plot.svg
    }

    private var scores: String {
        var titles: [String] = []
        for summary in report.segmenters {
            for score in summary.scores where !titles.contains(score.title) { titles.append(score.title) }
        }
        let rows = titles.map { title in
            [Markup.escaped(title)]
                + report.segmenters.map { summary in
                    Markup.interval(summary.scores.first { $0.title == title }?.estimate)
                }
        }
        var html = Markup.table(["score"] + names, rows)
        let groups = Set(report.segmenters.flatMap { $0.groups.map(\.name) }).sorted()
        if !groups.isEmpty {
            html += "<h3>Dice by group</h3>"
            html += Markup.table(
                ["group"] + names,
                groups.map { group in
                    [Markup.escaped(group)]
                        + report.segmenters.map { summary in
                            let own = summary.groups.first { $0.name == group }?.dice
                            return Markup.interval(own) + (own.map { " <small>n = \($0.count)</small>" } ?? "")
                        }
                })
        }
        return html + comparisons
    }

    private var comparisons: String {
        guard !report.comparisons.isEmpty else { return "" }
        let rows = report.comparisons.map { pair in
            [
                Markup.escaped("\(pair.first) against \(pair.second)"), "\(pair.difference.count)",
                Markup.interval(pair.difference), "\(pair.firstIsBetter) : \(pair.secondIsBetter)",
                Markup.number(pair.signFlipP, digits: 4), Markup.number(pair.wilcoxonP, digits: 4),
            ]
        }
        return "<h3>Against each other, on the same cases</h3>"
            + Markup.table(
                ["pair", "cases", "difference of Dice", "cases won", "p (sign flips)", "p (Wilcoxon)"], rows)
    }
}
