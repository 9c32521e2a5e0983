// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Persistence
import Platform
import Supervision
import Synchronization

/// Has the index workers read every acknowledged instance, and records the findings.
///
/// The order is that of the ``IndexQueue``: instances of different associations may be indexed in any order.
final class Indexer: Sendable {
    private let pool: WorkerPool
    private let shared: SharedSeriesAssembly
    private let journal: RetryingJournal
    private let logger: Logger
    private let stop: StopFlag
    private let onSuperseded: @Sendable ([JobID]) -> Void
    private let lanes: IndexLanes<Finding>
    /// Variants with which instances have to be compared before they can be recorded: all that were found so far.
    private let variants = Mutex<[InstanceID: [InstanceVariant]]>([:])

    init(
        pool: WorkerPool, shared: SharedSeriesAssembly, journal: RetryingJournal, logger: Logger, stop: StopFlag,
        onSuperseded: @escaping @Sendable ([JobID]) -> Void
    ) {
        self.pool = pool
        self.shared = shared
        self.journal = journal
        self.logger = logger
        self.stop = stop
        self.onSuperseded = onSuperseded
        lanes = IndexLanes(places: pool.capacity(.index), shared: shared, journal: journal, stop: stop)
    }

    /// Indexes until the service stops.
    ///
    /// - Throws: an error of the list of arrivals. The call may be repeated.
    func run() async throws {
        try await lanes.run(read: { await self.read($0) }, record: { await self.recordEach($0) })
    }

    /// Takes in all instances that were acknowledged since the last call.
    ///
    /// The quiet time of their series counts from now.
    func takeIn() async throws { try await lanes.takeIn() }

    /// The result of indexing an instance.
    private enum Finding: Sendable {
        case image(IndexedInstance, ReceivedInstance)
        case own(InstanceID)
        case notAnImage(InstanceID, uid: String, reason: String)
        case unreadable(InstanceID, reason: String)

        var id: InstanceID {
            switch self {
            case .image(let instance, _): instance.id
            case .own(let id), .notAnImage(let id, _, _), .unreadable(let id, _): id
            }
        }
    }

    /// Asks a worker about the instance of a turn; an error in the making of the finding is a finding, too.
    private func read(_ turn: IndexQueue.Turn) async -> IndexLanes<Finding>.Answer {
        do {
            return try await ask(about: turn)
        } catch {
            return .found(.unreadable(turn.instance.id, reason: "it could not be indexed: \(Reason(error))"))
        }
    }

    private func ask(about turn: IndexQueue.Turn) async throws -> IndexLanes<Finding>.Answer {
        let instance = turn.instance
        let request = WorkRequest.index(
            request: IndexRequest(
                path: instance.path, sopClassUID: instance.sopClassUID, sopInstanceUID: instance.sopInstanceUID,
                largestDataSet: Int(clamping: journal.direct.spool.configuration.maxInstance)))
        var failures = turn.failures
        while true {
            switch try await pool.perform(request) {
            case .response(.indexed(let header, let patientID, let imageDigest, let attributes)):
                let finding = finding(
                    header, patientID: patientID, imageDigest: imageDigest, attributes: attributes.values, instance)
                guard let finding = try await compared(finding) else { return .stopped }
                return .found(finding)
            case .response(.quarantine(let reason)): return .found(.unreadable(instance.id, reason: reason))
            case .response(.hindered(let reason)):
                return failures.addAnother()
                    ? .givenUp(.unreadable(instance.id, reason: reason)) : .failed(failures)
            case .response:
                return .found(
                    .unreadable(instance.id, reason: "the index worker gave the answer to another kind of request"))
            case .stopped: return .stopped
            case .notStarted:
                await Pause.wait(.seconds(2))
                if stop.isSet || Task.isCancelled { return .stopped }
            case .workerDied(let death):
                return failures.add(death) ? .givenUp(killing(instance, "\(death)")) : .failed(failures)
            case .overran(let overrun):
                return failures.addAnother() ? .givenUp(killing(instance, "\(overrun)")) : .failed(failures)
            }
        }
    }

    private func killing(_ instance: ReceivedInstance, _ reason: String) -> Finding {
        .unreadable(instance.id, reason: "reading it kills workers: \(reason)")
    }

    /// Compares an image with the variants that an earlier attempt to record it has found.
    ///
    /// - Returns: `nil` if the node stops.
    private func compared(_ finding: Finding) async throws -> Finding? {
        guard case .image(let image, let received) = finding,
            let variants = variants.withLock({ $0[image.id] })
        else { return finding }
        let comparison = VariantComparison(pool: pool, stop: stop)
        return try await comparison.compared(image, at: received.path, with: variants).map { .image($0, received) }
    }

