// SPDX-License-Identifier: Apache-2.0
//
// Jobs, deliveries, stacks and studies as `kontur jobs` shows them.

public import Foundation
import GRDB

/// A job with its series, its route and its deliveries.
public struct JobSummary: Sendable, Equatable, Codable {
    /// Number of the job.
    public let id: JobID
    /// Stable name of the kind of work.
    public let kind: String
    /// State of the job.
    public let state: JobState
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Revision of the series, counted from 1.
    public let revision: Int
    /// The stack that the job segments.
    public let stack: StackID
    /// Name of the route that took the stack.
    public let route: String?
    /// Name of the segmenter.
    public let segmenter: String?
    /// Number of attempts in which the worker died or overran while the node lived.
    public let attempts: Int
    /// Reason for which the job was queued again or given up last.
    public let why: String?
    /// Result in one or two words, such as "segmented"; `nil` before the job is done.
    public let outcome: String?
    /// Confidence of the result, 0...1.
    public let confidence: Double?
    /// Whether the confidence is lower than the route asks for, so that a person has to look at the result.
    public let lowConfidence: Bool
    /// Time at which the job was queued first.
    public let queuedAt: Date
    /// Time of the last change of state.
    public let changedAt: Date
    /// The deliveries of the job's objects.
    public let deliveries: [DeliverySummary]
}

/// A delivery with its object.
public struct DeliverySummary: Sendable, Equatable, Codable {
    /// Number of the delivery.
    public let id: DeliveryID
    /// Name of the peer, as the configuration calls it.
    public let peer: String
    /// State of the delivery.
    public let state: DeliveryState
    /// Name of the kind of object: `ObjectKind.rawValue`.
    public let kind: String
    /// SOP Instance UID of the object.
    public let sopInstanceUID: String
    /// Number of attempts so far.
    public let attempts: Int
    /// Status of the last C-STORE response.
    public let status: Int?
    /// Reason for which the last attempt failed.
    public let why: String?
    /// Time at which the peer answered that it has the object.
    public let sentAt: Date?
    /// Whether the object is sent, and the peer has not committed itself to keep it yet.
    public let awaitsCommitment: Bool
    /// Number of times that the peer said that it does not have the object.
    public let losses: Int
    /// Time at which the peer committed itself to keep the object.
    public let committedAt: Date?
}

/// A stack and the decision about it.
public struct StackSummary: Sendable, Equatable, Codable {
    /// Number of the stack.
    public let id: StackID
    /// The decision.
    public let state: StackState
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Revision of the series, counted from 1.
    public let revision: Int
    /// Text that identifies the stack in its series, the same in every revision.
    public let key: String
    /// Number of instances.
    public let instances: Int
    /// Name of the route that took the stack.
    public let route: String?
    /// Name of the route's segmenter.
    public let segmenter: String?
    /// Reason for the decision.
    public let why: String?
    /// Time of the decision.
    public let decidedAt: Date
}

/// A series that a person should look at.
public struct SeriesSummary: Sendable, Equatable, Codable {
    /// Number of the series.
    public let id: SeriesID
    /// State of the series.
    public let state: SeriesState
    /// Study Instance UID.
    public let studyInstanceUID: String
    /// Series Instance UID.
    public let seriesInstanceUID: String
    /// Modality of the first instance; `nil` if the attribute is missing.
    public let modality: String?
    /// Revision, counted from 1.
    public let revision: Int
    /// Number of current instances.
    public let instances: Int
    /// Reason for which the series is set aside.
    public let why: String?
    /// Reason for which the series is in doubt.
    public let doubt: String?
    /// Time of the last change of state.
    public let changedAt: Date
}

/// A study with its series, stacks and jobs.
public struct StudySummary: Sendable, Equatable, Codable {
    /// A series with its stacks.
    public struct Series: Sendable, Equatable, Codable {
        /// Number of the series.
        public let id: SeriesID
        /// Series Instance UID.
        public let seriesInstanceUID: String
        /// Modality of the first instance; `nil` if the attribute is missing.
        public let modality: String?
        /// State of the series.
        public let state: SeriesState
        /// Reason for which the series is set aside, or for which a person dropped it.
        public let why: String?
        /// Reason for which the series is in doubt: another series has one of its SOP Instance UIDs with another image.
        public let doubt: String?
        /// Revision, counted from 1.
        public let revision: Int
        /// Number of current instances.
        public let instances: Int
        /// The stacks of all revisions.
        public let stacks: [StackSummary]
    }

    /// Study Instance UID.
    public let studyInstanceUID: String
    /// The series in the order of their numbers.
    public let series: [Series]
    /// The jobs in the order of their numbers.
    public let jobs: [JobSummary]
}

extension ReadTransaction {
    // MARK: - Jobs

    private static let job = """
        SELECT j.id, j.stackId, j.kind, j.state, j.attempts, j.why, j.outcome, j.confidence, j.lowConfidence,
            j.queuedAt, j.changedAt, k.seriesId, k.revision, k.route, k.segmenter, s.studyInstanceUID,
            s.seriesInstanceUID
        FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId
        """

