// SPDX-License-Identifier: Apache-2.0

public import Foundation
import GRDB

extension WriteTransaction {
    /// New job -> queued, for a routed stack.
    ///
    /// `kind` is a stable name of the kind of work, and `payload` is the encoded work.
    public func queued(_ stack: StackID, kind: String, payload: Data, _ event: AuditEvent) throws -> JobID {
        try execute(
            """
            INSERT INTO job (stackId, kind, state, attempts, queuedAt, changedAt) VALUES (?, ?, 'queued', 0, ?, ?)
            """, [stack.rawValue, kind, now, now])
        let id = JobID(rawValue: db.lastInsertedRowID)
        try execute("INSERT INTO jobPayload (jobId, payload) VALUES (?, ?)", [id.rawValue, payload])
        try record(.jobQueued, event, try subject(of: id))
        return id
    }

    /// queued -> running: a worker has the job.
    ///
    /// `run` is the name of the attempt, which is part of the names of the worker's files.
    public func running(_ id: JobID, run: String, _ event: AuditEvent) throws {
        try move("job", id.rawValue, from: [JobState.queued.rawValue], to: JobState.running.rawValue)
        try execute("UPDATE job SET run = ? WHERE id = ?", [run, id.rawValue])
        try record(.jobRunning, event, try subject(of: id))
    }

    /// running -> done, with the objects of the job and their deliveries.
    ///
    /// If an object with the same UID is stored, that one stays and the new file is removed, because an archive keeps
    /// the first of two. A superseded delivery of the object is pending again.
    ///
    /// - Parameters:
    ///   - id: the job.
    ///   - result: the objects and the confidence.
    ///   - event: the cause.
    /// - Returns: the deliveries of the objects.
    /// - Throws: ``StateError/wrongState(_:_:found:)`` if the job was superseded meanwhile; drop the result then.
    @discardableResult
    public func done(_ id: JobID, _ result: JobResult, _ event: AuditEvent) throws -> [DeliveryID] {
        try move("job", id.rawValue, from: [JobState.running.rawValue], to: JobState.done.rawValue, why: event.reason)
        try execute(
            "UPDATE job SET outcome = ?, confidence = ?, lowConfidence = ?, run = NULL WHERE id = ?",
            [result.outcome, result.confidence, result.standing == .trusted ? 0 : 1, id.rawValue])
        let first: DeliveryState = result.standing == .held ? .held : .pending
        var deliveries: [DeliveryID] = []
        for output in result.outputs {
            let object = try store(output, job: id, confidence: result.confidence)
            for peer in output.peers { deliveries.append(try delivery(of: object, to: peer, job: id, as: first)) }
        }
        var subject = try subject(of: id)
        subject.instancesIn = try rows(
            """
            SELECT i.sopInstanceUID FROM job j JOIN stackInstance s ON s.stackId = j.stackId
            JOIN instance i ON i.id = s.instanceId WHERE j.id = ? ORDER BY s.position
            """, [id.rawValue]
        ).map { $0["sopInstanceUID"] }
        subject.instancesOut = result.outputs.map(\.sopInstanceUID)
        subject.predecessors = Set(result.outputs.flatMap(\.predecessors)).sorted()
        var event = event
        event.how.confidence = event.how.confidence ?? result.confidence
        if event.reason == nil { event.reason = AuditEvent.clean(result.outcome) }
        try record(.jobDone, event, subject)
        return deliveries
    }

    /// The row of the object; a stored object with the same UID keeps its row, and its file if it has one.
    ///
    /// - Throws: ``StateError/otherBytes(_:)`` if the stored object has other bytes: two objects never share a UID.
    private func store(_ output: NewDerivedInstance, job: JobID, confidence: Double?) throws -> Int64 {
        if let stored = try row(
            "SELECT id, path, sha256 FROM derivedInstance WHERE sopInstanceUID = ?", [output.sopInstanceUID])
        {
            let id: Int64 = stored["id"]
            let path: String? = stored["path"]
            guard stored["sha256"] == output.sha256 else {
                if path != nil, path != output.path {
                    // The stored file is the object; the new one is dropped.
                    try discard(output.path)
                    return id
                }
                throw StateError.otherBytes(output.sopInstanceUID)
            }
            if let path, path != output.path { try discard(output.path) }
            try complete(id, output, job: job, confidence: confidence, path: path ?? output.path)
            return id
        }
        try execute(
            """
            INSERT INTO derivedInstance (jobId, revision, sopClassUID, sopInstanceUID, transferSyntaxUID,
                studyInstanceUID, seriesInstanceUID, kind, path, sha256, size, createdAt, description,
                answerKey, confidence, stackKey, segmenter, sourceSeriesInstanceUID)
            SELECT ?, k.revision, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, k.key, k.segmenter, s.seriesInstanceUID
            FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId WHERE j.id = ?
            """,
            [
                job.rawValue, output.sopClassUID, output.sopInstanceUID, output.transferSyntaxUID,
                output.studyInstanceUID, output.seriesInstanceUID, output.kind, output.path, output.sha256,
                output.size, now, output.description, output.answerKey, confidence, job.rawValue,
            ])
        return db.lastInsertedRowID
    }

