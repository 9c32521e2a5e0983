// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB
import Platform

/// Counts and ages of everything in the journal, as `kontur status` shows them.
public struct NodeStatus: Sendable, Equatable, Codable {
    /// The rows in one state.
    public struct Count: Sendable, Equatable, Codable {
        /// Name of the state.
        public let state: String
        /// Number of rows.
        public let count: Int
        /// Time of the oldest row; `nil` if `count` is 0.
        public let oldest: Date?
    }

    /// Series that are set aside for one reason.
    public struct SetAside: Sendable, Equatable, Codable {
        /// The reason.
        public let reason: String
        /// Number of series.
        public let count: Int
    }

    /// A start that found the database lost, or older than the files beside it.
    public struct DatabaseBehind: Sendable, Equatable, Codable {
        /// Time of the start.
        public let time: Date
        /// What was found, in words.
        public let reason: String
    }

    /// One count per ``InstanceState``, in the order of the cases.
    public let instances: [Count]
    /// One count per ``SeriesState``.
    public let series: [Count]
    /// Series that cannot be segmented as they are, by reason, the most frequent reasons first; at most 20 reasons.
    public let setAside: [SetAside]
    /// Series that share a SOP Instance UID with another series although their images differ.
    public let inDoubt: Int
    /// One count per ``StackState``.
    public let stacks: [Count]
    /// One count per ``JobState``.
    public let jobs: [Count]
    /// One count per ``DeliveryState``.
    public let deliveries: [Count]
    /// Deliveries that are sent, and whose peers have not committed themselves to keep the object yet.
    public let uncommitted: Count
    /// Requests of peers for commitment: one count per ``CommitmentReportState``.
    public let commitmentReports: [Count]
    /// Jobs with a lower confidence than their route asks for, so that a person has to look at them.
    public let lowConfidence: Count
    /// Jumps of the wall clock that hold deletion, oldest first.
    public let clockHolds: [ClockHold]
    /// Name and process of the node that holds the spool; `nil` if a node is not running.
    public let node: String?
    /// Bytes that are free on the spool's file system.
    public let freeSpace: Int64
    /// Bytes that the configuration keeps free.
    public let minimumFree: Int64
    /// Size of the database file in bytes.
    public let databaseSize: Int64
    /// The newest start that found the database lost, or older than the files beside it.
    public let databaseBehind: DatabaseBehind?
    /// Number of the newest audit record.
    public let auditRecords: Int64
    /// Hash of the newest audit record.
    public let auditHead: String
}

extension Journal {
    /// The status from one consistent view; covering indexes make the counts cheap.
    public func status() throws -> NodeStatus {
        let free = try spool.freeSpace()
        return try read { view in
            let head = try view.row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
            return NodeStatus(
                instances: try view.counts("instance", InstanceState.self, since: "receivedAt"),
                series: try view.counts("series", SeriesState.self, since: "openedAt"),
                setAside: try view.setAside(), inDoubt: try view.inDoubt(),
                stacks: try view.counts("stack", StackState.self, since: "changedAt"),
                jobs: try view.counts("job", JobState.self, since: "queuedAt"),
                deliveries: try view.counts("delivery", DeliveryState.self, since: "queuedAt"),
                uncommitted: try view.uncommitted(),
                commitmentReports: try view.counts(
                    "commitmentReport", CommitmentReportState.self, since: "receivedAt"),
                lowConfidence: try view.lowConfidence(), clockHolds: try view.clockHolds(),
                node: Spool.holder(path: spool.path), freeSpace: free, minimumFree: spool.configuration.minimumFree,
                databaseSize: FileSystem.size(spool.databasePath) ?? 0,
                databaseBehind: try view.databaseBehind(), auditRecords: head?["number"] ?? 0,
                auditHead: head?["hash"] ?? AuditRecord.origin)
        }
    }
}

extension ReadTransaction {
    fileprivate func setAside() throws -> [NodeStatus.SetAside] {
        try rows(
            """
            SELECT why, count(*) AS count FROM series WHERE state = 'setAside' GROUP BY why
            ORDER BY count DESC, why LIMIT 20
            """
        ).map { NodeStatus.SetAside(reason: $0["why"] ?? "no reason was recorded", count: $0["count"]) }
    }

    fileprivate func inDoubt() throws -> Int {
        try row("SELECT count(*) AS count FROM series WHERE doubt IS NOT NULL")?["count"] ?? 0
    }

    /// An index of the trail holds these records alone.
    fileprivate func databaseBehind() throws -> NodeStatus.DatabaseBehind? {
        try row(
            "SELECT time, reason FROM audit WHERE event = 'databaseBehind' ORDER BY number DESC LIMIT 1"
        ).map { NodeStatus.DatabaseBehind(time: Date(microseconds: $0["time"]), reason: $0["reason"] ?? "") }
    }

    fileprivate func lowConfidence() throws -> NodeStatus.Count {
        let found = try row("SELECT count(*) AS count, min(queuedAt) AS oldest FROM job WHERE lowConfidence = 1")
        let oldest: Int64? = found?["oldest"]
        return NodeStatus.Count(
            state: "low confidence", count: found?["count"] ?? 0, oldest: oldest.map { Date(microseconds: $0) })
    }

    fileprivate func uncommitted() throws -> NodeStatus.Count {
        let found = try row(
            """
            SELECT count(*) AS count, min(sentAt) AS oldest FROM delivery INDEXED BY deliveryUncommitted
            WHERE state = 'sent' AND commitBy IS NOT NULL
            """)
        let oldest: Int64? = found?["oldest"]
        return NodeStatus.Count(
            state: "not committed", count: found?["count"] ?? 0, oldest: oldest.map { Date(microseconds: $0) })
    }

    fileprivate func counts<State: RawRepresentable<String> & CaseIterable>(
        _ table: String, _ states: State.Type, since column: String
    ) throws -> [NodeStatus.Count] {
        var counts: [String: (count: Int, first: Int64)] = [:]
        for row in try rows("SELECT state, count(*) AS count, min(id) AS first FROM \(table) GROUP BY state") {
            counts[row["state"]] = (row["count"], row["first"])
        }
        return try states.allCases.map { state in
            guard let (count, first) = counts[state.rawValue] else {
                return NodeStatus.Count(state: state.rawValue, count: 0, oldest: nil)
            }
            let time: Int64? = try row("SELECT \(column) AS time FROM \(table) WHERE id = ?", [first])?["time"]
            return NodeStatus.Count(
                state: state.rawValue, count: count, oldest: time.map { Date(microseconds: $0) })
        }
    }
}