    /// The next page of jobs in these states and of this study, in the order of their numbers.
    ///
    /// `nil` means all states, and all studies.
    public func jobs(
        states: Set<JobState>? = nil, study: String? = nil, after: JobID? = nil
    ) throws -> [JobSummary] {
        let chosen = states.map { $0.map(\.rawValue).sorted() }
        let marks = (chosen ?? []).map { _ in "?" }.joined(separator: ", ")
        return try rows(
            Self.job + " WHERE j.id > ?" + (chosen == nil ? "" : " AND j.state IN (\(marks))")
                + (study == nil ? "" : " AND s.studyInstanceUID = ?") + " ORDER BY j.id LIMIT ?",
            [after?.rawValue ?? 0] + StatementArguments(chosen ?? []) + StatementArguments(study.map { [$0] } ?? [])
                + [pageSize]
        ).map(jobSummary)
    }

    /// The job, or `nil` if it does not exist.
    public func jobSummary(_ id: JobID) throws -> JobSummary? {
        try row(Self.job + " WHERE j.id = ?", [id.rawValue]).map(jobSummary)
    }

    private func jobSummary(_ row: Row) throws -> JobSummary {
        let id: Int64 = row["id"]
        return JobSummary(
            id: JobID(rawValue: id), kind: row["kind"], state: shown(row, unknown: .dead),
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
            SELECT v.*, d.kind, d.sopInstanceUID FROM delivery v
            JOIN derivedInstance d ON d.id = v.derivedInstanceId WHERE v.jobId = ? ORDER BY v.id
            """, [job]
        ).map { row in
            let (sentAt, commitBy, committedAt): (Int64?, Int64?, Int64?) = (
                row["sentAt"], row["commitBy"], row["committedAt"]
            )
            return DeliverySummary(
                id: DeliveryID(rawValue: row["id"]), peer: row["peer"], state: shown(row, unknown: .dead),
                kind: row["kind"], sopInstanceUID: row["sopInstanceUID"], attempts: row["attempts"],
                status: row["status"], why: row["why"], sentAt: sentAt.map { Date(microseconds: $0) },
                awaitsCommitment: row["state"] == "sent" && commitBy != nil, losses: row["losses"],
                committedAt: committedAt.map { Date(microseconds: $0) })
        }
    }

    /// The state of a row for display.
    ///
    /// A text that is not a state is shown as `unknown`, so that one damaged row does not hide the others.
    private func shown<State: RawRepresentable<String>>(_ row: Row, unknown: State) -> State {
        (try? state(row)) ?? unknown
    }

    // MARK: - Stacks and studies

    private static let stack = """
        SELECT k.id, k.state, k.revision, k.key, k.route, k.segmenter, k.why, k.changedAt, s.studyInstanceUID,
            s.seriesInstanceUID,
            (SELECT count(*) FROM stackInstance i WHERE i.stackId = k.id) AS instances
        FROM stack k JOIN series s ON s.id = k.seriesId
        """

    /// The encoded decision about a stack; `nil` if the stack does not exist.
    public func decision(of stack: StackID) throws -> Data? {
        try row("SELECT decision FROM stack WHERE id = ?", [stack.rawValue])?["decision"]
    }

    private func stackSummary(_ row: Row) throws -> StackSummary {
        StackSummary(
            id: StackID(rawValue: row["id"]), state: shown(row, unknown: .unfit),
            studyInstanceUID: row["studyInstanceUID"],
            seriesInstanceUID: row["seriesInstanceUID"], revision: row["revision"], key: row["key"],
            instances: row["instances"], route: row["route"], segmenter: row["segmenter"], why: row["why"],
            decidedAt: Date(microseconds: row["changedAt"]))
    }

    /// The next page of series that are set aside or in doubt, in the order of their numbers.
    ///
    /// `study` selects the series of one study.
    public func seriesToReview(study: String? = nil, after: SeriesID? = nil) throws -> [SeriesSummary] {
        try rows(
            """
            SELECT s.*, (SELECT count(*) FROM instance i WHERE i.seriesId = s.id AND i.isCurrent) AS instances
            FROM series s WHERE (s.state = 'setAside' OR s.doubt IS NOT NULL) AND s.id > ?
            """ + (study == nil ? "" : " AND s.studyInstanceUID = ?") + " ORDER BY s.id LIMIT ?",
            [after?.rawValue ?? 0] + StatementArguments(study.map { [$0] } ?? []) + [pageSize]
        ).map { row in
            SeriesSummary(
                id: SeriesID(rawValue: row["id"]), state: shown(row, unknown: .setAside),
                studyInstanceUID: row["studyInstanceUID"], seriesInstanceUID: row["seriesInstanceUID"],
                modality: row["modality"], revision: row["revision"],
                instances: row["instances"], why: row["why"], doubt: row["doubt"],
                changedAt: Date(microseconds: row["changedAt"]))
        }
    }

    /// The study, or `nil` if the journal does not know any series of it.
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
                    modality: row["modality"], state: shown(row, unknown: .setAside), why: row["why"],
                    doubt: row["doubt"], revision: row["revision"], instances: row["instances"],
                    stacks: try rows(Self.stack + " WHERE k.seriesId = ? ORDER BY k.id", [row["id"] as Int64])
                        .map(stackSummary))
            },
            jobs: try rows(Self.job + " WHERE s.studyInstanceUID = ? ORDER BY j.id", [studyInstanceUID])
                .map(jobSummary))
    }
}
