// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct JobsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "Shows where work is and why, revives what was given up, decides what is held.",
        subcommands: [
            JobsListCommand.self, JobsShowCommand.self, JobsRetryCommand.self, JobsReleaseCommand.self,
            JobsDropCommand.self,
        ],
        defaultSubcommand: JobsListCommand.self)
}

struct JobsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists jobs, oldest first.")

    @Option(help: "Only jobs in this state: queued, running, done, dead or superseded; may be repeated.")
    var state: [Word<JobState>] = []

    @Flag(help: "Only what was given up: dead jobs, and jobs with dead deliveries.")
    var dead = false

    @Flag(help: "Only results of low confidence: a person has to look at them.")
    var lowConfidence = false

    @Flag(help: "Only results that are held back until 'kontur jobs release' or 'drop'.")
    var held = false

    @Option(help: ArgumentHelp("Only jobs of this study.", valueName: "Study Instance UID"))
    var study: String?

    @Option(help: ArgumentHelp("Only jobs after this one.", valueName: "job"))
    var after: Int64?

    @Option(help: "How many at most.")
    var limit = 100

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if limit < 1 { throw ValidationError("--limit is at least 1") }
        if dead, !state.isEmpty { throw ValidationError("give either --dead or --state, not both") }
    }

    func run() throws {
        let journal = try spool.openJournal()
        var jobs: [JobSummary] = []
        var last = after.map { JobID(rawValue: $0) }
        while jobs.count <= limit {
            let page = try journal.read { view in
                try view.jobs(
                    states: state.isEmpty ? nil : Set(state.map(\.value)), study: study, after: last, limit: 500)
            }
            jobs += page.filter {
                (!dead || $0.isGivenUp) && (!lowConfidence || $0.lowConfidence) && (!held || $0.isHeld)
            }
            guard let end = page.last, page.count == 500 else { break }
            last = end.id
        }
        let report = JobsReport(jobs: Array(jobs.prefix(limit)), hasMore: jobs.count > limit)
        try ReportPrinter.print(report, as: output.format)
    }
}

extension JobSummary {
    var isGivenUp: Bool { state == .dead || deliveries.contains { $0.state == .dead } }
    var isHeld: Bool { deliveries.contains { $0.state == .held } }
}

struct JobsReport: Report {
    var jobs: [JobSummary]
    /// There are more than were asked for.
    var hasMore: Bool

    var parts: [ReportPart] {
        if jobs.isEmpty { return [.line("No jobs.")] }
        var parts: [ReportPart] = [
            .table(
                TextTable(
                    [
                        .init("job", isNumber: true), .init("state"), .init("series"), .init("rev", isNumber: true),
                        .init("route"), .init("segmenter"), .init("outcome"), .init("confidence", isNumber: true),
                        .init("attempts", isNumber: true), .init("deliveries"), .init("because"),
                    ],
                    rows: jobs.map { job in
                        [
                            String(job.id.rawValue), job.state.rawValue, Shown.uid(job.seriesInstanceUID),
                            String(job.revision), job.route ?? "", job.segmenter ?? "",
                            (job.outcome ?? "") + (job.lowConfidence ? ", low confidence" : ""),
                            Shown.fraction(job.confidence), job.attempts > 0 ? String(job.attempts) : "",
                            job.deliveries.map { "\($0.peer): \($0.state.rawValue)" }.joined(separator: ", "),
                            job.deliveries.lazy.compactMap(\.why).first ?? job.why ?? "",
                        ]
                    }))
        ]
        if hasMore, let last = jobs.last { parts.append(.line("There are more: --after \(last.id.rawValue)")) }
        return parts
    }
}

struct JobsRetryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Revives dead jobs and dead deliveries; a running node takes them up by itself."
    )

    @Argument(help: ArgumentHelp("Numbers of jobs, as 'kontur jobs list' shows them.", valueName: "job"))
    var jobs: [Int64] = []

    @Flag(help: "All that are dead.")
    var all = false

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if jobs.isEmpty != all { throw ValidationError("give the numbers of jobs, or --all") }
    }

    func run() throws {
        let journal = try spool.openJournal()
        let chosen = all ? try givenUp(in: journal) : jobs.map { JobID(rawValue: $0) }
        var report = RetryReport()
        for id in chosen {
            do {
                let revived = try Self.retry(id, in: journal)
                report.jobs += revived.job ? 1 : 0
                report.deliveries += revived.deliveries
            } catch {
                report.problems.append("job \(id.rawValue): \(error)")
            }
        }
        try ReportPrinter.print(report, as: output.format)
        if !report.problems.isEmpty { throw CommandError(report.problems.joined(separator: "; ")) }
    }

    private func givenUp(in journal: Journal) throws -> [JobID] {
        var found: [JobID] = []
        var last: JobID?
        while true {
            let page = try journal.read { try $0.jobs(after: last, limit: 500) }
            found += page.filter(\.isGivenUp).map(\.id)
            guard let end = page.last else { return found }
            last = end.id
        }
    }

    private static func retry(_ id: JobID, in journal: Journal) throws -> (job: Bool, deliveries: Int) {
        try journal.write { transaction in
            guard let job = try transaction.jobSummary(id) else { throw CommandError("there is no such job") }
            let event = AuditEvent(by: .operatorOfThisCommand, reason: "kontur jobs retry")
            let dead = job.deliveries.filter { $0.state == .dead }
            if job.state == .dead { try transaction.revived(id, event) }
            for delivery in dead { try transaction.revived(delivery.id, event) }
            guard job.isGivenUp else {
                throw CommandError("it is \(job.state.rawValue), and none of its deliveries is dead: nothing to retry")
            }
            return (job.state == .dead, dead.count)
        }
    }
}

struct RetryReport: Report {
    var jobs = 0
    var deliveries = 0
    var problems: [String] = []

    var parts: [ReportPart] {
        [
            .line(
                "revived: \(Shown.count(jobs, "job")), "
                    + "\(deliveries == 1 ? "1 delivery" : "\(deliveries) deliveries")")
        ]
    }
}
