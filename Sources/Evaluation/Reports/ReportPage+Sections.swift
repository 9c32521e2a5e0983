// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

extension ReportPage {
    // MARK: difficult cases

    var failures: String {
        let traits = CaseTraits.titles.filter { trait in
            report.segmenters.contains { $0.splits.contains { $0.trait == trait.name } }
        }
        guard !traits.isEmpty else { return "" }
        let plots = traits.map { trait in
            Markup.figure(splitPlot(trait.name, trait.title), caption: Markup.escaped(splitCaption(trait.name)))
        }
        return
            "<p>Each plot divides the cases into three equal groups by one property of the image and the truth. If the mean "
            + "Dice falls from one group to the next, the segmenter has difficulty with that property.</p>"
            + Plot.legend(names) + "<div class=\"grid\">\(plots.joined())</div>"
    }

    private func splitPlot(_ trait: String, _ title: String) -> String {
        let splits = report.segmenters.map { summary in summary.splits.first { $0.trait == trait } }
        let parts = splits.compactMap { $0?.parts }.first ?? []
        let lowest = splits.compactMap { $0?.parts.map(\.dice.low).min() }.min() ?? 0
        let floor = max(0, (lowest * 5).rounded(.down) / 5)
        var plot = Plot("Dice by \(title)", x: 0...3, y: floor...1, width: 340, height: 240)
        let bounds = parts.map { "\(Self.brief($0.low)) … \(Self.brief($0.high))" }
        plot.axes(
            x: title, xTicks: [0.5, 1.5, 2.5], y: "mean Dice",
            yTicks: stride(from: floor, through: 1.001, by: floor > 0.5 ? 0.1 : 0.2).map { $0 }, names: bounds)
        for (number, split) in splits.enumerated() {
            guard let split else { continue }
            let offset = (Double(number) + 1) / Double(splits.count + 1)
            for (third, part) in split.parts.enumerated() {
                plot.whisker(Double(third) + offset, part.dice, colour: Plot.colour(number))
            }
        }
        return plot.svg
    }

    private func splitCaption(_ trait: String) -> String {
        zip(names, report.segmenters).compactMap { name, summary in
            summary.splits.first { $0.trait == trait }?.spearman.map {
                "\(name): rank correlation with Dice \(Markup.number($0, digits: 2))"
            }
        }.joined(separator: "; ")
    }

    private static func brief(_ value: Double) -> String {
        String(format: abs(value) >= 10 ? "%.0f" : abs(value) >= 1 ? "%.1f" : "%.3f", value)
    }

    // MARK: worst cases

    var worstCases: String {
        names.indices.map { number -> String in
            let own = pictures(of: number)
            guard !own.isEmpty else { return "" }
            let figures = own.map { id, png in
                let result = results[number].first { $0.key.caseID == id }
                let dice = Markup.number(result?.scores?.dice, digits: 2)
                let sure = result?.confidence.map { ", confidence \(Markup.number($0.value, digits: 2))" } ?? ""
                let image =
                    "<img alt=\"\(Markup.escaped(id))\" src=\"data:image/png;base64,\(png.base64EncodedString())\">"
                return Markup.figure(image, caption: "\(Markup.escaped(id)): Dice \(dice)\(sure)")
            }
            return "<h3>\(Markup.escaped(names[number]))</h3><div class=\"pictures\">\(figures.joined())</div>"
        }.joined().withLegend(
            "<p class=\"legend\"><span><i style=\"background:#00e5ff\"></i>truth</span><span><i style=\"background:#ff9600\"></i>result</span></p>"
        )
    }

    // MARK: confidence

    var confidence: String {
        let known = report.segmenters.indices.filter { report.segmenters[$0].confidence != nil }
        guard !known.isEmpty else { return "" }
        var html = Plot.legend(names)
        html += "<div class=\"grid\">"
        html += Markup.figure(
            reliabilityPlot(known),
            caption:
                "Reliability: on the dashed line, confidence equals the mean Dice. Larger dots stand for more cases.")
        html += Markup.figure(
            triagePlot(known),
            caption:
                "Triage: the mean Dice of the remaining cases if a person reviews those with the lowest confidence.")
        html += "</div>" + predictors(known)
        for number in known { html += triageTable(number) }
        return html
    }

