// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct SpoolBackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copies the spool: the database, and the files that fit it. The node may be running.",
        discussion: """
            The copy is a spool that a node can start with, on this machine or another one. Files on the same file system \
            share their blocks with the spool, so copy them to another disk or machine afterwards. Never run two nodes \
            with copies of one spool: both would send the same objects. The audit trail records the copy.
            """)

    @Argument(help: ArgumentHelp("A folder that does not exist or is empty.", valueName: "folder"))
    var folder: String

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let summary = try SpoolBackup(journal: spool.openForReading(), to: folder).copy()
        var report = BackupReport(folder: folder, summary: summary)
        do {
            let event = AuditEvent(by: .operatorOfThisCommand, reason: "kontur spool backup")
            try spool.openJournal().write { try $0.spoolCopied(instances: summary.instances, event) }
        } catch {
            // A copy is needed most when the disk is full.
            report.notRecorded = "\(error)"
        }
        try ReportPrinter.print(report, as: output.format)
    }
}

/// The content of a copy of the spool.
struct BackupReport: Report {
    var folder: String
    var summary: SpoolBackup.Summary
    /// The reason for which the audit trail does not name the copy.
    var notRecorded: String?

    var parts: [ReportPart] {
        let files =
            "\(Formatted.count(summary.instances, "instance")) and \(Formatted.count(summary.objects, "object")), "
            + Formatted.bytes(summary.bytes)
        var parts: [ReportPart] = [.line("copied to \(folder): the database, \(files)")]
        if summary.linked > 0 {
            parts.append(
                .line(
                    "\(Formatted.count(summary.linked, "file")) share their blocks with the spool; copy the folder to "
                        + "another disk or machine to protect it against a failing disk"))
        }
        if summary.missing > 0 {
            let missing = Formatted.count(summary.missing, "file")
            parts.append(.line("missing: \(missing) that the database names and the spool lacks"))
        }
        if let notRecorded {
            parts.append(.line("The copy is whole. The audit trail does not name it: \(notRecorded)"))
        }
        return parts
    }
}