    /// Gives a stored object its file and the facts that its row lacks.
    ///
    /// A row that was made for a file without a row lacks all of them. A row whose file was deleted belongs to the job
    /// that made the file again.
    private func complete(
        _ id: Int64, _ output: NewDerivedInstance, job: JobID, confidence: Double?, path: String
    ) throws {
        try execute(
            """
            UPDATE derivedInstance SET
                jobId = iif(path IS NULL OR jobId IS NULL, ?, jobId), path = ?, studyInstanceUID = ?,
                seriesInstanceUID = ?, kind = ?, description = coalesce(description, ?),
                answerKey = coalesce(answerKey, ?), confidence = coalesce(confidence, ?),
                (stackKey, segmenter, sourceSeriesInstanceUID) = (
                    SELECT k.key, k.segmenter, s.seriesInstanceUID
                    FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId WHERE j.id = ?)
            WHERE id = ?
            """,
            [
                job.rawValue, path, output.studyInstanceUID, output.seriesInstanceUID, output.kind,
                output.description, output.answerKey, confidence, job.rawValue, id,
            ])
    }

    /// running -> queued again.
    ///
    /// - Parameters:
    ///   - id: the job.
    ///   - charged: whether the attempt counts, because the worker died or overran while the node lived.
    ///   - event: the cause.
    /// - Throws: ``StateError``.
    public func queuedAgain(_ id: JobID, charged: Bool, _ event: AuditEvent) throws {
        try move("job", id.rawValue, from: [JobState.running.rawValue], to: JobState.queued.rawValue, why: event.reason)
        try execute("UPDATE job SET run = NULL, attempts = attempts + ? WHERE id = ?", [charged ? 1 : 0, id.rawValue])
        try record(.jobQueuedAgain, event, try subject(of: id))
    }

    /// running -> queued again, free of charge, for every job that was running when the node ended.
    ///
    /// - Returns: these jobs.
    public func rescued(_ event: AuditEvent) throws -> [JobID] {
        let jobs = try rows("SELECT id FROM job WHERE state = 'running' ORDER BY id").map { JobID(rawValue: $0["id"]) }
        for id in jobs {
            try move("job", id.rawValue, from: [JobState.running.rawValue], to: JobState.queued.rawValue)
            try execute("UPDATE job SET run = NULL WHERE id = ?", [id.rawValue])
            try record(.jobRescued, event, try subject(of: id))
        }
        return jobs
    }

    /// queued or running -> dead: the job is given up.
    ///
    /// `charged` says whether the last attempt counts.
    public func dead(_ id: JobID, charged: Bool = false, _ event: AuditEvent) throws {
        try move(
            "job", id.rawValue, from: [JobState.queued.rawValue, JobState.running.rawValue],
            to: JobState.dead.rawValue, why: event.reason)
        try execute("UPDATE job SET run = NULL, attempts = attempts + ? WHERE id = ?", [charged ? 1 : 0, id.rawValue])
        try record(.jobDead, event, try subject(of: id))
    }

    /// queued or running -> superseded: a newer revision of its series exists.
    func superseded(_ id: JobID, _ event: AuditEvent) throws {
        try move(
            "job", id.rawValue, from: [JobState.queued.rawValue, JobState.running.rawValue],
            to: JobState.superseded.rawValue, why: event.reason)
        try record(.jobSuperseded, event, try subject(of: id))
    }

