// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Evaluation
import Foundation
import Imaging
import Platform
import Routing
import Segmentation
import Supervision

struct EvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measures segmenters on labelled cases and writes a report, scores and tables.",
        discussion: """
            DATA is one of:
            - a folder of PNG or JPEG files. Masks lie in masks/ under the names of the files in images/, or beside the \
            images as NAME_mask.
            - a folder of DICOM series with SEGs that refer to them.
            - a CSV table with the columns image and mask, and optionally id and group. An empty mask means that the \
            structure is absent.
            Mask pixels brighter than 127 count as the structure.

            All installed segmenters that accept the data are measured, unless --segmenter names some. Results are \
            written as they come. A second run into the same folder repeats only missing and changed cases. The output \
            folder holds report.html, summary.json, cases.csv, results.jsonl and masks/.

            Exit code 1 means that a case could not be read or segmented, or that there are no cases.
            """)

    @Argument(help: ArgumentHelp("Folder or CSV table of labelled cases.", valueName: "data"))
    var data: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write results to this folder; it is created if it is missing.", valueName: "folder"))
    var output: String

    @Option(
        name: .customLong("segmenter"),
        help: ArgumentHelp(
            "Measure this segmenter, given as NAME or NAME@WEIGHTS. May be repeated.", valueName: "name"))
    var segmenters: [String] = []

    @OptionGroup var models: ModelsOptions
    @OptionGroup var choice: EvaluationDataOptions

    @Flag(help: "Also prompt segmenters that take boxes with the box around the true structure.")
    var truthBoxes = false

    @Flag(
        help: """
            Also enlarge (-20% to +50%) and shift (0 to 30%) the true boxes, and give segmenters of volumes boxes at \
            other places and several boxes: 32 to 38 runs per case.
            """)
    var promptStudy = false

    @Option(help: "Segment this number of cases at once.")
    var workers: Int = 1

    @Option(help: "Count results below this Dice as in need of correction.")
    var acceptable: Double = 0.7

    @Option(help: "Show this number of the worst cases per segmenter in the report.")
    var worst: Int = 6

    @Option(help: "Number of draws of the bootstrap.")
    var draws: Int = 2000

    @Option(help: "Seed of the bootstrap.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("Title of the report; the name of the data by default.", valueName: "text"))
    var title: String?

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if workers < 1 { throw ValidationError("--workers must be at least 1") }
        if let limit = choice.limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
        if draws < 1 { throw ValidationError("--draws must be at least 1") }
        if worst < 0 { throw ValidationError("--worst must not be negative") }
        if !(0...1).contains(acceptable) { throw ValidationError("--acceptable must be a Dice, 0 to 1") }
        for name in segmenters.map({ $0.prefix { $0 != "@" } }) {
            let known = Segmenters.catalogue.map(\.name)
            guard known.contains(String(name)) else {
                throw ValidationError(
                    "unknown segmenter '\(name)'; \(Spelling.advice(for: String(name), among: known))")
            }
        }
    }

    func run() async throws {
        let installed = try InstalledModels(folder: models.models)
        let folder = try OutputFolder.create(output)
        CurrentProcess.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand(workers: workers)
        let progress = ProgressLine()
        do {
            let report = try await evaluate(installed, folder: folder, pool: pool, progress: progress)
            await pool.shutDown()
            try ReportPrinter.print(report, as: printing.format)
            if let failure = report.failure { throw CommandError(failure) }
        } catch {
            await pool.shutDown()
            throw error
        }
    }

    private func evaluate(
        _ installed: InstalledModels, folder: URL, pool: WorkerPool, progress: ProgressLine
    ) async throws -> EvaluateReport {
        let labelled = try await LabelledData(at: data, options: choice, pool: pool, progress: progress)
        let plans = try EvaluationPlans(
            named: segmenters, installed: installed, cases: labelled.cases, truthBoxes: truthBoxes || promptStudy,
            promptStudy: promptStudy
        ).plans
        let log = try ResultLog(path: folder.appendingPathComponent("results.jsonl").path)
        let run = EvaluationRun(cases: labelled.cases, plans: plans, output: folder.path)
        let results = try await run.perform(with: pool, log: log) { step in
            progress.show(
                "\(step.done) of \(step.total): \(step.name), \(step.caseID)"
                    + (step.failed > 0 ? " (\(step.failed) failed)" : ""))
        }
        progress.clear()
        let settings = ReportSettings(
            title: title ?? URL(fileURLWithPath: data).standardizedFileURL.lastPathComponent, acceptable: acceptable,
            resampling: Bootstrap(draws: draws, seed: seed), worstCases: worst,
            softwareVersion: KonturCommand.version, created: Int64(Date().timeIntervalSince1970))
        let report = EvaluationReport(results, plans: plans, settings: settings)
        let page = ReportPage(report, results: results, plans: plans, cases: labelled.cases, output: folder.path)
        return try EvaluateReport(
            report, notes: labelled.notes,
            files: [
                "report.html": Data(page.html.utf8), "summary.json": report.json(),
                "cases.csv": Data(CaseTable.csv(results).utf8),
            ], folder: folder)
    }
}