    private func reliabilityPlot(_ known: [Int]) -> String {
        var plot = Plot("Mean Dice by confidence", x: 0...1, y: 0...1, width: 420)
        let ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
        plot.axes(x: "confidence", xTicks: ticks, y: "mean Dice", yTicks: ticks)
        plot.line((0, 0), (1, 1), colour: "#5a6572", dashes: "4 4")
        for number in known {
            let bins = report.segmenters[number].confidence?.bins ?? []
            plot.curve(bins.map { ($0.meanConfidence, $0.meanDice) }, colour: Plot.colour(number))
            for bin in bins {
                plot.dot(
                    bin.meanConfidence, bin.meanDice, radius: min(9, 2.5 + Double(bin.cases).squareRoot() * 0.6),
                    colour: Plot.colour(number), opacity: 0.8, tip: "\(bin.cases) cases")
            }
        }
        return plot.svg
    }

    private func triagePlot(_ known: [Int]) -> String {
        let rows = known.map {
            ($0, (report.segmenters[$0].confidence?.triage ?? []).filter { $0.restMeanDice != nil })
        }
        let lowest = rows.flatMap { $0.1.compactMap(\.restMeanDice) }.min() ?? 0
        let floor = max(0, (lowest * 10).rounded(.down) / 10)
        var plot = Plot(
            "Mean Dice of the remaining cases by the share reviewed by a person", x: 0...1, y: floor...1, width: 420)
        plot.axes(
            x: "share of cases reviewed by a person", xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
            y: "mean Dice of the remaining cases",
            yTicks: stride(from: floor, through: 1.001, by: floor >= 0.7 ? 0.05 : 0.1).map { $0 })
        for (number, triage) in rows {
            plot.curve(triage.map { ($0.toHuman, $0.restMeanDice ?? 0) }, colour: Plot.colour(number))
        }
        return plot.svg
    }

    private func predictors(_ known: [Int]) -> String {
        let rows = known.flatMap { number -> [[String]] in
            let study = report.segmenters[number].confidence
            return (study?.predictors ?? []).map { predictor in
                let isFirst = predictor.measure == "confidence"
                return [
                    Markup.escaped("\(names[number]): \(Self.title(ofMeasure: predictor.measure))"),
                    Markup.number(predictor.spearman),
                    Markup.number(predictor.auroc), isFirst ? Markup.number(study?.meanConfidence) : "",
                    isFirst ? Markup.number(study?.meanDice) : "",
                    isFirst ? Markup.number(study?.calibrationError) : "",
                ]
            }
        }
        let limit = Plot.short(report.settings.acceptable)
        return "<h3>How well does each measure predict Dice?</h3>"
            + Markup.table(
                [
                    "measure", "rank correlation with Dice (Spearman)", "AUROC for Dice < \(limit)", "mean confidence",
                    "mean Dice",
                    "calibration error",
                ],
                rows)
    }

    /// A measure of confidence in words, with its name in `cases.csv`.
    private static func title(ofMeasure name: String) -> String {
        let words = [
            "expectedDice": "expected Dice", "viewAgreement": "agreement of the views",
            "boundaryCertainty": "certainty along the boundary",
            "meanForegroundProbability": "mean probability inside the mask",
            "presence": "probability that the structure is present",
            "likeness": "likeness to the training volumes", "predictedIoU": "predicted IoU",
            "stabilityScore": "stability score", "jitterAgreement": "agreement under moved prompts",
            "objectPresence": "probability that the structure is present",
            "promptAgreement": "agreement of outline and prompt",
            "prompterConfidence": "confidence of the network that found the prompt",
            "estimatedDice": "Dice estimated by the rule",
        ]
        return words[name].map { "\($0) (\(name))" } ?? name
    }