    private func finding(
        _ header: StoredHeader, patientID: String?, imageDigest: String, attributes: [String: String],
        _ instance: ReceivedInstance
    ) -> Finding {
        if header.namesKontur { return .own(instance.id) }
        if case .notAnImage(let reason) = header.kind {
            return .notAnImage(instance.id, uid: instance.sopInstanceUID, reason: reason)
        }
        // The patient's id is stored only as a keyed hash.
        var image = IndexedInstance(
            id: instance.id, studyInstanceUID: header.studyInstanceUID, seriesInstanceUID: header.seriesInstanceUID,
            modality: header.modality, imageDigest: imageDigest, patientID: patientID, attributes: attributes,
            header: header.encoded)
        image.keyed = journal.direct.keyed(attributes)
        return .image(image, instance)
    }

    /// Records findings, together if possible.
    ///
    /// An instance that the journal refuses is quarantined with the reason, and the others are recorded.
    private func recordEach(_ findings: [Finding]) async {
        do {
            try await record(findings)
        } catch {
            if findings.count > 1 {
                for finding in findings { await recordEach([finding]) }
            } else if let id = findings.first?.id {
                await refuse(id, because: error)
            }
        }
    }

    private func refuse(_ id: InstanceID, because error: any Error) async {
        do {
            try await quarantine(id, reason: "it could not be recorded: \(Reason(error))")
        } catch {
            // The instance stays received in the journal, as `kontur status` shows. The next start tries again.
            logger.error(
                "instance not indexed", metadata: ["instance.id": "\(id.rawValue)", "error": "\(Reason(error))"])
            shared.update { assembly, _ in assembly.settled(id) }
        }
    }

    private func record(_ findings: [Finding]) async throws {
        let images = findings.compactMap { finding in
            if case .image(let image, let received) = finding { (image, received) } else { nil }
        }
        let indexing = try await journal.write { transaction in
            for finding in findings {
                do {
                    switch finding {
                    case .image, .unreadable: break
                    case .own(let id): try transaction.own(id, AuditEvent())
                    case .notAnImage(let id, let uid, let reason):
                        if try transaction.isOurs(uid) {
                            try transaction.own(id, AuditEvent())
                        } else {
                            try transaction.notAnImage(id, AuditEvent(reason: reason))
                        }
                    }
                } catch is StateError {
                    // An earlier run settled the instance, and ended before it could note that.
                }
            }
            return try transaction.indexed(images.map(\.0), AuditEvent())
        }
        guard let indexing else { return }
        shared.update { assembly, now in
            for finding in findings { if case .image = finding {} else { assembly.settled(finding.id) } }
            for other in indexing.others {
                // The receipt of an instance concerns the series that it leaves, too.
                if other.hasLost {
                    assembly.lost(
                        other.instance, from: other.id, modality: other.modality, revision: other.revision, now: now)
                } else if !assembly.contains(other.id) {
                    assembly.found(other.id, modality: other.modality, revision: other.revision, now: now)
                }
            }
            for ((image, _), outcome) in zip(images, indexing.outcomes) {
                switch outcome {
                case .joined(let series, let revision), .reopened(let series, let revision, _):
                    assembly.indexed(
                        image.id, in: series, modality: image.modality, revision: revision, now: now)
                case .sameImage, .older, .own, .gone: assembly.settled(image.id)
                case .compare: break
                }
            }
        }
        for ((image, received), outcome) in zip(images, indexing.outcomes) {
            switch outcome {
            case .compare(let found):
                // An attempt compares all of them again. Otherwise two attempts could ask for each other's variants for
                // ever.
                variants.withLock { $0[image.id, default: []] += found }
                lanes.putBack(received)
            case .reopened(let series, let revision, let superseded):
                reopened(series, revision, superseded)
                forget(image.id)
            default: forget(image.id)
            }
        }
        for other in indexing.others where !other.superseded.isEmpty {
            reopened(other.id, other.revision, other.superseded)
        }
        for case .unreadable(let id, let reason) in findings {
            forget(id)
            try await quarantine(id, reason: reason)
        }
    }

    /// Forgets the variants of an instance that needs no other comparison.
    private func forget(_ id: InstanceID) { variants.withLock { $0[id] = nil } }

    private func reopened(_ series: SeriesID, _ revision: Int, _ superseded: [JobID]) {
        logger.info(
            "series reopened", metadata: ["series.id": "\(series.rawValue)", "series.revision": "\(revision)"])
        onSuperseded(superseded)
    }

    private func quarantine(_ id: InstanceID, reason: String) async throws {
        let direct = journal.direct
        do {
            _ = try await journal.retry { try direct.quarantine(id, AuditEvent(reason: reason)) }
        } catch let error as StateError {
            logger.debug("instance not quarantined", metadata: ["error": "\(error)"])
        }
        shared.update { assembly, _ in assembly.settled(id) }
        logger.warning("instance quarantined", metadata: ["instance.id": "\(id.rawValue)", "reason": "\(reason)"])
    }
}
