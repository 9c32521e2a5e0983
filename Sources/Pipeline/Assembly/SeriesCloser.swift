// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Routing
import Supervision

/// Closes one series: sorts its instances into stacks, decides about each, and queues their jobs, all in one transaction.
struct SeriesCloser: Sendable {
    let routing: NodeRouting
    let perseverance: Perseverance
    let spool: Spool
    let clock: NodeClock
    let logger: Logger

    /// - Returns: `false` when another instance has joined meanwhile, or the node stops: the series is still open.
    func close(_ id: SeriesID) async throws -> Bool {
        guard
            let found = try await perseverance.read({ view -> (OpenSeries, [SeriesInstance])? in
                guard let series = try view.openSeries(id) else { return nil }
                return (series, try view.instances(of: id))
            })
        else { return false }
        // Closed already: nothing is left to do, but to forget it.
        guard let (series, instances) = found else { return true }
        let decisions = try decide(series, instances)
        do {
            let jobs = try await perseverance.write { transaction in
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

    private func decide(_ series: OpenSeries, _ instances: [SeriesInstance]) throws -> [StackDecision] {
        var byUID: [String: SeriesInstance] = [:]
        var headers: [InstanceHeader] = []
        for instance in instances {
            byUID[instance.sopInstanceUID] = instance
            headers.append(try InstanceHeader.decoded(instance.header))
        }
        return try Stack.stacks(of: headers).map { stack in
            let members = stack.instances.compactMap { byUID[$0.sopInstanceUID] }
            return try decide(series, stack, members)
        }
    }

    /// - Parameter members: the instances of the stack, in its order.
    private func decide(_ series: OpenSeries, _ stack: Stack, _ members: [SeriesInstance]) throws -> StackDecision {
        let facts = StackFacts(stack, callingAETitles: members.map(\.callingAETitle))
        let decision = RouteDecision(facts, routes: routing.routes)
        var made = StackDecision(
            stack: NewStack(
                series: series.id, revision: series.revision, key: stack.key, instances: members.map(\.id),
                route: decision.route, configurationHash: routing.configurationHash,
                decision: try JSONEncoder().encode(decision)),
            summary: decision.summary)
        switch routing.verdict(stack, decision) {
        case .unmatched: made.verdict = .unmatched
        case .undetermined: made.verdict = .undetermined
        case .unfit(let route, let reason):
            made.stack.segmenter = route.segmenter
            made.verdict = .unfit(reason: reason)
        case .routed(let route, let segmenter, let sources, let notes):
            made.stack.segmenter = segmenter.descriptor.name
            if sources.count > WorkMessage.sourceLimit {
                made.verdict = .unfit(
                    reason: "a stack of \(sources.count) instances, at most \(WorkMessage.sourceLimit) are taken")
            } else {
                made.stack.instances = sources.map { members[$0].id }
                let job = job(route, segmenter, sources.map { members[$0] }, notes: notes)
                made.verdict = .routed(
                    payload: try job.encoded(),
                    how: AuditMethod(
                        segmenterVersion: segmenter.descriptor.version, weightsHash: segmenter.descriptor.weightsHash))
            }
        }
        return made
    }

    private func job(
        _ route: Route, _ segmenter: InstalledSegmenter, _ members: [SeriesInstance], notes: [String]
    ) -> SegmentationJob {
        let now = clock.wall()
        let newest = members.indices.max { members[$0].id < members[$1].id } ?? 0
        return SegmentationJob(
            segmenter: segmenter.descriptor, weights: segmenter.weights, options: route.options, type: route.type,
            gaps: route.gaps,
            sources: members.map {
                SegmentationJob.Source(
                    path: spool.relative($0.path), sopInstanceUID: $0.sopInstanceUID, imageDigest: $0.imageDigest)
            },
            newestSource: newest,
            outputs: SegmentationJob.outputs(for: routing.peers.filter { route.sendTo.contains($0.name) }),
            created: Int64(now.timeIntervalSince1970.rounded(.down)), localOffsetFromUTC: clock.offsetFromUTC(now),
            review: route.review, notes: notes)
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
            logger.info("stack decided", metadata: metadata)
        }
    }
}

/// What was decided about one stack, ready to be written.
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
    var verdict: Verdict = .unmatched

    /// - Returns: the job, of a stack that was routed.
    func record(_ transaction: WriteTransaction) throws -> JobID? {
        switch verdict {
        case .unmatched: try transaction.unmatched(stack, AuditEvent())
        case .undetermined: try transaction.undetermined(stack, AuditEvent(reason: summary))
        case .unfit(let reason): try transaction.unfit(stack, AuditEvent(reason: reason))
        case .routed(let payload, let how):
            let id = try transaction.routed(stack, AuditEvent(how: how, reason: summary))
            return try transaction.queued(id, kind: SegmentationJob.kind, payload: payload, AuditEvent(how: how))
        }
        return nil
    }
}

extension Spool {
    /// A path in the spool as it is stored: the spool may be moved as a whole.
    func relative(_ absolute: String) -> String {
        absolute.hasPrefix(path + "/") ? String(absolute.dropFirst(path.count + 1)) : absolute
    }
}
