// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct SeriesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "series",
        abstract: "Lists series that are set aside or in doubt, and decides about them.",
        discussion: """
            A series is set aside if its instances name two patients, if only a part of it has come again since its \
            files were deleted, or if it could not be closed. Kontur keeps its files and looks at it again when an \
            instance arrives or leaves. Otherwise a person decides.

            A series is in doubt if another series has one of its SOP Instance UIDs with another image. Kontur segments \
            both.
            """,
        subcommands: [
            SeriesListCommand.self, SeriesRetryCommand.self, SeriesReleaseCommand.self, SeriesDropCommand.self,
        ],
        defaultSubcommand: SeriesListCommand.self)
}

struct SeriesListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists series that are set aside or in doubt, oldest first.")

    @Option(help: ArgumentHelp("List only series after this one.", valueName: "series"))
    var after: Int64?

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let first = after.map { SeriesID(rawValue: $0) }
        let series = try spool.openForReading().read { try $0.seriesToReview(after: first) }
        try ReportPrinter.print(SeriesReport(series: series), as: output.format)
    }
}

/// Series that are set aside or in doubt.
struct SeriesReport: Report {
    var series: [SeriesSummary]

    var parts: [ReportPart] {
        if series.isEmpty { return [.line("No series is set aside or in doubt.")] }
        return [
            .table(
                TextTable(
                    [
                        .init("number", isNumber: true), .init("state"), .init("series"), .init("study"),
                        .init("modality"), .init("rev", isNumber: true), .init("instances", isNumber: true),
                        .init("reason"), .init("doubt"),
                    ],
                    rows: series.map { series in
                        [
                            String(series.id.rawValue), series.state.inWords, Formatted.uid(series.seriesInstanceUID),
                            Formatted.uid(series.studyInstanceUID), series.modality ?? "", String(series.revision),
                            String(series.instances), series.why ?? "", series.doubt ?? "",
                        ]
                    }))
        ]
    }
}

extension SeriesState {
    /// The state as a person reads it.
    var inWords: String { self == .setAside ? "set aside" : rawValue }
}

// MARK: - Decisions

struct SeriesRetryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Looks again at series that are set aside.",
        discussion: "A running node takes them up by itself, and sets them aside again if nothing has changed.")

    @OptionGroup var series: SeriesNumbers

    func run() throws {
        try series.decide("looked at again") { try $0.resumed($1, AuditEvent(by: $2, reason: "kontur series retry")) }
    }
}

struct SeriesReleaseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Accepts series that are set aside or in doubt as they are.",
        discussion: """
            A series that was set aside is segmented as it is, even if its instances name two patients or some are \
            missing. The SEG names the patient of the instance that arrived last. The audit trail records the user and \
            the reason.
            """)

    @OptionGroup var series: SeriesNumbers
    @OptionGroup var reason: DecisionReason

    func run() throws {
        try series.decide("released") { [why = reason.why] in
            try $0.released($1, AuditEvent(by: $2, reason: "released: \(why)"))
        }
    }
}

struct SeriesDropCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Closes series that are set aside, without segmenting them.",
        discussion: """
            Their files are deleted when their time comes. An instance that arrives later opens its series again. The \
            audit trail records the user and the reason.
            """)

    @OptionGroup var series: SeriesNumbers
    @OptionGroup var reason: DecisionReason

    func run() throws {
        try series.decide("dropped") { [why = reason.why] in
            try $0.dropped($1, AuditEvent(by: $2, reason: "dropped: \(why)"))
        }
    }
}

/// The series that an operator decides about.
struct SeriesNumbers: ParsableArguments {
    @Argument(help: ArgumentHelp("Numbers of series, as 'kontur series list' shows them.", valueName: "series"))
    var series: [Int64]

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    /// Takes the arrow for each series, in one transaction per series.
    func decide(
        _ verb: String, _ arrow: (WriteTransaction, SeriesID, AuditActor) throws -> Void
    ) throws {
        let journal = try spool.openJournal()
        var report = SeriesDecisionReport(decision: verb)
        for number in series {
            do {
                try journal.write { try arrow($0, SeriesID(rawValue: number), .operatorOfThisCommand) }
                report.series += 1
            } catch {
                report.problems.append("series \(number): \(error)")
            }
        }
        try ReportPrinter.print(report, as: output.format)
        if !report.problems.isEmpty { throw CommandError(report.problems.joined(separator: "; ")) }
    }
}

/// Series that an operator decided about.
struct SeriesDecisionReport: Report {
    var decision: String
    var series = 0
    var problems: [String] = []

    var parts: [ReportPart] { [.line("\(decision): \(series) series")] }
}
