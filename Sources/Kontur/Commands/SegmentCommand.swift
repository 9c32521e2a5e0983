// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Foundation
import Imaging
import Routing
import Segmentation
import Supervision

struct SegmentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "segment",
        abstract: "Segments DICOM files without a node: SEG files, PNG overlays and a table.",
        discussion: """
            Instances are sorted into stacks, and each stack goes to the segmenter of the first route that takes it: of \
            the configuration, or of the built-in routes (endoscopy, and MR described as late enhancement). \
            --segmenter and --route skip the conditions. Files in folders that are no DICOM are listed and passed over. \
            Exit code 1: a DICOM file could not be read, a stack failed, or nothing was segmented.
            """)

    @Argument(help: ArgumentHelp("DICOM files, or folders of them.", valueName: "path"))
    var paths: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("Where results go; made when missing.", valueName: "folder"))
    var output: String

    @Option(help: ArgumentHelp("A configuration whose routes decide.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Treat every stack as this route says, whatever its conditions.", valueName: "name"))
    var route: String?

    @Option(help: ArgumentHelp("Give every stack to this segmenter.", valueName: "name"))
    var segmenter: String?

    @Option(help: "For which viewer the SEG is written where images have no geometry: strict, ohif or slicer.")
    var viewerProfile = Word(ViewerProfile.Name.strict)

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if route != nil, segmenter != nil { throw ValidationError("give either --route or --segmenter, not both") }
        if let segmenter, !Segmenters.all.contains(where: { $0.name == segmenter }) {
            throw ValidationError(Self.unknown("segmenter", segmenter, known: Segmenters.all.map(\.name)))
        }
    }

    private static func unknown(_ what: String, _ name: String, known: [String]) -> String {
        let nearest = Spelling.nearest(to: name, among: known).map { "did you mean '\($0)'?" }
        return "unknown \(what) '\(name)'; \(nearest ?? "known are \(known.joined(separator: ", "))")"
    }

    func run() async throws {
        let names = Segmenters.all.map(\.name)
        let configuration =
            try config.map { try NodeConfiguration.load($0, segmenters: names) }
            ?? BuiltInRoutes.configuration(segmenters: names)
        let choice = try choice(from: configuration.routes)
        let folder = URL(fileURLWithPath: output, isDirectory: true).standardizedFileURL
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError("the folder '\(output)' cannot be made; choose another --output")
        }
        Signals.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand()
        let progress = ProgressLine()
        let study = await OfflineStudy(reading: paths, with: pool, progress: progress)
        let segmentation = OfflineSegmentation(
            study: study, folder: folder, viewerProfile: viewerProfile.value, pool: pool, progress: progress)
        var stacks: [SegmentReport.StackLine] = []
        for (index, stack) in study.stacks.enumerated() {
            stacks.append(await segmentation.segment(stack, number: index + 1, choice: choice))
        }
        await pool.shutDown()
        let report = SegmentReport(stacks: stacks, files: study.files)
        try ReportPrinter.print(report, as: printing.format)
        if let failure = report.failure { throw CommandError(failure) }
    }

    private func choice(from routes: [Route]) throws -> OfflineSegmentation.Choice {
        if let segmenter { return .forced(Route(name: "", when: [], segmenter: segmenter)) }
        guard let route else { return .byConditions(routes) }
        if let found = routes.first(where: { $0.name == route }) { return .forced(found) }
        throw ValidationError(Self.unknown("route", route, known: routes.map(\.name)))
    }
}

/// What was segmented, and what was not and why.
struct SegmentReport: Report {
    enum Outcome: String, Encodable {
        case segmented
        case nothingFound
        case unmatched
        case undetermined
        case unfit
        case failed
    }

    struct StackLine: Encodable {
        var seriesInstanceUID: String
        var key: String
        var modality: String?
        var instances: Int
        var route: String?
        var segmenter: String?
        var outcome: Outcome
        var frames: Int?
        var foundFrames: Int?
        var seconds: Double?
        /// 0...1, of the whole stack.
        var confidence: Double?
        var segmentation: String?
        var sopInstanceUID: String?
        var overlays: [String] = []
        var reason: String?
        var notes: [String] = []
    }

    var stacks: [StackLine]
    var files: [FileOutcome]
    var disclaimer = Shown.disclaimer

    init(stacks: [StackLine], files: [FileOutcome]) {
        self.stacks = stacks
        self.files = files
    }

    /// What went wrong, in one line; `nil` when nothing did.
    var failure: String? {
        if let failure = FileOutcome.failure(files) { return failure }
        if let failed = stacks.first(where: { $0.outcome == .failed }) {
            let count = stacks.count { $0.outcome == .failed }
            return "\(Shown.count(count, "stack")) failed; the first: \(failed.reason ?? "no reason given")"
        }
        if stacks.contains(where: { $0.outcome == .segmented || $0.outcome == .nothingFound }) { return nil }
        let reason = stacks.first?.reason ?? files.first.map { "\($0.path): \($0.reason)" } ?? "there are no files"
        return "nothing was segmented: \(reason)"
    }

    var parts: [ReportPart] {
        var parts: [ReportPart] = []
        if stacks.isEmpty {
            parts.append(.line("No stack: none of the files holds an image to segment."))
        } else {
            parts.append(.table(table))
        }
        parts += stacks.flatMap { stack in stack.notes.map { .line("\(Shown.uid(stack.seriesInstanceUID)): \($0)") } }
        if let table = FileOutcome.table(files) {
            parts.append(.line(""))
            parts.append(.table(table))
        }
        parts.append(.line(""))
        parts.append(.line(disclaimer))
        return parts
    }

    private var table: TextTable {
        TextTable(
            [
                .init("series"), .init("modality"), .init("instances", isNumber: true), .init("route"),
                .init("segmenter"),
                .init("outcome"), .init("found in", isNumber: true), .init("time", isNumber: true),
                .init("confidence", isNumber: true), .init("SEG"), .init("overlays"), .init("because"),
            ],
            rows: stacks.map { stack in
                let found = stack.foundFrames.map { "\($0) of \(stack.frames ?? 0)" }
                return [
                    Shown.uid(stack.seriesInstanceUID), stack.modality ?? "", String(stack.instances),
                    stack.route ?? "",
                    stack.segmenter ?? "", stack.outcome == .nothingFound ? "nothing found" : stack.outcome.rawValue,
                    found ?? "", stack.seconds.map { Shown.seconds(.seconds($0)) } ?? "",
                    Shown.fraction(stack.confidence),
                    stack.segmentation ?? "",
                    stack.overlays.first.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path } ?? "",
                    stack.reason ?? "",
                ]
            })
    }
}
