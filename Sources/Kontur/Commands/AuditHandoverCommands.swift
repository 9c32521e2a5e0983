// SPDX-License-Identifier: Apache-2.0
//
// Commands that take something out of the trail: an export, a segment, the link between a study and its patient.

import ArgumentParser
import Foundation
import Persistence
import Platform

// MARK: - Export

struct AuditExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes the trail as JSON lines, which 'audit verify --file' can verify.")

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write this file; '-' writes to standard output.", valueName: "file"))
    var output: String

    @Option(help: ArgumentHelp("Write only the segment of this month.", valueName: "yyyy-mm"))
    var month: String?

    @OptionGroup var spool: SpoolOptions

    @Flag(help: "Print the summary of the export as JSON instead of text.")
    var json = false

    func run() throws {
        let trail = AuditTrail(journal: try spool.openJournal())
        let segment = try month.map { month in
            let all = try trail.segments()
            guard let found = all.last(where: { $0.month == month && !$0.isDropped }) else {
                throw CommandError(unknown: month, all)
            }
            return found.id
        }
        do {
            guard output != "-" else { return try Self.write(trail, segment) }
            let end = try Self.write(trail, segment, to: output)
            try ReportPrinter.print(
                ExportReport(file: output, records: end.records, head: end.head), as: json ? .json : .text)
        } catch let error as SystemCallError {
            let name = output == "-" ? "standard output" : "'\(output)'"
            throw CommandError("could not write \(name): \(error.reason); choose another --output")
        }
    }

    /// Writes the export to standard output.
    ///
    /// A failing write fails the export, because an exported segment may be dropped.
    private static func write(_ trail: AuditTrail, _ segment: Int64?) throws {
        try trail.export(segment: segment, by: .operatorOfThisCommand) { line in
            try (Array(line) + [UInt8(ascii: "\n")]).withUnsafeBytes { bytes in
                try FileDescriptor.write(bytes, to: StandardStream.output.rawValue)
            }
        }
    }

    /// Writes the export to a file that only its owner can read.
    ///
    /// The file gets its name when it is complete.
    private static func write(
        _ trail: AuditTrail, _ segment: Int64?, to path: String
    ) throws -> AuditTrail.ExportEnd {
        let file = try AtomicFile(temporaryPath: "\(path).partial")
        return try trail.export(segment: segment, by: .operatorOfThisCommand) { line in
            try file.write(Array(line) + [UInt8(ascii: "\n")])
        } finish: {
            try file.finish(as: path)
        }
    }
}

/// The summary of an export.
struct ExportReport: Report {
    var file: String
    var records: Int64
    var head: String

    var parts: [ReportPart] { [.line("\(Formatted.count(Int(records), "record")) written to \(file), head \(head)")] }
}

extension CommandError {
    /// The error for a month without a segment in the trail.
    fileprivate init(unknown month: String, _ segments: [AuditTrail.Segment]) {
        let known = segments.filter { !$0.isDropped }.map(\.month).joined(separator: ", ")
        self.init("the audit trail does not hold a segment \(month); it holds \(known)")
    }
}

// MARK: - Drop

struct AuditDropCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Deletes the oldest monthly segment after its export.",
        discussion: """
            The command refuses a segment that was not exported, that still grows, or that follows a segment which is \
            still in the trail. The rest of the trail still verifies, and the trail records the deletion. Keep the export: \
            the records cannot be restored.
            """)

    @Argument(help: ArgumentHelp("The month of the segment: yyyy-mm.", valueName: "segment"))
    var segment: String

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let trail = AuditTrail(journal: try spool.openJournal())
        let all = try trail.segments().filter { $0.month == segment }
        // If every segment is already dropped, the last one is dropped again. This finishes a deletion that was cut
        // off.
        guard let found = all.first(where: { !$0.isDropped }) ?? all.last else {
            throw CommandError(unknown: segment, try trail.segments())
        }
        let count = try trail.drop(segment: found.id, by: .operatorOfThisCommand)
        try ReportPrinter.print(DropReport(segment: segment, records: count), as: output.format)
    }
}

/// A dropped segment.
struct DropReport: Report {
    var segment: String
    var records: Int64

    var parts: [ReportPart] { [.line("Segment \(segment) dropped: \(Formatted.count(Int(records), "record")).")] }
}

// MARK: - Erase

struct AuditEraseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Erases the link between a study and its patient.",
        discussion: """
            For each study, the spool holds a keyed hash of the Patient ID outside the trail. It links the records of one \
            person. This command deletes the hash of one study and records that in the trail. The UIDs stay in the trail, \
            and the files of the study stay in the spool until retention deletes them. If another instance of the study \
            arrives later, the node stores the hash again.
            """)

    @Argument(help: ArgumentHelp("The Study Instance UID.", valueName: "study"))
    var study: String

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let journal = try spool.openJournal()
        guard try journal.eraseSubject(study: study, AuditEvent(by: .operatorOfThisCommand)) else {
            throw CommandError(
                "study '\(study)' is not linked to a patient: it is unknown here, it came without a Patient ID, or the link "
                    + "was erased before")
        }
        try ReportPrinter.print(EraseReport(study: study), as: output.format)
    }
}

/// An erased link.
struct EraseReport: Report {
    var study: String

    var parts: [ReportPart] { [.line("Study \(study) is not linked to its patient any more.")] }
}
