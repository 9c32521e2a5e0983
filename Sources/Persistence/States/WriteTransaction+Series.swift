// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

extension WriteTransaction {
    /// The series of an instance; a new series is open.
    func series(of instance: IndexedInstance) throws -> SeriesID {
        if let row = try row(
            "SELECT id FROM series WHERE studyInstanceUID = ? AND seriesInstanceUID = ?",
            [instance.studyInstanceUID, instance.seriesInstanceUID])
        {
            return SeriesID(rawValue: row["id"])
        }
        try execute(
            """
            INSERT INTO series (studyInstanceUID, seriesInstanceUID, modality, revision, state, received,
                lastInstanceId, openedAt, changedAt)
            VALUES (?, ?, ?, 1, 'open', 0, 0, ?, ?)
            """, [instance.studyInstanceUID, instance.seriesInstanceUID, instance.modality, now, now])
        return SeriesID(rawValue: db.lastInsertedRowID)
    }

    /// The current revision of a series.
    func revision(of series: SeriesID) throws -> Int {
        guard let row = try row("SELECT revision FROM series WHERE id = ?", [series.rawValue]) else {
            throw StateError.unknown("series", series.rawValue)
        }
        return row["revision"]
    }

    /// open -> closed: the instances of the series are decided.
    ///
    /// The stacks follow in the same transaction. `series` is the series as it was read.
    ///
    /// - Throws: ``StateError/seriesChanged(_:)`` if an instance has joined since the series was read.
    public func closed(_ series: OpenSeries, _ event: AuditEvent) throws {
        let count = try changes(
            """
            UPDATE series SET state = 'closed', why = NULL, accepted = NULL, recalled = 0, changedAt = ?
            WHERE id = ? AND state = 'open' AND revision = ? AND received = ?
            """, [now, series.id.rawValue, series.revision, series.received])
        guard count == 1 else { throw StateError.seriesChanged(series.id) }
        let instances = try rows(
            """
            SELECT sopInstanceUID FROM instance WHERE seriesId = ? AND isCurrent AND state = 'indexed' ORDER BY id
            """, [series.id.rawValue])
        try record(
            .seriesClosed, event,
            AuditSubject(
                study: series.studyInstanceUID, series: series.seriesInstanceUID, revision: Int64(series.revision),
                instancesIn: instances.map { $0["sopInstanceUID"] }, count: Int64(instances.count)))
    }

    /// closed -> open, as the next revision, because an instance came late, changed or left.
    ///
    /// The event gives the reason. Unfinished jobs of the revision before, and deliveries that were not sent, are
    /// superseded.
    ///
    /// - Returns: the superseded jobs.
    func reopened(_ series: SeriesID, _ event: AuditEvent) throws -> [JobID] {
        try execute(
            """
            UPDATE series SET state = 'open', why = NULL, revision = revision + 1, openedAt = ?, changedAt = ?
            WHERE id = ?
            """, [now, now, series.rawValue])
        guard let row = try row("SELECT * FROM series WHERE id = ?", [series.rawValue]) else {
            throw StateError.unknown("series", series.rawValue)
        }
        try record(
            .seriesReopened, event,
            AuditSubject(
                study: row["studyInstanceUID"], series: row["seriesInstanceUID"], revision: row["revision"] as Int64))
        let deliveries = try rows(
            """
            SELECT v.id FROM delivery v JOIN job j ON j.id = v.jobId JOIN stack k ON k.id = j.stackId
            WHERE k.seriesId = ? AND v.state IN ('pending', 'held', 'dead') ORDER BY v.id
            """, [series.rawValue])
        for delivery in deliveries { try superseded(DeliveryID(rawValue: delivery["id"]), event) }
        let jobs = try rows(
            """
            SELECT j.id FROM job j JOIN stack k ON k.id = j.stackId
            WHERE k.seriesId = ? AND j.state IN ('queued', 'running') ORDER BY j.id
            """, [series.rawValue]
        ).map { JobID(rawValue: $0["id"]) }
        for job in jobs { try superseded(job, event) }
        return jobs
    }

    // MARK: - Stacks

    /// New stack -> routed: a route took the stack, and its job follows in the same transaction.
    public func routed(_ stack: NewStack, _ event: AuditEvent) throws -> StackID {
        try decided(stack, .routed, event, .stackRouted)
    }

    /// New stack -> unmatched: the stack does not match any route.
    @discardableResult
    public func unmatched(_ stack: NewStack, _ event: AuditEvent) throws -> StackID {
        try decided(stack, .unmatched, event, .stackUnmatched)
    }

    /// New stack -> undetermined: only routes with an undetermined condition could have taken the stack.
    @discardableResult
    public func undetermined(_ stack: NewStack, _ event: AuditEvent) throws -> StackID {
        try decided(stack, .undetermined, event, .stackUndetermined)
    }

    /// New stack -> unfit: the segmenter of the route cannot segment the stack.
    @discardableResult
    public func unfit(_ stack: NewStack, _ event: AuditEvent) throws -> StackID {
        try decided(stack, .unfit, event, .stackUnfit)
    }

    /// routed -> unfit, and its job running -> done: the worker found a reason that the headers did not show.
    public func unfit(_ job: JobID, _ event: AuditEvent) throws {
        let subject = try subject(of: job)
        try move("job", job.rawValue, from: [JobState.running.rawValue], to: JobState.done.rawValue, why: event.reason)
        try execute("UPDATE job SET outcome = 'unfit' WHERE id = ?", [job.rawValue])
        try execute(
            """
            UPDATE stack SET state = 'unfit', why = ?, changedAt = ?
            WHERE id = (SELECT stackId FROM job WHERE id = ?)
            """, [event.reason, now, job.rawValue])
        try record(.stackUnfit, event, subject)
    }

    /// Inserts a stack with its instances and writes its record.
    private func decided(
        _ stack: NewStack, _ state: StackState, _ event: AuditEvent, _ name: AuditEvent.Name
    ) throws -> StackID {
        try execute(
            """
            INSERT INTO stack (seriesId, revision, key, state, why, route, segmenter, configurationHash, decision,
                changedAt)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                stack.series.rawValue, stack.revision, stack.key, state.rawValue, event.reason, stack.route,
                stack.segmenter, stack.configurationHash, stack.decision, now,
            ])
        let id = StackID(rawValue: db.lastInsertedRowID)
        var uids: [String] = []
        for (position, instance) in stack.instances.enumerated() {
            try execute(
                "INSERT INTO stackInstance (stackId, position, instanceId) VALUES (?, ?, ?)",
                [id.rawValue, position, instance.rawValue])
            guard let row = try row("SELECT sopInstanceUID FROM instance WHERE id = ?", [instance.rawValue]) else {
                throw StateError.unknown("instance", instance.rawValue)
            }
            uids.append(row["sopInstanceUID"])
        }
        guard
            let series = try row(
                "SELECT studyInstanceUID, seriesInstanceUID FROM series WHERE id = ?", [stack.series.rawValue])
        else { throw StateError.unknown("series", stack.series.rawValue) }
        var event = event
        event.how.route = event.how.route ?? stack.route
        event.how.segmenter = event.how.segmenter ?? stack.segmenter
        event.how.configurationHash = event.how.configurationHash ?? stack.configurationHash
        try record(
            name, event,
            AuditSubject(
                study: series["studyInstanceUID"], series: series["seriesInstanceUID"],
                revision: Int64(stack.revision), instancesIn: uids, count: Int64(uids.count)))
        return id
    }
}
