// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct SpoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "spool", abstract: "Looks after the folder that holds the node's files and database.",
        subcommands: [SpoolBackupCommand.self, SpoolConfirmClockCommand.self])
}

struct SpoolConfirmClockCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "confirm-clock", abstract: "Confirms that the wall clock is right, after it has jumped.",
        discussion: """
            A node whose wall clock jumps does not delete files until the clock is confirmed, or until the node has run \
            for 24 hours. The audit trail records the user. A running node goes on within a minute.

            Keep times count on the time that the node has lived. If the node was off for more than a week, the clock \
            looks like one that jumped ahead. The time off counts after the confirmation, up to four weeks. Add \
            --node-was-off if the node was off for longer, and the files of before may go.
            """)

    @Flag(help: "The node was really off for the whole time that the clock jumped ahead: let files grow older by it.")
    var nodeWasOff = false

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let journal = try spool.openJournal()
        let report = try journal.write { transaction in
            let holds = try transaction.clockHolds()
            let count = try transaction.clockConfirmed(
                wasOff: nodeWasOff, AuditEvent(by: .operatorOfThisCommand, reason: "kontur spool confirm-clock"))
            return ClockReport(jumps: Array(holds.prefix(count)))
        }
        try ReportPrinter.print(report, as: output.format)
    }
}

/// The jumps of the wall clock that were confirmed.
struct ClockReport: Report {
    var jumps: [ClockHold]

    var parts: [ReportPart] {
        if jumps.isEmpty { return [.line("The clock has not jumped, so there is nothing to confirm.")] }
        return jumps.map { .line("confirmed: the wall clock \(Self.text($0))") }
            + [.line("A running node deletes files again within a minute.")]
    }

    /// "jumped ahead by 3 days on 2026-01-31T09:30:00Z".
    static func text(_ jump: ClockHold) -> String {
        // A jump of three days is measured as some milliseconds less.
        let size = Formatted.age(.seconds((abs(jump.difference) / 60).rounded() * 60))
        return "jumped \(jump.difference < 0 ? "back" : "ahead") by \(size) on \(jump.noticedAt.formatted(.iso8601))"
    }
}