    private func triageTable(_ number: Int) -> String {
        let steps =
            report.segmenters[number].confidence?.triage.filter { Int(($0.threshold * 100).rounded()) % 10 == 0 } ?? []
        let rows = steps.map { step in
            [
                Plot.short(step.threshold), Markup.percent(step.toHuman), Markup.number(step.restMeanDice),
                Markup.percent(step.restUnacceptable), Markup.percent(step.caught),
            ]
        }
        return "<details><summary>Thresholds for \(Markup.escaped(names[number]))</summary>"
            + Markup.table(
                [
                    "review if confidence is below", "cases to review", "mean Dice of the remaining cases",
                    "remaining results that need correction", "results needing correction that are reviewed",
                ],
                rows) + "</details>"
    }

    // MARK: prompts

    var prompts: String { promptedWays + heatMaps }

    /// The table that compares a box in each slice with one box that is tracked.
    private var promptedWays: String {
        guard let first = report.promptedWays.first else { return "" }
        let rows = report.promptedWays.map { way in
            [
                Markup.escaped(way.name), Markup.escaped(way.boxes), way.isOracle ? "truth" : "segmenter",
                Markup.number(way.prompts, digits: 1), Markup.number(way.seconds?.mean, digits: 2),
                Markup.interval(way.dice),
            ]
        }
        return "<h3>A box in each slice, or one box that is tracked</h3>"
            + "<p>The same \(first.cases) volumes in every row. Boxes from the truth stand for a person who draws them. The segmenter's own boxes do not need a person.</p>"
            + Markup.table(
                [
                    "segmenter", "boxes", "boxes from", "boxes drawn per volume", "mean seconds per volume",
                    "mean Dice",
                ], rows, words: 3)
    }

    private var heatMaps: String {
        report.promptStudies.map { study in
            let enlargements = PromptPlan.enlargements.filter { e in
                study.cells.contains { abs($0.enlargement - e) < 1e-6 }
            }
            let shifts = PromptPlan.shifts.filter { s in study.cells.contains { abs($0.shift - s) < 1e-6 } }
            let rows = shifts.map { shift in
                ["shift \(Markup.percent(shift))"]
                    + enlargements.map { Self.heat(study.cell(enlargement: $0, shift: shift)?.dice) }
            }
            let titles = [""] + enlargements.map { ($0 > 0 ? "+" : "") + Markup.percent($0) }
            let automatic =
                study.automatic.map {
                    "With the segmenter's own prompts, the mean Dice of these cases is \(Markup.interval($0))."
                } ?? ""
            return "<h3>\(Markup.escaped(study.name)): \(Markup.escaped(study.boxes))</h3>"
                + "<p>Mean Dice of \(study.cases) cases. The box around the truth was enlarged (columns) and shifted (rows) by parts of its sides. \(automatic)</p>"
                + Markup.table(titles, rows, style: "heat")
        }.joined()
    }

    /// A value on a coloured ground, from orange (0.4 and less) through white to blue (1).
    private static func heat(_ estimate: Estimate?) -> String {
        guard let estimate else { return "" }
        let share = min(max((estimate.mean - 0.4) / 0.6, 0), 1)
        let (low, middle, high) = ([230.0, 140, 60], [255.0, 255, 255], [70.0, 140, 200])
        let (from, to, part) = share < 0.5 ? (low, middle, share * 2) : (middle, high, share * 2 - 1)
        let colour = zip(from, to).map { String(Int($0 + ($1 - $0) * part)) }.joined(separator: ",")
        return
            "<span style=\"background:rgb(\(colour))\" title=\"\(Markup.number(estimate.low)) to \(Markup.number(estimate.high))\">\(Markup.number(estimate.mean))</span>"
    }

    // MARK: time

    var resources: String {
        let rows = report.segmenters.enumerated().map { number, summary in
            [
                Markup.escaped(names[number]), Markup.number(summary.seconds?.median, digits: 2),
                Markup.number(summary.seconds?.mean, digits: 2), Markup.number(summary.seconds?.largest, digits: 2),
                summary.peakMemory.map { String(format: "%.0f MB", Double($0) / 1e6) } ?? "",
            ]
        }
        return Markup.table(
            ["segmenter", "median seconds", "mean seconds", "longest, seconds", "largest memory of a worker"], rows)
    }
}

extension String {
    /// The text with a legend before it; an empty text stays empty.
    fileprivate func withLegend(_ legend: String) -> String { isEmpty ? "" : legend + self }
}
