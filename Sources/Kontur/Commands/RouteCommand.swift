// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Imaging
import Routing
import Segmentation
import Supervision

struct RouteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "route", abstract: "Explains routing.", subcommands: [RouteExplainCommand.self])
}

struct RouteExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Shows which route each stack takes, and why every condition held or not; nothing is segmented.",
        discussion: "The output quotes study and series descriptions, which may name a patient.")

    @Argument(help: ArgumentHelp("DICOM files, or folders of them.", valueName: "path"))
    var paths: [String]

    @Option(help: ArgumentHelp("The configuration; without it the built-in routes.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The AE title that is to have sent them.", valueName: "title"))
    var callingAeTitle: String?

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let segmenters = Segmenters.catalogue.map(\.name)
        let configuration =
            try config.map { try NodeConfiguration.load($0, segmenters: segmenters) }
            ?? BuiltInRoutes.configuration(segmenters: segmenters)
        Signals.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand()
        let study = await OfflineStudy(reading: paths, with: pool, progress: ProgressLine())
        await pool.shutDown()
        let stacks = study.stacks.map { stack in
            ExplainReport.StackLine(
                stack, configuration.routes, callingAETitles: callingAeTitle.map { [$0] } ?? [])
        }
        let report = ExplainReport(
            configurationHash: configuration.hash, stacks: stacks, files: study.files,
            withoutSender: callingAeTitle == nil)
        try ReportPrinter.print(report, as: output.format)
        if let failure = FileOutcome.failure(study.files) { throw CommandError(failure) }
    }
}

struct ExplainReport: Report {
    struct StackLine: Encodable {
        var seriesInstanceUID: String
        var key: String
        var modality: String?
        var instances: Int
        var decision: RouteDecision
        /// Why the segmenter of the route cannot take it.
        var unfit: String?
        /// What is put up with.
        var notes: [String] = []

        init(_ stack: Stack, _ routes: [Route], callingAETitles: [String]) {
            seriesInstanceUID = stack.seriesInstanceUID
            key = stack.key
            modality = stack.instances[0].modality
            instances = stack.instances.count
            decision = RouteDecision(StackFacts(stack, callingAETitles: callingAETitles), routes: routes)
            guard let route = routes.first(where: { $0.name == decision.route }),
                let segmenter = try? Segmenters.entry(route.segmenter)
            else { return }
            switch stack.fit(for: segmenter.template, gaps: route.gaps) {
            case .unfit(let reason): unfit = reason
            case .fit(_, let notes): self.notes = notes
            }
        }
    }

    var configurationHash: String
    var stacks: [StackLine]
    var files: [FileOutcome]
    var withoutSender: Bool

    var parts: [ReportPart] {
        var parts: [ReportPart] = []
        for (number, stack) in stacks.enumerated() {
            parts.append(
                .line(
                    "stack \(number + 1) of \(stacks.count): \(stack.modality ?? "no modality"), "
                        + "\(Shown.count(stack.instances, "instance")), series \(stack.seriesInstanceUID)"))
            parts.append(.line("  \(stack.outcome)"))
            parts += stack.notes.map { .line("  note: \($0)") }
            for route in stack.decision.routes { parts += explanation(route) }
            parts.append(.line(""))
        }
        if stacks.isEmpty { parts.append(.line("No stack: none of the files holds an image to segment.")) }
        if let table = FileOutcome.table(files) { parts.append(.table(table)) }
        return parts
    }

    private func explanation(_ route: RouteExplanation) -> [ReportPart] {
        var parts: [ReportPart] = [.line("  route \(route.route): \(route.outcome.inWords)")]
        for (number, set) in route.sets.enumerated() {
            if route.sets.count > 1 { parts.append(.line("    alternative \(number + 1): \(set.outcome.inWords)")) }
            let indent = route.sets.count > 1 ? "      " : "    "
            for condition in set.conditions {
                var reason = condition.result.reason
                if condition.condition == "callingAeTitle", withoutSender, condition.result.outcome == .undetermined {
                    reason += "; give --calling-ae-title"
                }
                parts.append(.line("\(indent)\(condition.condition): \(condition.result.outcome.inWords): \(reason)"))
            }
        }
        return parts
    }
}

extension ExplainReport.StackLine {
    fileprivate var outcome: String {
        switch decision.outcome {
        case .routed(let name): unfit.map { "routed to \(name), but unfit: \($0)" } ?? "routed to \(name)"
        case .unmatched: "unmatched: no route takes it"
        case .undetermined: "undetermined: a missing attribute keeps every route that could take it from being told"
        }
    }
}

extension RouteOutcome {
    fileprivate var inWords: String {
        switch self {
        case .matched: "matched"
        case .notMatched: "not matched"
        case .undetermined: "undetermined"
        }
    }
}

extension FileOutcome {
    /// How many cannot be read, and why the first; `nil` when all can.
    static func failure(_ files: [FileOutcome]) -> String? {
        guard let first = files.first(where: { $0.outcome == .quarantined }) else { return nil }
        let count = files.count { $0.outcome == .quarantined }
        let which = count == 1 ? "" : " the first,"
        return "\(Shown.count(count, "file")) cannot be read:\(which) \(first.path): \(first.reason)"
    }

    /// The files that are in no stack; `nil` when there are none.
    static func table(_ files: [FileOutcome]) -> TextTable? {
        if files.isEmpty { return nil }
        return TextTable(
            [.init("file"), .init("is"), .init("because")],
            rows: files.map { [$0.path, $0.outcome.inWords, $0.reason] })
    }
}

extension FileOutcome.Kind {
    fileprivate var inWords: String {
        switch self {
        case .quarantined: "not readable"
        case .notAnImage: "no image"
        case .own: "our own"
        case .duplicate: "a duplicate"
        case .passedOver: "passed over"
        case .picture: "a picture"
        }
    }
}
