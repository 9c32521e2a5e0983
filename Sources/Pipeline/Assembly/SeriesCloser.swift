// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Routing
import Supervision

/// Closes one series: sorts its instances into stacks, plans each stack and queues the jobs.
///
/// The closing, the decisions and the jobs are written in one transaction.
struct SeriesCloser: Sendable {
    let planner: StackPlanner
    /// The configured peers.
    ///
    /// A route sends to some of them.
    let peers: [Peer]
    /// SHA-256 of the configuration, 64 hexadecimal digits.
    ///
    /// It is stored with each decision.
    let configurationHash: String
    let journal: RetryingJournal
    let spool: Spool
    let clock: NodeClock
    let logger: Logger

    /// Closes a series.
    ///
    /// - Parameter id: a series that looks complete.
    /// - Returns: `false` if the series stays open, because another instance has joined or the node stops.
    /// - Throws: the reason why this series cannot be closed, other than an error of the disk. The caller sets the series
    ///   aside.
    func close(_ id: SeriesID) async throws -> Bool {
        guard
            let found = try await journal.read({ view -> (OpenSeries, [SeriesInstance])? in
                guard let series = try view.openSeries(id) else { return nil }
                return (series, try view.instances(of: id))
            })
        else { return false }
        // The series is closed or deleted already, so the caller can forget it.
        guard let (series, instances) = found else { return true }
        do {
            if let conflict = conflict(of: instances), !series.isAccepted {
                return try await setAside(series, "\(conflict)")
            }
            let decisions = try decide(series, instances)
            if !series.isAccepted, let reason = try await lack(of: decisions, series) {
                return try await setAside(series, reason)
            }
            let jobs = try await journal.write { transaction in
                try transaction.closed(series, AuditEvent())
                return try decisions.map { try $0.record(transaction) }
            }
            guard let jobs else { return false }
            report(series, instances.count, decisions, jobs)
            return true
        } catch let error as StateError {
            guard case .seriesChanged = error else { throw error }
            return false
        }
    }

    private func conflict(of instances: [SeriesInstance]) -> PatientConflict? {
        let journal = journal.direct
        return PatientConflict(instances.compactMap(\.attributes)) {
            journal.attributeHash(ofDigest: SourceAttributes.digest(ofValue: $0))
        }
    }

    /// The reason why a series that comes again is not whole; `nil` if it may be.
    ///
    /// After retention has deleted a series, a part of it may come again, as a correction in several steps does. The SEG
    /// of a part must not replace the SEG of the whole.
    private func lack(of decisions: [StackDecision], _ series: OpenSeries) async throws -> String? {
        // A later revision has lost its images by a record of the journal, not by retention.
        guard series.revision == 1, let former = try await journal.read({ try $0.formerObjects(of: series) }) else {
            return nil
        }
        for decision in decisions {
            guard case .routed = decision.verdict,
                let object = former.first(where: {
                    $0.stackKey == decision.stack.key && $0.segmenter == decision.stack.segmenter
                }),
                let bytes = object.description,
                let sources = try? JSONDecoder().decode(StoredDescription.self, from: bytes).sources,
                sources > decision.stack.instances.count
            else { continue }
            let count = decision.stack.instances.count
            return "an earlier SEG was made of \(sources) images, and only \(count) came again after retention"
        }
        return nil
    }

    /// Sets a series aside that cannot be segmented as it is.
    ///
    /// - Returns: `false` if the node stops.
    private func setAside(_ series: OpenSeries, _ reason: String) async throws -> Bool {
        let isSetAside = try await journal.write { transaction in
            try transaction.setAside(series, AuditEvent(reason: reason))
            return true
        }
        guard isSetAside != nil else { return false }
        logger.warning(
            "series set aside",
            metadata: [
                "dicom.series_uid": "\(series.seriesInstanceUID)", "series.id": "\(series.id.rawValue)",
                "reason": "\(reason)",
            ])
        return true
    }

    private func decide(_ series: OpenSeries, _ instances: [SeriesInstance]) throws -> [StackDecision] {
        var byUID: [String: SeriesInstance] = [:]
        var headers: [InstanceHeader] = []
        for instance in instances {
            byUID[instance.sopInstanceUID] = instance
            do {
                headers.append(try StoredHeader.header(encoded: instance.header))
            } catch {
                throw ItemError("the stored header of instance \(instance.id.rawValue) cannot be read")
            }
        }
        return try Stack.stacks(of: headers).map { stack in
            let members = stack.instances.compactMap { byUID[$0.sopInstanceUID] }
            guard members.count == stack.instances.count else {
                throw ItemError("a stored header names another SOP instance than its row")
            }
            return try decide(series, stack, members)
        }
    }

