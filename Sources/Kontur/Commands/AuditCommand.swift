// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Shows, verifies and exports the audit trail, and tidies it.",
        subcommands: [
            AuditShowCommand.self, AuditVerifyCommand.self, AuditExportCommand.self, AuditDropCommand.self,
            AuditEraseCommand.self,
        ])
}

// MARK: - Show

struct AuditShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows the newest records, newest first.")

    @Option(help: ArgumentHelp("Show only records of this study.", valueName: "Study Instance UID"))
    var study: String?

    @Option(help: "Show only records of this event, such as jobDone.")
    var event: ChoiceArgument<AuditEvent.Name>?

    @Option(help: "Show only records of this job.")
    var job: Int64?

    @Option(
        help: ArgumentHelp(
            "Show only records from this time on: 2026-01-31 or 2026-01-31T09:30:00Z.", valueName: "time"))
    var since: Moment?

    @Option(help: ArgumentHelp("Show only records before this time.", valueName: "time"))
    var until: Moment?

    @Option(help: "Show up to this number of records.")
    var last = 50

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if last < 1 { throw ValidationError("--last is at least 1") }
    }

    func run() throws {
        let trail = AuditTrail(journal: try spool.openForReading())
        let filter = AuditTrail.Filter(
            study: study, event: event?.value, job: job.map { JobID(rawValue: $0) }, since: since?.date,
            until: until?.date)
        try ReportPrinter.print(AuditReport(records: trail.latest(last, filter)), as: output.format)
    }
}

/// A point in time on the command line, in UTC: a date, or a date with a time (ISO 8601).
struct Moment: ExpressibleByArgument {
    var date: Date

    init?(argument: String) {
        let parsed =
            (try? Date(argument, strategy: .iso8601))
            ?? (try? Date("\(argument)T00:00:00Z", strategy: .iso8601))
        guard let parsed else { return nil }
        date = parsed
    }
}

/// Records of the trail, newest first.
struct AuditReport: Report {
    var records: [AuditRecord]

    var parts: [ReportPart] {
        if records.isEmpty { return [.line("No records.")] }
        return [
            .table(
                TextTable(
                    [
                        .init("record", isNumber: true), .init("time"), .init("event"), .init("who"),
                        .init("series"), .init("job", isNumber: true), .init("count", isNumber: true), .init("route"),
                        .init("segmenter"), .init("confidence", isNumber: true), .init("outcome"), .init("reason"),
                    ],
                    rows: records.map(Self.row)))
        ]
    }

    private static func row(_ record: AuditRecord) -> [String] {
        let who = [record.user, record.aeTitle, record.address].compactMap { $0 }
        return [
            String(record.number), record.date.formatted(.iso8601), record.event, who.joined(separator: " "),
            Formatted.uid(record.series ?? ""), record.job.map(String.init) ?? "", record.count.map(String.init) ?? "",
            record.route ?? "", record.segmenter ?? "", Formatted.fraction(record.confidence), record.outcome,
            record.reason ?? "",
        ]
    }
}

// MARK: - Verify

struct AuditVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Recomputes the chain and names the first record that does not fit.",
        discussion: """
            The chain is not signed. It reveals a record that was changed, removed or inserted, unless the whole chain \
            after it was rebuilt. Note the head that this command prints outside the node. With --head, the command \
            proves that the chain up to that head was not rebuilt, and that its end is there.
            """)

    @Option(help: ArgumentHelp("Require that a record has this hash, which was noted earlier.", valueName: "hash"))
    var head: String?

    @Option(help: ArgumentHelp("Verify an exported trail instead of the trail in a spool.", valueName: "file"))
    var file: String?

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let head, head.count != 64 || !head.allSatisfy(\.isHexDigit) {
            throw ValidationError("--head takes 64 hexadecimal digits, as 'kontur audit verify' prints them")
        }
    }

    func run() throws {
        let found: AuditVerification
        if let file {
            guard let data = FileManager.default.contents(atPath: file) else {
                throw CommandError("could not read the export '\(file)'; check its name and its permissions")
            }
            let lines = data.split(separator: UInt8(ascii: "\n")).map { Data($0) }
            found = try AuditTrail.verify(export: lines, head: head)
        } else {
            found = try AuditTrail(journal: spool.openForReading()).verify(head: head)
        }
        try ReportPrinter.print(VerifyReport(found), as: output.format)
        if let problem = found.problem { throw CommandError("the audit trail is broken at \(problem)") }
    }
}

/// The result of a verification.
struct VerifyReport: Report {
    var isWhole: Bool
    var records: Int64
    var head: String
    var problem: AuditProblem?

    init(_ found: AuditVerification) {
        isWhole = found.isWhole
        records = found.records
        head = found.head
        problem = found.problem
    }

    var parts: [ReportPart] {
        let good = Formatted.count(Int(records), "record")
        if isWhole { return [.line("The audit trail is whole: \(good)."), .line("head \(head)")] }
        return [.line("\(good) fit; the last of them has the hash \(head).")]
    }
}
