// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Persistence

struct JobsReleaseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Releases results that are held because their confidence is low.",
        discussion: "The audit trail records the user and the reason. A running node then sends the results by itself.")

    @OptionGroup var decision: ReviewDecision

    func run() throws {
        try decision.carryOut("released") { transaction, delivery, event in try transaction.released(delivery, event) }
    }
}

struct JobsDropCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Drops results that are held, so that they are never sent.",
        discussion: "The audit trail records the user and the reason. A dropped result cannot be released any more.")

    @OptionGroup var decision: ReviewDecision

    func run() throws {
        try decision.carryOut("dropped") { transaction, delivery, event in try transaction.dropped(delivery, event) }
    }
}

/// The reason for an operator's decision.
struct DecisionReason: ParsableArguments {
    @Option(help: ArgumentHelp("Record this reason in the audit trail. Do not give patient data.", valueName: "text"))
    var why: String

    func validate() throws {
        if why.allSatisfy(\.isWhitespace) { throw ValidationError("--why is empty; give the reason") }
    }
}

/// An operator's decision about held results, with the reason.
struct ReviewDecision: ParsableArguments {
    @Argument(help: ArgumentHelp("Numbers of jobs, as 'kontur jobs list --held' shows them.", valueName: "job"))
    var jobs: [Int64]

    @OptionGroup var reason: DecisionReason
    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    /// Moves every held delivery of each job, in one transaction per job.
    func carryOut(
        _ verb: String, _ move: (WriteTransaction, DeliveryID, AuditEvent) throws -> Void
    ) throws {
        let journal = try spool.openJournal()
        var report = ReviewReport(decision: verb)
        for number in jobs {
            do {
                report.deliveries += try journal.write { transaction in
                    guard let job = try transaction.jobSummary(JobID(rawValue: number)) else {
                        throw CommandError("the job does not exist")
                    }
                    let held = job.deliveries.filter { $0.state == .held }
                    if held.isEmpty { throw CommandError("none of its deliveries is held") }
                    let event = AuditEvent(by: .operatorOfThisCommand, reason: "\(verb): \(reason.why)")
                    for delivery in held { try move(transaction, delivery.id, event) }
                    return held.count
                }
                report.jobs += 1
            } catch {
                report.problems.append("job \(number): \(error)")
            }
        }
        try ReportPrinter.print(report, as: output.format)
        if !report.problems.isEmpty { throw CommandError(report.problems.joined(separator: "; ")) }
    }
}

/// Deliveries that an operator released or dropped.
struct ReviewReport: Report {
    var decision: String
    var jobs = 0
    var deliveries = 0
    var problems: [String] = []

    var parts: [ReportPart] {
        [
            .line(
                "\(decision): \(deliveries == 1 ? "1 delivery" : "\(deliveries) deliveries") of "
                    + "\(Formatted.count(jobs, "job"))")
        ]
    }
}
