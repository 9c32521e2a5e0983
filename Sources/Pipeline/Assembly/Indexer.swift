// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Persistence
import Platform
import Supervision
import Synchronization

/// Has the index worker read every acknowledged instance, in the order of receipt, and records the result.
final class Indexer: Sendable {
    /// Most results in one transaction.
    private static let batch = 64
    /// The pause after a batch that is not full.
    ///
    /// A transaction per result would slow the listener's disk.
    private static let pauseAfterSmallBatch: Duration = .milliseconds(150)
    /// Worker deaths after which a file is quarantined.
    private static let deaths = 3
    /// Deaths of workers that another process killed, after which a file is quarantined.
    ///
    /// The file is rarely the cause of such a death.
    private static let deathsFromOutside = 20

    private struct WaitingInstances: Sendable {
        /// All rows up to this one have been taken in.
        var complete = InstanceID(rawValue: 0)
        /// Rows after `complete` that have been taken in.
        ///
        /// A row with a lower number was not durable yet.
        var taken: Set<InstanceID> = []
        /// Instances that were taken in and are not indexed yet, in the order of receipt.
        var instances: [ReceivedInstance] = []
    }

    private let pool: WorkerPool
    private let shared: SharedSeriesAssembly
    private let journal: RetryingJournal
    private let logger: Logger
    private let stop: StopFlag
    private let onSuperseded: @Sendable ([JobID]) -> Void
    private let waiting = Mutex(WaitingInstances())
    /// Variants with which instances have to be compared before they can be recorded.
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
    }

    /// Indexes until the service stops.
    func run() async throws {
        while !stop.isSet, !Task.isCancelled {
            try await takeIn()
            let next = waiting.withLock { waiting in
                let next = Array(waiting.instances.prefix(Self.batch))
                waiting.instances.removeFirst(next.count)
                return next
            }
            if next.isEmpty {
                await shared.somethingArrived.wait(atMost: nil)
                continue
            }
            var findings: [Finding] = []
            for instance in next {
                guard let finding = await examine(instance) else { return }
                findings.append(finding)
            }
            await recordEach(findings)
            shared.somethingChanged.raise()
            if next.count < Self.batch { await Pause.wait(Self.pauseAfterSmallBatch) }
        }
    }

    /// Takes in all instances that were acknowledged since the last call.
    ///
    /// The quiet time of their series counts from now.
    func takeIn() async throws {
        var cursor = waiting.withLock { $0.complete }
        var gap: InstanceID?
        var isNews = false
        while true {
            let after = cursor
            guard let page = try await journal.read({ try $0.arrivals(after: after) }) else { return }
            guard let last = page.last else { break }
            cursor = last
            gap = gap ?? page.firstUnsettled
            let reached = gap
            let found = waiting.withLock { waiting in
                // The other loop of the assembler may have taken in the same rows meanwhile.
                let new = page.instances.filter { $0.id > waiting.complete && !waiting.taken.contains($0.id) }
                waiting.instances += new
                waiting.taken.formUnion(new.map(\.id))
                let complete = reached.map { InstanceID(rawValue: $0.rawValue - 1) } ?? last
                if complete > waiting.complete {
                    waiting.complete = complete
                    waiting.taken = waiting.taken.filter { $0 > complete }
                }
                shared.update { assembly, now in
                    for instance in new {
                        assembly.received(instance.id, association: instance.association, now: now)
                    }
                }
                return !new.isEmpty
            }
            isNews = isNews || found
        }
        if isNews { shared.somethingArrived.raise() }
    }

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

    /// Asks the worker until it answers, or until the file has killed too many workers.
    ///
    /// - Returns: `nil` if the node stops.
    private func index(_ instance: ReceivedInstance) async throws -> Finding? {
        let request = WorkRequest.index(
            request: IndexRequest(
                path: instance.path, sopClassUID: instance.sopClassUID, sopInstanceUID: instance.sopInstanceUID))
        var own = 0
        var fromOutside = 0
        while true {
            let reason: String
            switch try await pool.perform(request) {
            case .response(.indexed(let header, let imageDigest, let attributes)):
                return try await compared(
                    try finding(header, imageDigest: imageDigest, attributes: attributes, instance))
            case .response(.quarantine(let reason)): return .unreadable(instance.id, reason: reason)
            case .response:
                return .unreadable(instance.id, reason: "the index worker gave the answer to another kind of request")
            case .stopped: return nil
            case .notStarted:
                await Pause.wait(.seconds(2))
                if stop.isSet || Task.isCancelled { return nil }
                continue
            case .workerDied(let death):
                if death.isFromOutside { fromOutside += 1 } else { own += 1 }
                reason = "\(death)"
            case .overran(let overrun):
                own += 1
                reason = "\(overrun)"
            }
            if own >= Self.deaths || fromOutside >= Self.deathsFromOutside {
                return .unreadable(instance.id, reason: "reading it keeps killing workers: \(reason)")
            }
        }
    }

    /// Compares an image with the variants that an earlier attempt to record it has found.
    ///
    /// - Returns: `nil` if the node stops.
    private func compared(_ finding: Finding) async throws -> Finding? {
        guard case .image(let image, let received) = finding,
            let variants = variants.withLock({ $0.removeValue(forKey: image.id) })
        else { return finding }
        let comparison = VariantComparison(pool: pool, stop: stop)
        return try await comparison.compared(image, at: received.path, with: variants).map { .image($0, received) }
    }

    private func finding(
        _ header: InstanceHeader, imageDigest: String, attributes: [String: String], _ instance: ReceivedInstance
    ) throws -> Finding {
        if header.namesKontur { return .own(instance.id) }
        if case .notAnImage(let reason) = header.kind {
            return .notAnImage(instance.id, uid: instance.sopInstanceUID, reason: reason)
        }
        // The patient's id is stored only as a keyed hash.
        var stored = header
        stored.patientID = nil
        let image = IndexedInstance(
            id: instance.id, studyInstanceUID: header.studyInstanceUID, seriesInstanceUID: header.seriesInstanceUID,
            modality: header.modality, imageDigest: imageDigest, patientID: header.patientID, attributes: attributes,
            header: try stored.encoded())
        return .image(image, instance)
    }

    /// The finding about an instance; an error in the making is one, too.
    private func examine(_ instance: ReceivedInstance) async -> Finding? {
        do {
            return try await index(instance)
        } catch {
            return .unreadable(instance.id, reason: "it could not be indexed: \(Reason(error))")
        }
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
                variants.withLock { $0[image.id] = found }
                putBack(received)
            case .reopened(let series, let revision, let superseded): reopened(series, revision, superseded)
            default: break
            }
        }
        for other in indexing.others where !other.superseded.isEmpty {
            reopened(other.id, other.revision, other.superseded)
        }
        for case .unreadable(let id, let reason) in findings { try await quarantine(id, reason: reason) }
    }

    private func reopened(_ series: SeriesID, _ revision: Int, _ superseded: [JobID]) {
        logger.info(
            "series reopened", metadata: ["series.id": "\(series.rawValue)", "series.revision": "\(revision)"])
        onSuperseded(superseded)
    }

    /// Has an instance indexed again, after all others that wait.
    private func putBack(_ instance: ReceivedInstance) {
        waiting.withLock { $0.instances.append(instance) }
        shared.somethingArrived.raise()
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

extension InstanceHeader {
    /// Encodes the header for the journal.
    func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try encoder.encode(self)
    }

    /// Decodes a header of the journal.
    static func decoded(_ data: Data) throws -> InstanceHeader {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(InstanceHeader.self, from: data)
    }
}
