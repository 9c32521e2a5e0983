// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Logging
import Persistence
import Platform
import Supervision
import Synchronization

/// Has every acknowledged instance read by the index worker, in the order of receipt, and records what it is.
final class Indexer: Sendable {
    /// Results that share one transaction.
    private static let batch = 64
    /// How long results wait for company when there are few: a transaction for each would cost the listener its disk.
    private static let company: Duration = .milliseconds(150)
    /// Deaths of workers after which a file is quarantined: by its own doing, or killed from outside, which says little.
    private static let deaths = 3
    private static let deathsFromOutside = 20

    private struct Waiting: Sendable {
        /// Up to here every row has been taken in.
        var complete = InstanceID(rawValue: 0)
        /// Rows beyond that were taken in: one with a lower number was not durable yet.
        var taken: Set<InstanceID> = []
        /// Taken in and not yet indexed, in the order of receipt.
        var instances: [ReceivedInstance] = []
    }

    private let pool: WorkerPool
    private let board: AssemblyBoard
    private let perseverance: Perseverance
    private let logger: Logger
    private let stop: StopFlag
    private let onSuperseded: @Sendable ([JobID]) -> Void
    private let waiting = Mutex(Waiting())

    init(
        pool: WorkerPool, board: AssemblyBoard, perseverance: Perseverance, logger: Logger, stop: StopFlag,
        onSuperseded: @escaping @Sendable ([JobID]) -> Void
    ) {
        self.pool = pool
        self.board = board
        self.perseverance = perseverance
        self.logger = logger
        self.stop = stop
        self.onSuperseded = onSuperseded
    }

    func run() async throws {
        while !stop.isSet, !Task.isCancelled {
            try await takeIn()
            let next = waiting.withLock { waiting in
                let next = Array(waiting.instances.prefix(Self.batch))
                waiting.instances.removeFirst(next.count)
                return next
            }
            if next.isEmpty {
                await board.somethingArrived.wait(atMost: nil)
                continue
            }
            var findings: [Finding] = []
            for instance in next {
                guard let finding = try await index(instance) else { return }
                findings.append(finding)
            }
            do {
                try await record(findings)
            } catch {
                // They stay received in the journal, and the next start tries again; the others shall not wait for them.
                logger.error(
                    "instances not indexed", metadata: ["instances": "\(findings.count)", "error": "\(error)"])
                board.update { assembly, _ in for finding in findings { assembly.settled(finding.id) } }
            }
            board.somethingChanged.raise()
            if next.count < Self.batch { await Pause.wait(Self.company) }
        }
    }

    /// Takes note of all instances acknowledged since the last time, and when: their quiet time counts from now.
    func takeIn() async throws {
        var cursor = waiting.withLock { $0.complete }
        var gap: InstanceID?
        var isNews = false
        while true {
            let after = cursor
            guard let page = try await perseverance.read({ try $0.arrivals(after: after) }) else { return }
            guard let last = page.last else { break }
            cursor = last
            gap = gap ?? page.firstUnsettled
            let reached = gap
            let found = waiting.withLock { waiting in
                // The other loop of the assembler may have been quicker.
                let new = page.instances.filter { $0.id > waiting.complete && !waiting.taken.contains($0.id) }
                waiting.instances += new
                waiting.taken.formUnion(new.map(\.id))
                let complete = reached.map { InstanceID(rawValue: $0.rawValue - 1) } ?? last
                if complete > waiting.complete {
                    waiting.complete = complete
                    waiting.taken = waiting.taken.filter { $0 > complete }
                }
                board.update { assembly, now in
                    for instance in new {
                        assembly.received(instance.id, association: instance.association, now: now)
                    }
                }
                return !new.isEmpty
            }
            isNews = isNews || found
        }
        if isNews { board.somethingArrived.raise() }
    }

    /// What an instance turned out to be.
    private enum Finding: Sendable {
        case image(IndexedInstance)
        case own(InstanceID)
        case notAnImage(InstanceID, uid: String, reason: String)
        case unreadable(InstanceID, reason: String)