    /// dead -> queued with a fresh count of attempts, on an operator's command.
    ///
    /// - Throws: ``StateError/outdated(_:)`` if the series has a newer revision.
    public func revived(_ id: JobID, _ event: AuditEvent) throws {
        guard let found = try job(id) else { throw StateError.unknown("job", id.rawValue) }
        guard try revision(of: found.series) == found.revision else { throw StateError.outdated(id) }
        try move("job", id.rawValue, from: [JobState.dead.rawValue], to: JobState.queued.rawValue)
        try execute("UPDATE job SET attempts = 0 WHERE id = ?", [id.rawValue])
        try record(.jobRevived, event, try subject(of: id))
    }

    /// The series, revision, route and segmenter of a job, for its record.
    func subject(of id: JobID) throws -> AuditSubject {
        guard let subject = try jobSubject(id) else { throw StateError.unknown("job", id.rawValue) }
        return subject
    }

    // MARK: - Deliveries

    /// The delivery of an object to a peer: a new one, or the one that exists.
    ///
    /// A superseded delivery comes back as `first`, or as sent if it was sent before.
    private func delivery(
        of object: Int64, to peer: String, job: JobID, as first: DeliveryState
    ) throws -> DeliveryID {
        if let row = try row(
            "SELECT id, state FROM delivery WHERE derivedInstanceId = ? AND peer = ?", [object, peer])
        {
            let id: Int64 = row["id"]
            let found: DeliveryState = try state(row)
            if found == .superseded {
                try execute(
                    """
                    UPDATE delivery SET state = iif(sentAt IS NULL, ?, 'sent'), jobId = ?, why = NULL, changedAt = ?
                    WHERE id = ?
                    """, [first.rawValue, job.rawValue, now, id])
            } else {
                try execute("UPDATE delivery SET jobId = ? WHERE id = ?", [job.rawValue, id])
            }
            return DeliveryID(rawValue: id)
        }
        try execute(
            """
            INSERT INTO delivery (jobId, derivedInstanceId, peer, state, attempts, tried, queuedAt, changedAt)
            VALUES (?, ?, ?, ?, 0, 0, ?, ?)
            """, [job.rawValue, object, peer, first.rawValue, now, now])
        return DeliveryID(rawValue: db.lastInsertedRowID)
    }

    /// pending -> sent: the peer answered that it has the object.
    ///
    /// A delivery that was superseded on its way becomes sent, too, because the peer has the object.
    ///
    /// - Parameters:
    ///   - id: the delivery.
    ///   - status: the status of the C-STORE response.
    ///   - commitBy: time lived by which the peer has to commit itself to keep the object; `nil` closes the delivery.
    ///   - event: the cause.
    /// - Throws: ``StateError``.
    public func sent(_ id: DeliveryID, status: UInt16, commitBy: Duration? = nil, _ event: AuditEvent) throws {
        try move(
            "delivery", id.rawValue, from: [DeliveryState.pending.rawValue, DeliveryState.superseded.rawValue],
            to: DeliveryState.sent.rawValue)
        try execute(
            """
            UPDATE delivery SET status = ?, sentAt = ?, attempts = attempts + 1, memory = NULL, commitBy = ?,
                askAfter = 0, unanswered = 0
            WHERE id = ?
            """, [Int64(status), now, commitBy?.microseconds, id.rawValue])
        try mayBeSent("id = (SELECT derivedInstanceId FROM delivery WHERE id = ?)", [id.rawValue])
        try record(.deliverySent, event, try subject(of: id))
    }

    /// Notes that a peer has an object, or may have it, so that the next one names it as predecessor.
    private func mayBeSent(_ condition: String, _ arguments: StatementArguments) throws {
        try execute("UPDATE derivedInstance SET isSent = 1 WHERE \(condition)", arguments)
    }

    /// Notes the objects that were on their way when the node ended.
    func offersInterrupted() throws {
        try mayBeSent(
            """
            isSent = 0 AND id IN (
                SELECT derivedInstanceId FROM delivery WHERE state = 'pending' AND offeredAt IS NOT NULL)
            """, [])
    }

    /// pending -> pending, on its way: the object is about to be offered to the peer.
    ///
    /// The row is written before the object is sent, so that a disk without room stops sending. The state does not
    /// change, so the trail does not get a record.
    ///
    /// - Returns: `false` if the delivery is not pending any more.
    public func offered(_ id: DeliveryID) throws -> Bool {
        try changes(
            "UPDATE delivery SET offeredAt = ? WHERE id = ? AND state = 'pending'", [now, id.rawValue]) == 1
    }

