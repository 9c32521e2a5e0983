// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB

/// A job as `kontur jobs` shows it: where it is and why.
public struct JobSummary: Sendable, Equatable, Codable {
    public let id: JobID
    public let kind: String
    public let state: JobState
    public let studyInstanceUID: String
    public let seriesInstanceUID: String
    public let revision: Int
    public let stack: StackID
    public let route: String?
    public let segmenter: String?
    public let attempts: Int
    public let why: String?
    public let outcome: String?
    public let confidence: Double?
    /// Below what its route asks for: a person has to look at it.
    public let lowConfidence: Bool
    public let queuedAt: Date
    public let changedAt: Date
    public let deliveries: [DeliverySummary]
}

/// A delivery as `kontur jobs` shows it.
public struct DeliverySummary: Sendable, Equatable, Codable {
    public let id: DeliveryID
    public let peer: String
    public let state: DeliveryState
    public let viewerProfile: String
    public let sopInstanceUID: String
    public let attempts: Int
    /// The status of the last C-STORE response.
    public let status: Int?
    public let why: String?
    public let sentAt: Date?
}

/// A stack and what was decided about it.
public struct StackSummary: Sendable, Equatable, Codable {
    public let id: StackID
    public let state: StackState
    public let studyInstanceUID: String
    public let seriesInstanceUID: String
    public let revision: Int
    public let key: String
    public let instances: Int
    public let route: String?
    public let segmenter: String?
    public let why: String?
    public let decidedAt: Date
}

/// An instance that is not in a series.
public struct InstanceSummary: Sendable, Equatable, Codable {
    public let id: InstanceID
    public let state: InstanceState
    public let sopClassUID: String
    public let sopInstanceUID: String
    public let callingAETitle: String
    /// Relative to the spool.
    public let path: String
    public let why: String?
    public let receivedAt: Date
}

/// Where a study is.
public struct StudySummary: Sendable, Equatable, Codable {
    public struct Series: Sendable, Equatable, Codable {
        public let id: SeriesID
        public let seriesInstanceUID: String
        public let modality: String?
        public let state: SeriesState
        public let revision: Int
        /// Current instances.
        public let instances: Int
        public let stacks: [StackSummary]
    }

    public let studyInstanceUID: String
    public let series: [Series]
    public let jobs: [JobSummary]
}

extension ReadTransaction {
    // MARK: - Jobs

    private static let job = """
        SELECT j.*, k.seriesId, k.revision, k.route, k.segmenter, s.studyInstanceUID, s.seriesInstanceUID
        FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId
        """

    /// A page of jobs in the order of their rows.
    ///
    /// - Parameters:
    ///   - states: `nil` for all.
    ///   - study: a Study Instance UID.
    public func jobs(
        states: Set<JobState>? = nil, study: String? = nil, after: JobID? = nil, limit: Int = 100
    ) throws -> [JobSummary] {
        let chosen = states.map { $0.map(\.rawValue).sorted() }
        let marks = (chosen ?? []).map { _ in "?" }.joined(separator: ", ")
        return try rows(
            Self.job + " WHERE j.id > ?" + (chosen == nil ? "" : " AND j.state IN (\(marks))")
                + (study == nil ? "" : " AND s.studyInstanceUID = ?") + " ORDER BY j.id LIMIT ?",
            [after?.rawValue ?? 0] + StatementArguments(chosen ?? []) + StatementArguments(study.map { [$0] } ?? [])
                + [limit]
        ).map(jobSummary)
    }

    /// One job as `kontur jobs show` shows it.
    public func jobSummary(_ id: JobID) throws -> JobSummary? {
        try row(Self.job + " WHERE j.id = ?", [id.rawValue]).map(jobSummary)
    }

    private func jobSummary(_ row: Row) throws -> JobSummary {
        let id: Int64 = row["id"]
        return JobSummary(
            id: JobID(rawValue: id), kind: row["kind"], state: try state(row),
            studyInstanceUID: row["studyInstanceUID"], seriesInstanceUID: row["seriesInstanceUID"],
            revision: row["revision"], stack: StackID(rawValue: row["stackId"]), route: row["route"],
            segmenter: row["segmenter"], attempts: row["attempts"], why: row["why"], outcome: row["outcome"],
            confidence: row["confidence"], lowConfidence: row["lowConfidence"] == 1,
            queuedAt: Date(microseconds: row["queuedAt"]),
            changedAt: Date(microseconds: row["changedAt"]), deliveries: try deliverySummaries(of: id))
    }

