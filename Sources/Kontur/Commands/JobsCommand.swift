// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct JobsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "Lists jobs, revives dead ones, and releases or drops held results.",
        subcommands: [
            JobsListCommand.self, JobsShowCommand.self, JobsRetryCommand.self, JobsReleaseCommand.self,
            JobsDropCommand.self,
        ],
        defaultSubcommand: JobsListCommand.self)
}

struct JobsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists jobs, oldest first.")

    @Option(help: "List only jobs in this state: queued, running, done, dead or superseded. May be repeated.")
    var state: [ChoiceArgument<JobState>] = []

    @Flag(help: "List only dead jobs and jobs with dead deliveries.")
    var dead = false

    @Flag(help: "List only jobs whose result has a low confidence, so that a person has to look at it.")
    var lowConfidence = false

    @Flag(help: "List only jobs whose result is held until 'kontur jobs release' or 'kontur jobs drop'.")
    var held = false

    @Option(help: ArgumentHelp("List only jobs of this study.", valueName: "Study Instance UID"))
    var study: String?

    @Option(help: ArgumentHelp("List only jobs after this one.", valueName: "job"))
    var after: Int64?

    @Option(help: "List up to this number of jobs.")
    var limit = 100

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if limit < 1 { throw ValidationError("--limit is at least 1") }
        if dead, !state.isEmpty { throw ValidationError("give either --dead or --state, not both") }
    }

    func run() throws {
        let states = state.isEmpty ? nil : Set(state.map(\.value))
        let first = after.map { JobID(rawValue: $0) }
        let journal = try spool.openForReading()
        var pages = journal.pages { view, last in
            try view.jobs(states: states, study: study, after: last?.id ?? first)
        }
        var jobs: [JobSummary] = []
        while jobs.count <= limit, let page = try pages.next() {
            jobs += page.filter {
                (!dead || $0.isGivenUp) && (!lowConfidence || $0.lowConfidence) && (!held || $0.isHeld)
            }
        }
        let report = JobsReport(
            jobs: Array(jobs.prefix(limit)), hasMore: jobs.count > limit,
            series: try journal.read { try $0.seriesToReview(study: study) })
        try ReportPrinter.print(report, as: output.format)
    }
}

extension JobSummary {
    /// Whether the job or one of its deliveries is dead.
    var isGivenUp: Bool { state == .dead || deliveries.contains { $0.state == .dead } }
    /// Whether one of its deliveries waits for an operator.
    var isHeld: Bool { deliveries.contains { $0.state == .held } }
}

extension DeliverySummary {
    /// The state in words: a sent object may wait for the peer's commitment to keep it, or may have been lost.
    var standing: String {
        state.rawValue + (awaitsCommitment ? ", not committed yet" : "")
            + (losses > 0 ? ", lost \(losses == 1 ? "once" : "\(losses) times") by the peer" : "")
    }
}

/// Jobs, oldest first.
struct JobsReport: Report {
    var jobs: [JobSummary]
    /// Whether more jobs exist than were asked for.
    var hasMore: Bool
    /// Series without a job because they are set aside, and series in doubt.
    var series: [SeriesSummary] = []

    var parts: [ReportPart] { jobParts + (series.isEmpty ? [] : [.line("")] + SeriesReport(series: series).parts) }

    private var jobParts: [ReportPart] {
        if jobs.isEmpty { return [.line("No jobs.")] }
        var parts: [ReportPart] = [
            .table(
                TextTable(
                    [
                        .init("job", isNumber: true), .init("state"), .init("series"), .init("rev", isNumber: true),
                        .init("route"), .init("segmenter"), .init("outcome"), .init("confidence", isNumber: true),
                        .init("attempts", isNumber: true), .init("deliveries"), .init("reason"),
                    ],
                    rows: jobs.map { job in
                        [
                            String(job.id.rawValue), job.state.rawValue, Formatted.uid(job.seriesInstanceUID),
                            String(job.revision), job.route ?? "", job.segmenter ?? "",
                            (job.outcome ?? "") + (job.lowConfidence ? ", low confidence" : ""),
                            Formatted.fraction(job.confidence), job.attempts > 0 ? String(job.attempts) : "",
                            job.deliveries.map { "\($0.peer): \($0.standing)" }.joined(separator: ", "),
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
        commandName: "retry", abstract: "Revives dead jobs and dead deliveries.",
        discussion: "A running node takes them up by itself.")

    @Argument(help: ArgumentHelp("Numbers of jobs, as 'kontur jobs list' shows them.", valueName: "job"))
    var jobs: [Int64] = []

    @Flag(help: "Revive everything that is dead.")
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
        var pages = journal.pages { try $0.jobs(after: $1?.id) }
        while let page = try pages.next() { found += page.filter(\.isGivenUp).map(\.id) }
        return found
    }

    private static func retry(_ id: JobID, in journal: Journal) throws -> (job: Bool, deliveries: Int) {
        try journal.write { transaction in
            guard let job = try transaction.jobSummary(id) else { throw CommandError("the job does not exist") }
            let event = AuditEvent(by: .operatorOfThisCommand, reason: "kontur jobs retry")
            let dead = job.deliveries.filter { $0.state == .dead }
            if job.state == .dead { try transaction.revived(id, event) }
            for delivery in dead { try transaction.revived(delivery.id, event) }
            guard job.isGivenUp else {
                throw CommandError("it is \(job.state.rawValue), and its deliveries are not dead; nothing to retry")
            }
            return (job.state == .dead, dead.count)
        }
    }
}

/// Revived jobs and deliveries.
struct RetryReport: Report {
    var jobs = 0
    var deliveries = 0
    var problems: [String] = []

    var parts: [ReportPart] {
        [
            .line(
                "revived: \(Formatted.count(jobs, "job")), "
                    + (deliveries == 1 ? "1 delivery" : "\(deliveries) deliveries"))
        ]
    }
}
