// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// The pilot report: one HTML page that contains its pictures and plots.
///
/// Its only script computes the table of costs. A content security policy forbids the page to load
/// anything.
public struct ReportPage {
    let report: EvaluationReport
    /// Results of the shown plans, in the order of `EvaluationReport.segmenters`.
    let results: [[CaseResult]]
    /// Names of these plans.
    let names: [String]
    /// PNG files of the worst cases, by the index of the segmenter.
    private let pictures: [Int: [(caseID: String, png: Data)]]

    /// Pictures of the worst cases of a segmenter, given by its index.
    func pictures(of segmenter: Int) -> [(caseID: String, png: Data)] { pictures[segmenter] ?? [] }

    /// Prepares the page, and reads the worst cases again for their pictures.
    ///
    /// - Parameters:
    ///   - report: the summary.
    ///   - results: the results of all plans.
    ///   - plans: the plans in the order of the report.
    ///   - cases: the labelled cases.
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
            \(section("Summary", summary))
            \(section("Scores", scores))
            \(section("Which cases are difficult?", failures))
            \(section("Worst cases", worstCases))
            \(section("Does confidence predict quality?", confidence))
            \(section("Effect of the box", prompts))
            \(section("Time and memory", resources))
            \(section("Effort and cost at your site", CostTable(report, names: names).html))
            \(section("Methods", methods))
            </main></body></html>

            """
    }

    /// A section with its title; empty without content.
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
            "Kontur \(report.settings.softwareVersion) segmented \(counts.joined(separator: " and ")). Each result was compared "
                + "with the reference segmentation (the truth). Dice is their overlap, from 0 (none) to 1 (complete). "
                + "Square brackets show 95% confidence intervals. Report of \(date). A result needs correction if its Dice is below \(Plot.short(report.settings.acceptable))."
        )
    }

    private var summary: String {
        let rows = report.segmenters.enumerated().map { number, summary -> [String] in
            func score(_ name: String) -> Estimate? { summary.scores.first { $0.name == name }?.estimate }
            let falseAlarms = summary.emptyCases == 0 ? "" : "\(summary.emptyMarked) of \(summary.emptyCases)"
            return [
                Markup.escaped(names[number]), "\(summary.cases)", Markup.interval(score("dice")),
                Markup.interval(score("iou")), Markup.percent(summary.needCorrection), falseAlarms,
                Markup.number(summary.seconds?.median, digits: 2),
                summary.failures.isEmpty ? "" : "\(summary.failures.count)",
            ]
        }
        let titles = [
            "segmenter", "cases", "mean Dice", "mean IoU", "results that need correction",
            "false alarms (marked cases without the structure)", "median seconds per case", "failed cases",
        ]
        return Markup.table(titles, rows)
            + Markup.figure(
                dicePlot,
                caption: "Each dot is the Dice of one case. The line beside the dots shows the mean and its interval.")
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
            return [row("choice of the rule", score("dice"), score("iou"), summary.emptyMarked)]
                + summary.baselines.map { row($0.method.title, $0.dice, $0.iou, $0.emptyMarked) }
        }
        guard !rows.isEmpty else { return "" }
        return "<h3>The rule compared with other choices among the same masks</h3>"
            + Markup.table(["choice", "mean Dice", "mean IoU", "false alarms"], rows)
            + "<p>The best mask was chosen with the truth, which is unknown in routine use. The difference between this "
            + "choice and the rule's is the error of the rule. The rest of the error comes from the network.</p>"
    }

    private var notes: String {
        let said = zip(names, report.segmenters).flatMap { name, summary in
            summary.notes.map { "<li>\(Markup.escaped("\(name): \($0)"))</li>" }
        }
        return said.isEmpty ? "" : "<h3>Remarks on every result</h3><ul>\(said.joined())</ul>"
    }

    private var oracleNote: String {
        report.segmenters.contains(where: \.isOracle)
            ? "<p>The rows with a truth box show results from a perfect box, which was made from the truth. Such a box is "
                + "unknown in routine use, so these rows show the limit of the network, not the quality at a site.</p>"
            : ""
    }

    private var dicePlot: String {
        let count = Double(max(1, names.count))
        // About 6.5 pixels per letter, so that the names below the plot do not overlap.
        let column = max(150, 6.5 * Double(names.map(\.count).max() ?? 0) + 10)
        var plot = Plot(
            "Dice of every case", x: 0...count, y: 0...1, width: max(360, column * count + 80), height: 300)
        plot.axes(
            x: "", xTicks: names.indices.map { Double($0) + 0.5 }, y: "Dice", yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
            names: names)
        for (number, own) in results.enumerated() {
            for (place, result) in own.enumerated() {
                guard let dice = result.scores?.dice else { continue }
                // Spread by the golden ratio, so that neighbours in the list do not cover each
                // other.
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
                Markup.escaped("\(pair.first) compared with \(pair.second)"), "\(pair.difference.count)",
                Markup.interval(pair.difference), "\(pair.firstIsBetter) : \(pair.secondIsBetter)",
                Markup.number(pair.signFlipP, digits: 4), Markup.number(pair.wilcoxonP, digits: 4),
            ]
        }
        return "<h3>Comparison on the same cases</h3>"
            + Markup.table(
                [
                    "segmenters", "cases", "difference in Dice (first - second)",
                    "cases won (first : second)", "p (sign-flip test)", "p (Wilcoxon test)",
                ], rows)
    }
}
