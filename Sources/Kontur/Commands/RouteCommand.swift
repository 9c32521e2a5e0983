// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DICOM
import Imaging
import Platform
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
        abstract: "Shows the route of each stack and the result of every condition; does not segment.",
        discussion: "The output quotes study and series descriptions, which may name a patient.")

    @Argument(help: ArgumentHelp("DICOM files, or folders of DICOM files.", valueName: "path"))
    var paths: [String]

    @Option(help: ArgumentHelp("Use the routes of this configuration instead of the built-in ones.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Assume that this AE title sent the files.", valueName: "title"))
    var callingAeTitle: String?

    @OptionGroup var models: ModelsOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let segmenters = Segmenters.catalogue.map(\.name)
        let configuration = try NodeConfiguration.offline(config, segmenters: segmenters)
        let planner = try InstalledModels(folder: models.models, configuration: configuration)
            .planner(for: configuration)
        CurrentProcess.ignoreBrokenPipes()
        let pool = WorkerPool.forCommand()
        let study = await OfflineStudy(reading: paths, with: pool, progress: ProgressLine())
        await pool.shutDown()
        let stacks = study.stacks.map { stack in
            ExplainReport.ExplainedStack(stack, planner, callingAETitles: callingAeTitle.map { [$0] } ?? [])
        }
        let report = ExplainReport(
            configurationHash: configuration.hash, stacks: stacks, files: study.files,
            withoutSender: callingAeTitle == nil)
        try ReportPrinter.print(report, as: output.format)
        if let failure = FileOutcome.failure(study.files) ?? study.conflict { throw CommandError(failure) }
    }
}

struct ExplainReport: Report {
    struct ExplainedStack: Encodable {
        var seriesInstanceUID: String
        var key: String
        var modality: String?
        var instances: Int
        /// The name of the route that takes the stack.
        var route: String?
        /// The name of the route's segmenter.
        var segmenter: String?
        /// The number of instances that the segmenter would get.
        var sources: Int?
        /// The number of frames of the stack: the slices of a volume.
        var frames: Int
        /// How the series fell apart, such as `split in 2 by Pixel Spacing: 17 and 9`.
        var split: String?
        /// Why the segmenter cannot run on this stack.
        var unfit: String?
        /// Why the segmenter cannot run on this machine.
        var unavailable: String?
        /// Facts that a result would carry, such as a gap that the route marks instead of refusing the volume.
        var notes: [String] = []
        /// Why the route was chosen.
        var decision: RouteDecision?

        init(_ stack: Stack, _ planner: StackPlanner, callingAETitles: [String]) {
            seriesInstanceUID = stack.seriesInstanceUID
            key = stack.key
            modality = stack.instances[0].modality
            instances = stack.instances.count
            frames = stack.numberOfFrames
            split = stack.split
            let plan = planner.plan(stack, callingAETitles: callingAETitles)
            decision = plan.decision
            route = plan.route?.name
            segmenter = plan.route?.segmenter
            switch plan.outcome {
            case .unfit(let reason): unfit = reason
            case .unavailable(let reason): unavailable = reason
            case .segment(let work): (sources, notes) = (work.sources.count, work.notes)
            case .unmatched, .undetermined: break
            }
        }
    }

    var configurationHash: String
    var stacks: [ExplainedStack]
    var files: [FileOutcome]
    var withoutSender: Bool

    var parts: [ReportPart] {
        var parts: [ReportPart] = []
        for (number, stack) in stacks.enumerated() {
            parts.append(
                .line(
                    "stack \(number + 1) of \(stacks.count): \(stack.modality ?? "no modality"), "
                        + "\(Formatted.count(stack.instances, "instance")), series \(stack.seriesInstanceUID)"))
            parts.append(.line("  \(stack.outcome)"))
            if let split = stack.split { parts.append(.line("  the series is \(split)")) }
            parts += stack.notes.filter { stack.split.map($0.contains) != true }.map { .line("  note: \($0)") }
            for route in stack.decision?.routes ?? [] { parts += explanation(route) }
            parts.append(.line(""))
        }
        if stacks.isEmpty { parts.append(.line("No stacks: the files do not contain images that can be segmented.")) }
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

extension ExplainReport.ExplainedStack {
    fileprivate var outcome: String {
        if let route, let unfit { return "routed to \(route), but unfit: \(unfit)" }
        if let route, let unavailable { return "routed to \(route), but unavailable: \(unavailable)" }
        if let route { return "routed to \(route)" }
        return decision?.outcome == .undetermined
            ? "undetermined: no route matched; at least one could not be evaluated because an attribute is missing"
            : "unmatched: no route matches"
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