    /// pending -> pending again: the delivery is tried later.
    ///
    /// - Parameters:
    ///   - id: the delivery.
    ///   - spent: monotonic time since the attempt before, or since the node started; it is added to
    ///     ``Delivery/tried``.
    ///   - memory: the sender's notes.
    ///   - mayHaveArrived: whether the connection broke while the object was on its way, so that the peer may have it.
    ///   - event: the cause.
    /// - Throws: ``StateError``.
    public func pendingAgain(
        _ id: DeliveryID, spent: Duration, memory: Data? = nil, mayHaveArrived: Bool = false, _ event: AuditEvent
    ) throws {
        try move(
            "delivery", id.rawValue, from: [DeliveryState.pending.rawValue], to: DeliveryState.pending.rawValue,
            why: event.reason)
        try execute(
            """
            UPDATE delivery SET attempts = attempts + 1, tried = tried + ?, memory = ?, offeredAt = NULL WHERE id = ?
            """, [spent / .seconds(1), memory, id.rawValue])
        if mayHaveArrived { try mayBeSent("id = (SELECT derivedInstanceId FROM delivery WHERE id = ?)", [id.rawValue]) }
        try record(.deliveryPendingAgain, event, try subject(of: id))
    }

    /// pending -> dead: the delivery is given up; its file stays.
    ///
    /// `status` is the status of the C-STORE response, if there was one.
    public func dead(_ id: DeliveryID, status: UInt16? = nil, _ event: AuditEvent) throws {
        try move(
            "delivery", id.rawValue, from: [DeliveryState.pending.rawValue], to: DeliveryState.dead.rawValue,
            why: event.reason)
        try execute(
            "UPDATE delivery SET status = ?, attempts = attempts + 1, offeredAt = NULL WHERE id = ?",
            [status.map { Int64($0) }, id.rawValue])
        try record(.deliveryDead, event, try subject(of: id))
    }

    /// held -> pending: an operator has looked at the result and lets it go.
    public func released(_ id: DeliveryID, _ event: AuditEvent) throws {
        try move(
            "delivery", id.rawValue, from: [DeliveryState.held.rawValue], to: DeliveryState.pending.rawValue,
            why: event.reason)
        try record(.deliveryReleased, event, try subject(of: id))
    }

    /// held -> dropped: an operator has looked at the result and decides that it is not sent.
    public func dropped(_ id: DeliveryID, _ event: AuditEvent) throws {
        try move(
            "delivery", id.rawValue, from: [DeliveryState.held.rawValue], to: DeliveryState.dropped.rawValue,
            why: event.reason)
        try record(.deliveryDropped, event, try subject(of: id))
    }

    /// pending, held or dead -> superseded: a newer revision of the series exists.
    ///
    /// A dead delivery is superseded, too, because its revival would send an older object after a newer one.
    func superseded(_ id: DeliveryID, _ event: AuditEvent) throws {
        try move(
            "delivery", id.rawValue,
            from: [DeliveryState.pending.rawValue, DeliveryState.held.rawValue, DeliveryState.dead.rawValue],
            to: DeliveryState.superseded.rawValue, why: event.reason)
        try record(.deliverySuperseded, event, try subject(of: id))
    }

    /// dead -> pending with a fresh count of attempts, on an operator's command.
    ///
    /// - Throws: ``StateError/outdated(_:)`` if the series has a newer revision.
    public func revived(_ id: DeliveryID, _ event: AuditEvent) throws {
        guard let found = try delivery(id) else { throw StateError.unknown("delivery", id.rawValue) }
        guard let job = try job(found.job) else { throw StateError.unknown("job", found.job.rawValue) }
        guard try revision(of: job.series) == job.revision else { throw StateError.outdated(job.id) }
        try move("delivery", id.rawValue, from: [DeliveryState.dead.rawValue], to: DeliveryState.pending.rawValue)
        try execute(
            """
            UPDATE delivery SET attempts = 0, tried = 0, memory = NULL, sentAt = NULL, losses = 0 WHERE id = ?
            """, [id.rawValue])
        try record(.deliveryRevived, event, try subject(of: id))
    }

    /// The job and the object of a delivery, for its record.
    func subject(of id: DeliveryID) throws -> AuditSubject {
        guard let found = try delivery(id) else { throw StateError.unknown("delivery", id.rawValue) }
        var subject = try subject(of: found.job)
        subject.instancesOut = [found.object.sopInstanceUID]
        return subject
    }
}
