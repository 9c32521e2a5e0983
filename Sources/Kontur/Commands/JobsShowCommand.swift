// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import DICOM
import Persistence
import Routing

struct JobsShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows the series, stacks, jobs and deliveries of a study or a job.",
        discussion: "The decision about a stack quotes study and series descriptions, which may name a patient.")

    @Argument(help: ArgumentHelp("The number of a job, or a Study Instance UID.", valueName: "job or study"))
    var subject: String

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let journal = try spool.openForReading()
        guard let report = try journal.read({ try Self.report(subject, $0) }) else {
            throw CommandError("'\(subject)' is neither a job nor a study in this spool")
        }
        try ReportPrinter.print(report, as: output.format)
    }

    private static func report(_ subject: String, _ view: ReadTransaction) throws -> StudyReport? {
        var wanted: JobID?
        var study = subject
        if let number = Int64(subject) {
            wanted = JobID(rawValue: number)
            guard let job = try view.jobSummary(JobID(rawValue: number)) else { return nil }
            study = job.studyInstanceUID
        }
        guard let found = try view.study(study) else { return nil }
        let jobs = found.jobs.filter { wanted == nil || $0.id == wanted }
        let stacks = Set(jobs.map(\.stack))
        return StudyReport(
            studyInstanceUID: study,
            series: try found.series.compactMap { series in
                let shown = series.stacks.filter { wanted == nil || stacks.contains($0.id) }
                if wanted != nil, shown.isEmpty { return nil }
                return StudyReport.SeriesEntry(
                    series: series,
                    stacks: try shown.map { stack in
                        StudyReport.StackEntry(
                            stack: stack, decision: try decision(of: stack.id, view),
                            jobs: jobs.filter { $0.stack == stack.id })
                    })
            })
    }

    private static func decision(of stack: StackID, _ view: ReadTransaction) throws -> RouteDecision? {
        try view.decision(of: stack).flatMap { try? JSONDecoder().decode(RouteDecision.self, from: $0) }
    }
}

/// A study with its series, stacks, jobs and deliveries.
struct StudyReport: Report {
    /// A series with its stacks.
    struct SeriesEntry: Encodable {
        var series: StudySummary.Series
        var stacks: [StackEntry]

        enum CodingKeys: String, CodingKey {
            case id, seriesInstanceUID, modality, state, why, doubt, revision, instances, stacks
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(series.id, forKey: .id)
            try container.encode(series.seriesInstanceUID, forKey: .seriesInstanceUID)
            try container.encodeIfPresent(series.modality, forKey: .modality)
            try container.encode(series.state, forKey: .state)
            try container.encodeIfPresent(series.why, forKey: .why)
            try container.encodeIfPresent(series.doubt, forKey: .doubt)
            try container.encode(series.revision, forKey: .revision)
            try container.encode(series.instances, forKey: .instances)
            try container.encode(stacks, forKey: .stacks)
        }
    }

    /// A stack with its decision and its jobs.
    struct StackEntry: Encodable {
        var stack: StackSummary
        var decision: RouteDecision?
        var jobs: [JobSummary]
    }

    var studyInstanceUID: String
    var series: [SeriesEntry]

    var parts: [ReportPart] {
        [.line("study \(studyInstanceUID)")] + series.flatMap(parts(of:))
    }

    private func parts(of series: SeriesEntry) -> [ReportPart] {
        let facts = series.series
        let line =
            "series \(facts.seriesInstanceUID): \(facts.modality ?? "modality missing"), \(facts.state.inWords), "
            + "revision \(facts.revision), \(Formatted.count(facts.instances, "instance"))"
        let remarks = [
            facts.why.map { "  \(facts.state.inWords): \($0)" }, facts.doubt.map { "  in doubt: \($0)" },
            facts.state == .setAside ? "  decide with 'kontur series retry|release|drop \(facts.id.rawValue)'" : nil,
        ]
        return [.line(""), .line(line)] + remarks.compactMap { $0.map { .line($0) } }
            + series.stacks.flatMap(parts(of:))
    }

    private func parts(of stack: StackEntry) -> [ReportPart] {
        let facts = stack.stack
        var parts: [ReportPart] = [
            .line(
                "  stack \(facts.key), revision \(facts.revision): \(Formatted.count(facts.instances, "instance")), "
                    + (facts.why ?? stack.decision?.summary ?? facts.state.rawValue))
        ]
        if stack.jobs.isEmpty {
            for route in stack.decision?.routes ?? [] {
                for condition in route.sets.flatMap(\.conditions) where condition.result.outcome != .matched {
                    parts.append(.line("    \(route.route): \(condition.condition): \(condition.result.reason)"))
                }
            }
        }
        for job in stack.jobs {
            let why = (job.why ?? job.outcome).map { ": \($0)" } ?? ""
            parts.append(.line("    job \(job.id.rawValue): \(job.state.rawValue)\(why)"))
            for delivery in job.deliveries {
                let status = delivery.status.map { " (status \(String(format: "%04X", $0)))" } ?? ""
                let why = delivery.why.map { ": \($0)" } ?? ""
                let line = "      to \(delivery.peer): \(delivery.standing)\(status)\(why)"
                let kind = ObjectKind(rawValue: delivery.kind)?.inWords ?? "object"
                parts.append(.line(line + ", \(kind) \(delivery.sopInstanceUID)"))
            }
        }
        return parts
    }
}