    private func deliverySummaries(of job: Int64) throws -> [DeliverySummary] {
        try rows(
            """
            SELECT v.*, d.viewerProfile, d.sopInstanceUID FROM delivery v
            JOIN derivedInstance d ON d.id = v.derivedInstanceId WHERE v.jobId = ? ORDER BY v.id
            """, [job]
        ).map { row in
            let sentAt: Int64? = row["sentAt"]
            return DeliverySummary(
                id: DeliveryID(rawValue: row["id"]), peer: row["peer"], state: try state(row),
                viewerProfile: row["viewerProfile"], sopInstanceUID: row["sopInstanceUID"], attempts: row["attempts"],
                status: row["status"], why: row["why"], sentAt: sentAt.map { Date(microseconds: $0) })
        }
    }

    // MARK: - Stacks, instances, studies

    private static let stack = """
        SELECT k.*, s.studyInstanceUID, s.seriesInstanceUID,
            (SELECT count(*) FROM stackInstance i WHERE i.stackId = k.id) AS instances
        FROM stack k JOIN series s ON s.id = k.seriesId
        """

    /// A page of stacks in one state, in the order of their rows.
    public func stacks(_ state: StackState, after: StackID? = nil, limit: Int = 100) throws -> [StackSummary] {
        try rows(
            Self.stack + " WHERE k.state = ? AND k.id > ? ORDER BY k.id LIMIT ?",
            [state.rawValue, after?.rawValue ?? 0, limit]
        ).map(stackSummary)
    }

    /// The encoded decision about a stack, as it was stored.
    public func decision(of stack: StackID) throws -> Data? {
        try row("SELECT decision FROM stack WHERE id = ?", [stack.rawValue])?["decision"]
    }

    private func stackSummary(_ row: Row) throws -> StackSummary {
        StackSummary(
            id: StackID(rawValue: row["id"]), state: try state(row), studyInstanceUID: row["studyInstanceUID"],
            seriesInstanceUID: row["seriesInstanceUID"], revision: row["revision"], key: row["key"],
            instances: row["instances"], route: row["route"], segmenter: row["segmenter"], why: row["why"],
            decidedAt: Date(microseconds: row["changedAt"]))
    }

    /// A page of instances in one state, in the order of receipt.
    public func instances(
        _ state: InstanceState, after: InstanceID? = nil, limit: Int = 100
    ) throws -> [InstanceSummary] {
        try rows(
            """
            SELECT i.*, a.callingAETitle FROM instance i JOIN association a ON a.id = i.associationId
            WHERE i.state = ? AND i.id > ? ORDER BY i.id LIMIT ?
            """, [state.rawValue, after?.rawValue ?? 0, limit]
        ).map { row in
            let (folder, file): (String, String) = (row["folder"], row["file"])
            return InstanceSummary(
                id: InstanceID(rawValue: row["id"]), state: state, sopClassUID: row["sopClassUID"],
                sopInstanceUID: row["sopInstanceUID"], callingAETitle: row["callingAETitle"], path: folder + "/" + file,
                why: row["why"], receivedAt: Date(microseconds: row["receivedAt"]))
        }
    }

    /// Where a study is; `nil` when nothing of it is here.
    public func study(_ studyInstanceUID: String) throws -> StudySummary? {
        let series = try rows(
            """
            SELECT s.*, (SELECT count(*) FROM instance i WHERE i.seriesId = s.id AND i.isCurrent) AS instances
            FROM series s WHERE s.studyInstanceUID = ? ORDER BY s.id
            """, [studyInstanceUID])
        guard !series.isEmpty else { return nil }
        return StudySummary(
            studyInstanceUID: studyInstanceUID,
            series: try series.map { row in
                StudySummary.Series(
                    id: SeriesID(rawValue: row["id"]), seriesInstanceUID: row["seriesInstanceUID"],
                    modality: row["modality"], state: try state(row), revision: row["revision"],
                    instances: row["instances"],
                    stacks: try rows(Self.stack + " WHERE k.seriesId = ? ORDER BY k.id", [row["id"] as Int64])
                        .map(stackSummary))
            },
            jobs: try jobs(study: studyInstanceUID, limit: 1000))
    }
}
