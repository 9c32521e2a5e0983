// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Reads the audit trail, proves it whole, hands it to an auditor.",
        subcommands: [AuditShowCommand.self, AuditVerifyCommand.self, AuditExportCommand.self])
}

struct AuditShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows the newest records.")

    @Option(help: ArgumentHelp("Only records of this study.", valueName: "Study Instance UID"))
    var study: String?

    @Option(help: "Only records of this event, such as jobDone.")
    var event: Word<AuditEvent.Name>?

    @Option(help: "Only records of this job.")
    var job: Int64?

    @Option(help: ArgumentHelp("Only records since then: 2026-01-31 or 2026-01-31T09:30:00Z.", valueName: "time"))
    var since: Moment?

    @Option(help: ArgumentHelp("Only records before then.", valueName: "time"))
    var until: Moment?

    @Option(help: "How many of the newest.")
    var last = 50

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if last < 1 { throw ValidationError("--last is at least 1") }
    }

    func run() throws {
        let trail = AuditTrail(journal: try spool.openJournal())
        let filter = AuditTrail.Filter(
            study: study, event: event?.value, job: job.map { JobID(rawValue: $0) }, since: since?.date,
            until: until?.date)
        try ReportPrinter.print(AuditReport(records: trail.latest(last, filter)), as: output.format)
    }
}

/// A point in time on the command line, UTC.
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
                        .init("segmenter"), .init("confidence", isNumber: true), .init("outcome"), .init("because"),
                    ],
                    rows: records.map { record in
                        let who = [record.user, record.aeTitle, record.address].compactMap { $0 }
                        return [
                            String(record.number), record.date.formatted(.iso8601), record.event,
                            who.joined(separator: " "), Shown.uid(record.series ?? ""),
                            record.job.map(String.init) ?? "", record.count.map(String.init) ?? "", record.route ?? "",
                            record.segmenter ?? "", Shown.fraction(record.confidence), record.outcome,
                            record.reason ?? "",
                        ]
                    }))
        ]
    }
}

struct AuditVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Recomputes the chain and names the first record that does not fit.",
        discussion: """
            An unsigned chain shows that no record was changed, removed or put in by somebody who did not rebuild it. \
            Note its head elsewhere: --head then proves that nothing before it was rebuilt and its end is there.
            """)

    @Option(help: ArgumentHelp("A head noted earlier, which must be in the trail.", valueName: "hash"))
    var head: String?

    @Option(help: ArgumentHelp("An exported trail, instead of a spool's.", valueName: "file"))
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
                throw CommandError("the export '\(file)' cannot be read")
            }
            let lines = data.split(separator: UInt8(ascii: "\n")).map { Data($0) }
            found = try AuditTrail.verify(export: lines, head: head)
        } else {
            found = try AuditTrail(journal: spool.openJournal()).verify(head: head)
        }
        try ReportPrinter.print(VerifyReport(found), as: output.format)
        if let problem = found.problem { throw CommandError("the audit trail is broken at \(problem)") }
    }
}

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
        let good = Shown.count(Int(records), "record")
        if isWhole { return [.line("The audit trail is whole: \(good)."), .line("head \(head)")] }
        return [.line("\(good) fit, the last of them with the hash \(head).")]
    }
}

struct AuditExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes the trail as JSON lines, which 'audit verify --file' can prove.")

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write; '-' is standard output.", valueName: "file"))
    var output: String

    @Option(help: ArgumentHelp("Only the segment of this month.", valueName: "yyyy-mm"))
    var month: String?

    @OptionGroup var spool: SpoolOptions

    @Flag(help: "Print JSON instead of text about the export.")
    var json = false

    func run() throws {
        let trail = AuditTrail(journal: try spool.openJournal())
        let segment = try month.map { month in
            guard let found = try trail.segments().last(where: { $0.month == month && !$0.isDropped }) else {
                let known = try trail.segments().filter { !$0.isDropped }.map(\.month)
                throw CommandError("there is no segment of \(month); there are \(known.joined(separator: ", "))")
            }
            return found.id
        }
        if output == "-" {
            try trail.export(segment: segment, by: .operatorOfThisCommand) { line in
                Terminal.write(String(decoding: line, as: UTF8.self) + "\n", to: STDOUT_FILENO)
            }
            return
        }
        let end = try Self.write(to: output) { write in
            try trail.export(segment: segment, by: .operatorOfThisCommand, write)
        }
        try ReportPrinter.print(
            ExportReport(file: output, records: end.records, head: end.head), as: json ? .json : .text)
    }

    /// The file gets its name when it is whole; readable to its owner alone.
    private static func write<Result>(
        to path: String, _ body: ((Data) throws -> Void) throws -> Result
    ) throws -> Result {
        let partial = "\(path).partial"
        guard FileManager.default.createFile(atPath: partial, contents: nil, attributes: [.posixPermissions: 0o600]),
            let file = FileHandle(forWritingAtPath: partial)
        else { throw CommandError("'\(path)' cannot be written; choose another --output") }
        defer { try? FileManager.default.removeItem(atPath: partial) }
        let result = try body { line in try file.write(contentsOf: line + Data([UInt8(ascii: "\n")])) }
        try file.synchronize()
        try file.close()
        guard rename(partial, path) == 0 else {
            throw CommandError("'\(path)' cannot be written; choose another --output")
        }
        return result
    }
}

struct ExportReport: Report {
    var file: String
    var records: Int64
    var head: String

    var parts: [ReportPart] { [.line("\(Shown.count(Int(records), "record")) written to \(file), head \(head)")] }
}