        var id: InstanceID {
            switch self {
            case .image(let instance): instance.id
            case .own(let id), .notAnImage(let id, _, _), .unreadable(let id, _): id
            }
        }
    }

    /// Asks the worker until it answers, or the file has killed too many; `nil` when the node stops.
    private func index(_ instance: ReceivedInstance) async throws -> Finding? {
        let request = WorkRequest.index(
            request: IndexRequest(
                path: instance.path, sopClassUID: instance.sopClassUID, sopInstanceUID: instance.sopInstanceUID))
        var own = 0
        var fromOutside = 0
        while true {
            let reason: String
            switch try await pool.perform(request) {
            case .response(.indexed(let header, let imageDigest)):
                return try finding(header, imageDigest: imageDigest, instance)
            case .response(.quarantine(let reason)): return .unreadable(instance.id, reason: reason)
            case .response: return .unreadable(instance.id, reason: "the index worker gave another answer")
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
                reason = "the worker overran its limit: \(overrun.rawValue)"
            }
            if own >= Self.deaths || fromOutside >= Self.deathsFromOutside {
                return .unreadable(instance.id, reason: "reading it keeps killing workers: \(reason)")
            }
        }
    }

    private func finding(
        _ header: InstanceHeader, imageDigest: String, _ instance: ReceivedInstance
    ) throws -> Finding {
        if header.namesKontur { return .own(instance.id) }
        if case .notAnImage(let reason) = header.kind {
            return .notAnImage(instance.id, uid: instance.sopInstanceUID, reason: reason)
        }
        // The patient's id goes into a keyed hash and nowhere else.
        var stored = header
        stored.patientID = nil
        return .image(
            IndexedInstance(
                id: instance.id, studyInstanceUID: header.studyInstanceUID,
                seriesInstanceUID: header.seriesInstanceUID, modality: header.modality,
                imageDigest: imageDigest, patientID: header.patientID, header: try stored.encoded()))
    }

    private func record(_ findings: [Finding]) async throws {
        let images = findings.compactMap { if case .image(let instance) = $0 { instance } else { nil } }
        let outcomes = try await perseverance.write { transaction in
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
                    // Settled already, by a run that ended before it could say so.
                }
            }
            return try transaction.indexed(images, AuditEvent())
        }
        guard let outcomes else { return }
        board.update { assembly, now in
            for finding in findings { if case .image = finding {} else { assembly.settled(finding.id) } }
            for (image, outcome) in zip(images, outcomes) {
                switch outcome {
                case .joined(let series, let revision), .reopened(let series, let revision, _):
                    assembly.indexed(
                        image.id, in: series, modality: image.modality, revision: revision, now: now)
                case .sameImage, .older, .own, .gone: assembly.settled(image.id)
                }
            }
        }
        for case .reopened(let series, let revision, let superseded) in outcomes {
            logger.info(
                "series reopened", metadata: ["series.id": "\(series.rawValue)", "series.revision": "\(revision)"])
            onSuperseded(superseded)
        }
        for case .unreadable(let id, let reason) in findings { try await quarantine(id, reason: reason) }
    }

    private func quarantine(_ id: InstanceID, reason: String) async throws {
        let journal = perseverance.journal
        do {
            _ = try await perseverance.insist { try journal.quarantine(id, AuditEvent(reason: reason)) }
        } catch let error as StateError {
            logger.debug("instance not quarantined", metadata: ["error": "\(error)"])
        }
        board.update { assembly, _ in assembly.settled(id) }
        logger.warning("instance quarantined", metadata: ["instance.id": "\(id.rawValue)", "reason": "\(reason)"])
    }
}

extension InstanceHeader {
    /// As it is kept in the journal.
    func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try encoder.encode(self)
    }

    /// Reads what `encoded` made.
    static func decoded(_ data: Data) throws -> InstanceHeader {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(InstanceHeader.self, from: data)
    }
}