    /// Plans one stack; `members` are its instances, in its order.
    private func decide(_ series: OpenSeries, _ stack: Stack, _ members: [SeriesInstance]) throws -> StackDecision {
        let plan = planner.plan(stack, callingAETitles: members.map(\.callingAETitle))
        guard let decision = plan.decision else { preconditionFailure("a plan by conditions holds its decision") }
        var made = StackDecision(
            stack: NewStack(
                series: series.id, revision: series.revision, key: stack.key, instances: members.map(\.id),
                route: decision.route, configurationHash: configurationHash,
                decision: try JSONEncoder().encode(decision)),
            summary: decision.summary, split: stack.split.map { "the series is \($0)" })
        made.stack.segmenter = plan.route?.segmenter
        switch plan.outcome {
        case .unmatched: made.verdict = .unmatched
        case .undetermined: made.verdict = .undetermined
        case .unfit(let reason), .unavailable(let reason): made.verdict = .unfit(reason: reason)
        case .segment(let work):
            let sources = work.sources.map { members[$0] }
            made.stack.instances = sources.map(\.id)
            let segmenter = work.segmenter.descriptor
            made.verdict = .routed(
                payload: try job(work, sources).encoded(),
                how: AuditMethod(segmenterVersion: segmenter.version, weightsHash: segmenter.weightsHash))
        }
        return made
    }

    /// The job for planned work; `sources` are in the order in which the segmenter takes them.
    private func job(_ work: StackPlan.Work, _ sources: [SeriesInstance]) -> SegmentationJob {
        let now = clock.wall()
        let newest = sources.indices.max { sources[$0].id < sources[$1].id } ?? 0
        return SegmentationJob(
            work,
            sources: sources.map {
                SegmentationJob.Source(
                    path: spool.relative($0.path), sopInstanceUID: $0.sopInstanceUID, imageDigest: $0.imageDigest,
                    copied: $0.copied(SourceAttributes.digestOfEach))
            },
            newestSource: newest,
            copiedFromNewest: sources[newest].copied(SourceAttributes.digestOfNewest),
            outputs: SegmentationJob.outputs(
                for: peers.filter { work.route.sendTo.contains($0.name) }, report: work.route.report,
                pictures: work.route.pictures),
            created: Int64(now.timeIntervalSince1970.rounded(.down)), localOffsetFromUTC: clock.offsetFromUTC(now))
    }

    private func report(
        _ series: OpenSeries, _ instances: Int, _ decisions: [StackDecision], _ jobs: [JobID?]
    ) {
        logger.info(
            "series closed",
            metadata: [
                "dicom.series_uid": "\(series.seriesInstanceUID)", "series.revision": "\(series.revision)",
                "series.instances": "\(instances)", "series.stacks": "\(decisions.count)",
            ])
        for (decision, job) in zip(decisions, jobs) {
            var metadata: Logger.Metadata = [
                "dicom.series_uid": "\(series.seriesInstanceUID)", "stack.decision": "\(decision.summary)",
                "stack.instances": "\(decision.stack.instances.count)",
            ]
            if let job { metadata["job.id"] = "\(job.rawValue)" }
            if case .unfit(let reason) = decision.verdict { metadata["reason"] = "\(reason)" }
            if let split = decision.split { metadata["stack.split"] = "\(split)" }
            logger.info("stack decided", metadata: metadata)
        }
    }
}

/// The decision about one stack, ready to be written.
private struct StackDecision: Sendable {
    enum Verdict: Sendable {
        case routed(payload: Data, how: AuditMethod)
        case unmatched
        case undetermined
        case unfit(reason: String)
    }

    var stack: NewStack
    /// One line without attribute values.
    var summary: String
    /// How the series fell apart into stacks, in words without attribute values; `nil` for its only stack.
    var split: String?
    var verdict: Verdict = .unmatched

    private var summaryWithSplit: String { split.map { "\(summary); \($0)" } ?? summary }

    /// Writes the stack with its state, and queues the job of a routed stack.
    ///
    /// - Returns: the job; `nil` for a stack that is not routed.
    /// - Throws: errors of the journal.
    func record(_ transaction: WriteTransaction) throws -> JobID? {
        switch verdict {
        case .unmatched: try transaction.unmatched(stack, AuditEvent(reason: split))
        case .undetermined: try transaction.undetermined(stack, AuditEvent(reason: summaryWithSplit))
        case .unfit(let reason): try transaction.unfit(stack, AuditEvent(reason: reason))
        case .routed(let payload, let how):
            let id = try transaction.routed(stack, AuditEvent(how: how, reason: summaryWithSplit))
            return try transaction.queued(id, kind: SegmentationJob.kind, payload: payload, AuditEvent(how: how))
        }
        return nil
    }
}

extension SeriesInstance {
    /// A digest of attributes; of the whole data set if an older version indexed the instance.
    fileprivate func copied(_ digest: ([String: String]) -> String) -> String {
        attributes.map(digest) ?? "data set \(sha256)"
    }
}

extension Spool {
    /// A path relative to the spool.
    ///
    /// Rows store such paths, so that the spool can be moved as a whole.
    func relative(_ absolute: String) -> String {
        absolute.hasPrefix(path + "/") ? String(absolute.dropFirst(path.count + 1)) : absolute
    }
}