/// The results that `kontur evaluate` prints, and the files that it writes.
struct EvaluateReport: Report {
    var evaluation: EvaluationReport
    var notes: [String]
    /// Absolute paths of the files that were written.
    var files: [String]

    /// Writes the files.
    ///
    /// - Parameters:
    ///   - evaluation: the scores.
    ///   - notes: cases that were left out, and why.
    ///   - files: contents by file name.
    ///   - folder: the folder of the files.
    /// - Throws: `CommandError` if a file cannot be written.
    init(_ evaluation: EvaluationReport, notes: [String], files: [String: Data], folder: URL) throws {
        self.evaluation = evaluation
        self.notes = notes
        self.files = []
        for (name, data) in files.sorted(by: { $0.key < $1.key }) {
            let file = folder.appendingPathComponent(name)
            do {
                try data.write(to: file, options: .atomic)
                // The report contains pictures of patients.
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
            } catch {
                throw CommandError("could not write \(file.path): \(error.localizedDescription)")
            }
            self.files.append(file.path)
        }
    }

    /// The first failure in one line; `nil` if every case was segmented.
    var failure: String? {
        let failures = evaluation.segmenters.flatMap(\.failures)
        guard let first = failures.first else {
            return evaluation.segmenters.contains { $0.cases > 0 } ? nil : "none of the cases was segmented"
        }
        return "\(Formatted.count(failures.count, "case")) failed; the first is \(first.caseID): \(first.reason)"
    }

    var parts: [ReportPart] {
        let rows = evaluation.segmenters.flatMap { summary -> [[String]] in
            let dice = summary.scores.first { $0.name == "dice" }?.estimate
            let iou = summary.scores.first { $0.name == "iou" }?.estimate
            let confidence = summary.confidence
            func number(_ value: Double?) -> String { value.map { String(format: "%.3f", $0) } ?? "" }
            let others = summary.baselines.map { baseline in
                [
                    "\(summary.name), \(baseline.method.title)", String(baseline.dice.count),
                    number(baseline.dice.mean), "\(number(baseline.dice.low)) to \(number(baseline.dice.high))",
                    number(baseline.iou.mean),
                    summary.emptyCases > 0 ? "\(baseline.emptyMarked) of \(summary.emptyCases)" : "", "", "", "", "",
                    "", "",
                ]
            }
            let own = [
                summary.name + (summary.isOracle ? ", truth box" : ""), String(summary.cases), number(dice?.mean),
                dice.map { "\(number($0.low)) to \(number($0.high))" } ?? "", number(iou?.mean),
                summary.emptyCases > 0 ? "\(summary.emptyMarked) of \(summary.emptyCases)" : "",
                String(format: "%.0f%%", summary.needCorrection * 100), number(confidence?.predictors[0].spearman),
                number(confidence?.predictors[0].auroc), number(summary.seconds?.median),
                summary.peakMemory.map { Formatted.bytes(Int64($0)) } ?? "",
                summary.failures.isEmpty ? "" : String(summary.failures.count),
            ]
            return [own] + others
        }
        let said = Set(evaluation.segmenters.flatMap { summary in summary.notes.map { "\(summary.name): \($0)" } })
        let columns = [
            "cases", "dice", "95% interval", "iou", "empty marked", "need correction", "spearman", "auroc", "median s",
            "memory", "failed",
        ]
        return [.table(TextTable([.init("segmenter")] + columns.map { .init($0, isNumber: true) }, rows: rows))]
            + (notes + said.sorted()).map { .line($0) } + [.line("")] + files.map { .line($0) }
            + [.line(""), .line(Formatted.disclaimer)]
    }
}
