// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Evaluation
import Foundation
import Imaging
import Segmentation
import Supervision

struct EvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measures segmenters on labelled cases: a pilot report, scores and tables.",
        discussion: """
            The data is one of: a folder of PNG or JPEG files, with masks of the same names in images/ and masks/, or \
            beside them as NAME_mask; a folder of DICOM series with SEGs that refer to them; or a CSV table with the \
            columns image and mask (empty: nothing is there) and, if wanted, id and group. A mask is what is brighter \
            than 127.

            Every installed segmenter that takes such data runs side by side, or those that --segmenter names. Results \
            are written as they come, and a second run into the same folder does only what is missing or has changed. \
            In the output folder: report.html, summary.json, cases.csv, results.jsonl and masks/.

            Exit code 1: a case could not be read or segmented, or there was none.
            """)

    @Argument(help: ArgumentHelp("A folder of labelled cases, or a CSV table of them.", valueName: "data"))
    var data: String

    @Option(name: .shortAndLong, help: ArgumentHelp("Where results go; made when missing.", valueName: "folder"))
    var output: String

    @Option(
        name: .customLong("segmenter"),
        help: ArgumentHelp(
            "A segmenter to measure, NAME or NAME@WEIGHTS; may be given more than once.", valueName: "name"))
    var segmenters: [String] = []

    @OptionGroup var models: ModelsOptions
    @OptionGroup var choice: EvaluationDataOptions

    @Flag(help: "Prompt box-prompted segmenters from the truth, too: what a perfect box would give.")
    var truthBoxes = false

    @Flag(help: "Also enlarge (-20% to +50%) and shift (0 to 30%) the truth's boxes: 32 runs a case.")
    var promptStudy = false

    @Option(help: "How many cases are segmented at once.")
    var workers: Int = 1

    @Option(help: "Dice below which an answer needs correction.")
    var acceptable: Double = 0.7

    @Option(help: "How many of the worst cases the report shows for each segmenter.")
    var worst: Int = 6

    @Option(help: "Draws of the bootstrap.")
    var draws: Int = 2000

    @Option(help: "Seed of the bootstrap.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("What the report calls the data; else its folder's name.", valueName: "text"))
    var title: String?

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if workers < 1 { throw ValidationError("--workers takes at least one") }
        if let limit = choice.limit, limit < 1 { throw ValidationError("--limit takes at least one") }
        if draws < 1 { throw ValidationError("--draws takes at least one") }
        if worst < 0 { throw ValidationError("--worst takes no negative number") }
        if !(0...1).contains(acceptable) { throw ValidationError("--acceptable is a Dice: 0 to 1") }
        for name in segmenters.map({ $0.prefix { $0 != "@" } }) {
            guard Segmenters.catalogue.contains(where: { $0.name == name }) else {
                let known = Segmenters.catalogue.map(\.name).joined(separator: ", ")
                throw ValidationError("unknown segmenter '\(name)'; known are \(known)")
            }
        }
    }

    func run() async throws {
        let installed = try InstalledModels(folder: models.models)
        let folder = try outputFolder()
        Signals.ignoreBrokenPipes()
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

    private func outputFolder() throws -> URL {
        let folder = URL(fileURLWithPath: output, isDirectory: true).standardizedFileURL
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError("the folder '\(output)' cannot be made; choose another --output")
        }
        return folder
    }
}

/// What `kontur evaluate` prints, and the files that it writes.
struct EvaluateReport: Report {
    var evaluation: EvaluationReport
    var notes: [String]
    /// Absolute.
    var files: [String]

    /// - Throws: `CommandError` when a file cannot be written.
    init(_ evaluation: EvaluationReport, notes: [String], files: [String: Data], folder: URL) throws {
        self.evaluation = evaluation
        self.notes = notes
        self.files = []
        for (name, data) in files.sorted(by: { $0.key < $1.key }) {
            let file = folder.appendingPathComponent(name)
            do {
                try data.write(to: file, options: .atomic)
                // Pictures of patients are for those who measure.
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
            } catch {
                throw CommandError("could not write \(file.path): \(error.localizedDescription)")
            }
            self.files.append(file.path)
        }
    }

    /// What went wrong, in one line; `nil` when nothing did.
    var failure: String? {
        let failures = evaluation.segmenters.flatMap(\.failures)
        guard let first = failures.first else {
            return evaluation.segmenters.contains { $0.cases > 0 } ? nil : "no case was segmented"
        }
        return "\(Shown.count(failures.count, "case")) failed; the first, \(first.caseID): \(first.reason)"
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
                summary.peakMemory.map { Shown.bytes(Int64($0)) } ?? "",
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
            + [.line(""), .line(Shown.disclaimer)]
    }
}
