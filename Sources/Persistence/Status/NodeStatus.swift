// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB

/// How much of everything there is, and how old: the one query behind `kontur status`, metrics and console.
public struct NodeStatus: Sendable, Equatable, Codable {
    /// The rows in one state.
    public struct Count: Sendable, Equatable, Codable {
        public let state: String
        public let count: Int
        /// When the first of them came; `nil` when there is none.
        public let oldest: Date?
    }

    /// One for each state, in the order of the state diagram.
    public let instances: [Count]
    public let series: [Count]
    public let stacks: [Count]
    public let jobs: [Count]
    public let deliveries: [Count]
    /// Jobs whose confidence was below what their route asks for: a person has to look at them.
    public let lowConfidence: Count
    /// Who holds the spool; `nil` when no node runs.
    public let node: String?
    /// Bytes.
    public let freeSpace: Int64
    public let minimumFree: Int64
    public let databaseSize: Int64
    /// The number of the newest audit record, and its hash.
    public let auditRecords: Int64
    public let auditHead: String
}

extension Journal {
    /// What is going on, from one consistent view. Counts come from covering indexes.
    public func status() throws -> NodeStatus {
        let free = try spool.freeSpace()
        return try read { view in
            let head = try view.row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
            return NodeStatus(
                instances: try view.counts("instance", InstanceState.self, since: "receivedAt"),
                series: try view.counts("series", SeriesState.self, since: "openedAt"),
                stacks: try view.counts("stack", StackState.self, since: "changedAt"),
                jobs: try view.counts("job", JobState.self, since: "queuedAt"),
                deliveries: try view.counts("delivery", DeliveryState.self, since: "queuedAt"),
                lowConfidence: try view.lowConfidence(),
                node: Spool.holder(path: spool.path), freeSpace: free, minimumFree: spool.configuration.minimumFree,
                databaseSize: Self.size(spool.databasePath) ?? 0, auditRecords: head?["number"] ?? 0,
                auditHead: head?["hash"] ?? AuditRecord.origin)
        }
    }
}

extension ReadTransaction {
    fileprivate func lowConfidence() throws -> NodeStatus.Count {
        let found = try row("SELECT count(*) AS count, min(queuedAt) AS oldest FROM job WHERE lowConfidence = 1")
        let oldest: Int64? = found?["oldest"]
        return NodeStatus.Count(
            state: "low confidence", count: found?["count"] ?? 0, oldest: oldest.map { Date(microseconds: $0) })
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
