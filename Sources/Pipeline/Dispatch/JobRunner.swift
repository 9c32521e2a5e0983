// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Platform
import Routing
import Supervision

/// Runs one job: from its payload to its objects in `derived/` and their deliveries.
struct JobRunner: Sendable {
    let pool: WorkerPool
    let journal: RetryingJournal
    let spool: Spool
    let clock: NodeClock
    let logger: Logger
    let softwareVersion: String

    /// The state of the job after the run.
    enum End: Sendable {
        /// The job is done, with or without objects to send.
        case done
        /// The job is queued again, or could not be given up. It runs again after a pause.
        case queuedAgain
        /// The job does not run again: it is dead, unfit or superseded, or the node stops.
        case ended
    }

    /// Runs the job once and records the result.
    ///
    /// - Parameters:
    ///   - id: a job that was queued.
    ///   - stop: raised to end the run, because the job was superseded or the node stops.
    /// - Returns: the state of the job after the run.
    /// - Throws: errors of the journal other than those of the disk. The caller then gives the job up.
    func run(_ id: JobID, until stop: Signal) async throws -> End {
        guard let found = try await journal.read({ try $0.job(id) }) else { return .ended }
        guard let job = found else { throw ItemError("the payload, the stack or the series of the job is missing") }
        guard job.state == .queued else { return .ended }
        var logger = logger
        logger[metadataKey: "job.id"] = "\(job.id.rawValue)"
        logger[metadataKey: "dicom.series_uid"] = "\(job.seriesInstanceUID)"
        guard job.kind == SegmentationJob.kind else {
            return try await settle(
                job, .dead(reason: "this version of kontur does not know its kind of work", charged: false), logger)
        }
        var payload: SegmentationJob
        do {
            payload = try SegmentationJob.decoded(job.payload)
        } catch {
            return try await settle(job, .dead(reason: "its payload cannot be read", charged: false), logger)
        }
        guard let paths = try await journal.read({ try $0.storedPaths(of: job.stack) }) else { return .ended }
        payload.findSources(at: paths)
        let work = payload
        let run = clock.uuid().uuidString.lowercased()
        let softwareVersion = softwareVersion
        do {
            let start = try await journal.write { transaction in
                try transaction.running(job.id, run: run, AuditEvent(how: work.method))
                return try ObjectPlans(transaction, job, work, softwareVersion: softwareVersion)
            }
            guard let start else { return .ended }
            return try await perform(job, work, start, run: run, until: stop, logger)
        } catch let error as StateError {
            // The job was moved on meanwhile. If it is queued all the same, it runs again after a pause.
            logger.debug("job left alone", metadata: ["error": "\(error)"])
            return .queuedAgain
        }
    }

    /// Records that a job is given up, because an error that does not pass ended its run.
    ///
    /// The job is dead then, and `kontur jobs list` shows the reason. A job that cannot even be given up runs again
    /// after a pause.
    func giveUp(_ id: JobID, because error: any Error) async -> End {
        let reason = "\(Reason(error))"
        logger.error("job failed", metadata: ["job.id": "\(id.rawValue)", "error": "\(reason)"])
        do {
            _ = try await journal.write { try $0.dead(id, AuditEvent(reason: reason)) }
            return .ended
        } catch is StateError {
            // The job is gone, or has moved on.
            return .ended
        } catch {
            logger.error(
                "job not given up", metadata: ["job.id": "\(id.rawValue)", "error": "\(Reason(error))"])
            return .queuedAgain
        }
    }

    private func perform(
        _ job: Job, _ work: SegmentationJob, _ objects: ObjectPlans, run: String, until stop: Signal, _ logger: Logger
    ) async throws -> End {
        let missing = objects.missing
        if missing.isEmpty, !work.outputs.isEmpty {
            return try await finish(job, work, objects, made: [], outcome: nil, logger)
        }
        logger.info("job started", metadata: ["job.kind": "\(job.kind)", "job.attempts": "\(job.attempts)"])
        let request = work.request(
            run: run, folder: spool.path,
            outputs: missing.enumerated().map { index, plan in
                plan.request(at: "\(spool.workPath)/\(run)-\(index)-\(plan.output.kind.rawValue).dcm")
            }, answer: objects.answer)
        let started = clock.monotonic()
        let result: WorkResult
        do {
            result = try await perform(request, until: stop)
        } catch let error as WorkMessageError {
            return try await settle(job, .dead(reason: "\(error)", charged: false), logger)
        }
        let verdict = JobVerdict(result, attempts: job.attempts)
        guard case .done(let outcome) = verdict else {
            for output in request.outputs { try? FileSystem.remove(output.path) }
            return try await settle(job, verdict, logger)
        }
        var logger = logger
        logger[metadataKey: "job.seconds"] = "\(Int((clock.monotonic() - started) / .seconds(1)))"
        let made = zip(missing, request.outputs).compactMap { plan, asked in
            outcome.outputs.first { $0.path == asked.path && plan.description(of: $0.sopInstanceUID) != nil }
        }
        return try await finish(job, work, objects, made: made, outcome: outcome, logger)
    }

