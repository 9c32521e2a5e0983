// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Persistence

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Counts instances, series, stacks, jobs and deliveries in each state.")

    @OptionGroup var spool: SpoolOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let status = try spool.openForReading().status()
        try ReportPrinter.print(StatusReport(status: status, now: Date()), as: output.format)
    }
}

/// The node's status as a table.
struct StatusReport: Report {
    var status: NodeStatus
    var now: Date

    func encode(to encoder: any Encoder) throws { try status.encode(to: encoder) }

    var parts: [ReportPart] {
        let kinds = [
            ("instances", status.instances), ("series", status.series), ("stacks", status.stacks),
            ("jobs", status.jobs), ("deliveries", status.deliveries),
        ]
        let rows = kinds.flatMap { kind, counts in
            counts.enumerated().map { index, count in
                [
                    index == 0 ? kind : "", count.state == "setAside" ? "set aside" : count.state, String(count.count),
                    count.oldest.map(age) ?? "",
                ]
            }
        }
        var parts: [ReportPart] = [
            .line(status.node.map { "node: running (\($0))" } ?? "node: not running"),
            .line(
                "spool: \(Formatted.bytes(status.freeSpace)) free, of which \(Formatted.bytes(status.minimumFree)) stay free; "
                    + "database \(Formatted.bytes(status.databaseSize))"),
            .line("audit trail: \(Formatted.count(Int(status.auditRecords), "record")), head \(status.auditHead)"),
            .line(""),
            .table(
                TextTable([.init(""), .init("state"), .init("count", isNumber: true), .init("oldest")], rows: rows)),
        ]
        if !status.setAside.isEmpty {
            parts.append(.line(""))
            parts += status.setAside.map { .line("Set aside: \($0.count) series: \($0.reason)") }
            parts.append(
                .line("'kontur series list' shows them; 'kontur series retry', 'release' or 'drop' decides."))
        }
        if status.inDoubt > 0 {
            parts.append(.line(""))
            parts.append(
                .line(
                    "In doubt: \(status.inDoubt) series share a SOP Instance UID with another series, with different "
                        + "images ('kontur series list')."))
        }
        for hold in status.clockHolds {
            parts.append(.line(""))
            parts.append(
                .line(
                    "Files are not deleted: the wall clock \(ClockReport.text(hold)). If the clock is right now, run "
                        + "'kontur spool confirm-clock'. Otherwise deletion goes on when the node has run for another "
                        + "\(Formatted.age(.seconds(hold.remaining)))."))
        }
        if let behind = status.databaseBehind {
            parts.append(.line(""))
            parts.append(.line("At the start of \(behind.time.formatted(.iso8601)): \(behind.reason)."))
        }
        if status.lowConfidence.count > 0 {
            parts.append(.line(""))
            parts.append(
                .line(
                    "To be reviewed: \(Formatted.count(status.lowConfidence.count, "job")) of low confidence "
                        + "('kontur jobs list --low-confidence')."))
        }
        if status.uncommitted.count > 0 {
            parts.append(.line(""))
            parts.append(
                .line(
                    "Sent, not committed yet: \(status.uncommitted.count), "
                        + "the oldest for \(status.uncommitted.oldest.map(age) ?? "")."))
        }
        let open = count(status.commitmentReports, "received") + count(status.commitmentReports, "answered")
        let lost = count(status.commitmentReports, "undeliverable")
        if open + lost > 0 {
            parts.append(.line(""))
            parts.append(
                .line(
                    "Peers that ask for commitment: \(Formatted.count(open, "report")) to be delivered, "
                        + "\(Formatted.count(lost, "report")) given up."))
        }
        if count(status.deliveries, "held") > 0 {
            parts.append(
                .line("Held results: 'kontur jobs release' sends them, and 'kontur jobs drop' discards them."))
        }
        if count(status.jobs, "dead") + count(status.deliveries, "dead") > 0 {
            parts.append(.line(""))
            parts.append(
                .line("Dead jobs or deliveries: 'kontur jobs list --dead' shows why, and 'jobs retry' revives them."))
        }
        return parts
    }

    private func count(_ counts: [NodeStatus.Count], _ state: String) -> Int {
        counts.first { $0.state == state }?.count ?? 0
    }

    private func age(_ date: Date) -> String { Formatted.age(.seconds(now.timeIntervalSince(date))) }
}