    /// Asks a worker, and waits until it answers or the run is stopped.
    private func perform(_ request: SegmentRequest, until stop: Signal) async throws -> WorkResult {
        let (pool, logger) = (pool, logger)
        return try await withThrowingTaskGroup(of: WorkResult?.self) { group in
            group.addTask {
                try await pool.perform(.segment(request: request)) { progress in
                    logger.debug(
                        "job progress",
                        metadata: [
                            "job.run": "\(request.run)", "job.phase": "\(progress.phase.rawValue)",
                            "job.step": "\(progress.done)/\(progress.total)",
                        ])
                }
            }
            group.addTask {
                await stop.wait(atMost: nil)
                return nil
            }
            let first = try await group.next() ?? nil
            group.cancelAll()
            if let first { return first }
            // The pool kills the worker. The result says so, unless the worker answered first.
            return try await group.next().flatMap { $0 } ?? .stopped
        }
    }

    /// Moves new objects into place, and records the job as done, with its objects and their deliveries.
    private func finish(
        _ job: Job, _ work: SegmentationJob, _ objects: ObjectPlans, made: [SegmentOutcome.Output],
        outcome: SegmentOutcome?, _ logger: Logger
    ) async throws -> End {
        var outputs: [NewDerivedInstance] = []
        for plan in objects.used(made.map(\.sopInstanceUID)) {
            if let object = plan.stored, let path = object.path {
                outputs.append(stored(object, path: path, of: plan, job))
            } else if let written = made.first(where: { plan.description(of: $0.sopInstanceUID) != nil }) {
                guard FileSystem.exists(written.path) else {
                    return try await settle(
                        job, .queuedAgain(reason: "the written object is missing", charged: true), logger)
                }
                let (spool, now) = (spool, clock.wall())
                guard
                    let path = try await journal.retry({ try spool.acceptDerived(written.path, now: now) })
                else { return .ended }
                outputs.append(try new(written, path: path, of: plan, work, job, leftOut: outcome?.leftOut ?? 0))
            } else if outcome?.foundFrames.isEmpty == false || plan.output.kind.saysNothingFound {
                return try await settle(
                    job, .dead(reason: "the worker did not write an object that it should", charged: false), logger)
            }
        }
        let word = outcome.map { $0.foundFrames.isEmpty ? "nothing found" : "segmented" } ?? "made before"
        let confidence = outcome?.confidence.value ?? objects.confidence
        let standing = Self.standing(confidence, madeBefore: objects.isLow, work.review)
        let result = JobResult(outputs: outputs, outcome: word, confidence: confidence, standing: standing)
        let reason = Self.summary(word, outcome, standing, notes: work.notes)
        do {
            let deliveries = try await journal.write { transaction in
                try transaction.done(job.id, result, AuditEvent(how: work.method, reason: reason))
            }
            guard let deliveries else { return .ended }
            logger.info(
                "job done",
                metadata: [
                    "job.outcome": "\(reason)", "job.objects": "\(outputs.count)",
                    "job.deliveries": "\(deliveries.count)",
                ])
            return .done
        } catch let error as StateError {
            // The job was superseded while the worker ran, so its new files are not needed.
            let known = Set(objects.plans.compactMap(\.stored?.path).map(spool.relative))
            for output in outputs where !known.contains(output.path) { spool.discard(output.path) }
            guard case .otherBytes = error else { throw error }
            // Another job stored the object meanwhile. The next run decides with its row.
            return try await settle(job, .queuedAgain(reason: "\(error)", charged: true), logger)
        }
    }

    /// A stored object that is sent unchanged.
    ///
    /// Study, series and kind are those of the job, because the row of a file that was found in the spool lacks them.
    private func stored(
        _ object: DerivedInstance, path: String, of plan: ObjectPlan, _ job: Job
    ) -> NewDerivedInstance {
        NewDerivedInstance(
            sopClassUID: object.sopClassUID, sopInstanceUID: object.sopInstanceUID,
            transferSyntaxUID: object.transferSyntaxUID, studyInstanceUID: job.studyInstanceUID,
            seriesInstanceUID: plan.storedSeriesInstanceUID ?? object.seriesInstanceUID,
            kind: plan.output.kind.rawValue, path: spool.relative(path), sha256: object.sha256,
            size: object.size, peers: plan.output.peers)
    }

    /// An object that a worker wrote.
    ///
    /// An object does not say which frames were left out and why. If there are such frames, the next job therefore
    /// segments the stack anew instead of reading the answer back.
    private func new(
        _ written: SegmentOutcome.Output, path: String, of plan: ObjectPlan, _ work: SegmentationJob, _ job: Job,
        leftOut: Int
    ) throws -> NewDerivedInstance {
        let description = plan.description(of: written.sopInstanceUID)
        return NewDerivedInstance(
            sopClassUID: plan.output.kind.sopClassUID, sopInstanceUID: written.sopInstanceUID,
            transferSyntaxUID: TransferSyntax.explicitVRLittleEndian.rawValue,
            studyInstanceUID: job.studyInstanceUID, seriesInstanceUID: written.seriesInstanceUID,
            kind: plan.output.kind.rawValue, path: path, sha256: written.sha256,
            size: Int64(written.bytes), peers: plan.output.peers,
            predecessors: description?.predecessors.map(\.sopInstanceUID) ?? [],
            description: try description.map { try StoredDescription($0, sources: work.sources.count).encoded() },
            answerKey: plan.output.kind.holdsAnswer && leftOut == 0 ? work.answerKey : nil)
    }

    /// The standing that the route's review rule gives to a confidence.
    private static func standing(
        _ confidence: Double?, madeBefore isLow: Bool, _ review: ReviewRule?
    ) -> JobResult.Standing {
        guard let review, confidence.map({ $0 < review.below }) ?? isLow else { return .trusted }
        return review.action == .hold ? .held : .lowConfidence
    }

    /// One line for the record: the outcome, the counts and the notes.
    private static func summary(
        _ word: String, _ outcome: SegmentOutcome?, _ standing: JobResult.Standing, notes: [String]
    ) -> String {
        let frames = outcome.map { ": \($0.foundFrames.count) of \($0.frames) frames" } ?? ""
        let review =
            switch standing {
            case .trusted: [String]()
            case .lowConfidence: ["low confidence: needs review"]
            case .held: ["low confidence: held for review"]
            }
        let reuse = outcome?.isReused == true ? ["answer reused"] : []
        return (["\(word)\(frames)"] + reuse + review + (outcome == nil ? [] : notes) + (outcome?.notes ?? []))
            .joined(separator: "; ")
    }

    /// Records a run that did not end with `done`.
    private func settle(_ job: Job, _ verdict: JobVerdict, _ logger: Logger) async throws -> End {
        let isSettled = try await journal.write { transaction in
            switch verdict {
            case .done: break
            case .unfit(let reason): try transaction.unfit(job.id, AuditEvent(reason: reason))
            case .dead(let reason, let charged):
                try transaction.dead(job.id, charged: charged, AuditEvent(reason: reason))
            case .queuedAgain(let reason, let charged):
                try transaction.queuedAgain(job.id, charged: charged, AuditEvent(reason: reason))
            }
            return true
        }
        guard isSettled != nil else { return .ended }
        switch verdict {
        case .done: return .done
        case .unfit(let reason):
            logger.info("stack unfit", metadata: ["reason": "\(reason)"])
            return .ended
        case .dead(let reason, _):
            logger.error("job dead", metadata: ["reason": "\(reason)"])
            return .ended
        case .queuedAgain(let reason, let charged):
            logger.warning("job queued again", metadata: ["reason": "\(reason)", "job.charged": "\(charged)"])
            return .queuedAgain
        }
    }
}

extension SegmentationJob {
    /// The method for the audit trail.
    var method: AuditMethod {
        AuditMethod(
            segmenter: segmenter.name, segmenterVersion: segmenter.version, weightsHash: segmenter.weightsHash)
    }
}
