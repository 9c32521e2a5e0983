// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import Synchronization
import Testing

/// A spool with received instances, and objects that the peer "archive" has got and must commit itself to keep.
final class CommitmentSpool: Sendable {
    static let ct = "1.2.840.10008.5.1.4.1.1.2"
    static let segmentation = "1.2.840.10008.5.1.4.1.1.66.4"
    private static let explicit = "1.2.840.10008.1.2.1"

    let journal: Journal
    private let spool: Spool

    init(_ folder: URL, keep: SpoolConfiguration.Keep = .init()) throws {
        spool = try Spool(
            SpoolConfiguration(path: folder.path, minimumFree: 0, keep: keep), access: .node(name: "test"))
        journal = try Journal(spool: spool)
    }

    /// Receives an instance, and returns the path of its file.
    @discardableResult
    func receive(_ uid: String) throws -> (id: InstanceID, path: String) {
        let file = try spool.incomingFile(now: Date())
        try Data("header".utf8).withUnsafeBytes { try file.writeHeader($0) }
        try Data(uid.utf8).withUnsafeBytes { try file.append($0) }
        let path = file.path
        let association = AssociationFacts(
            id: UUID(), callingAETitle: "ENDO1", calledAETitle: "KONTUR", address: "10.1.0.7", peer: "scope")
        let id = try journal.commit(
            file,
            IncomingInstance(
                sopClassUID: Self.ct, sopInstanceUID: uid, transferSyntaxUID: Self.explicit, association: association)
        ).id
        return (id, path)
    }

    /// Makes objects of one series, which the archive has stored.
    func sent(_ uids: [String], commitBy: Duration = .seconds(72 * 3600)) throws -> [DeliveryID] {
        let deadline = try journal.timeLived() + commitBy
        let id = try receive("1.2.3.\(Int.random(in: 1..<(1 << 40)))").id
        let outputs = try uids.map { uid in
            let written = spool.workPath + "/" + UUID().uuidString
            try Data("SEG \(uid)".utf8).write(to: URL(fileURLWithPath: written))
            return NewDerivedInstance(
                sopClassUID: Self.segmentation, sopInstanceUID: uid, transferSyntaxUID: Self.explicit,
                studyInstanceUID: "1.2", seriesInstanceUID: "1.2.9", kind: "strict",
                path: try spool.acceptDerived(written, now: Date()), sha256: "feed", size: 4, peers: ["archive"])
        }
        return try journal.write { transaction in
            _ = try transaction.indexed(
                [
                    IndexedInstance(
                        id: id, studyInstanceUID: "1.2", seriesInstanceUID: "1.2.\(id.rawValue)", modality: "CT",
                        imageDigest: "digest \(id.rawValue)", patientID: nil, header: Data("{}".utf8))
                ], AuditEvent())
            let series = try transaction.openSeries()[0]
            try transaction.closed(series, AuditEvent())
            let stack = try transaction.routed(
                NewStack(series: series.id, revision: 1, key: "stack", instances: [id]), AuditEvent())
            let job = try transaction.queued(stack, kind: "segment", payload: Data(), AuditEvent())
            try transaction.running(job, run: "run", AuditEvent())
            let deliveries = try transaction.done(
                job, JobResult(outputs: outputs, outcome: "segmented"), AuditEvent())
            for id in deliveries { try transaction.sent(id, status: 0, commitBy: deadline, AuditEvent()) }
            return deliveries
        }
    }

    func states(_ ids: [DeliveryID]) throws -> [DeliveryState?] {
        try journal.read { view in try ids.map { try view.delivery($0)?.state } }
    }

    func events() throws -> [String] { try AuditTrail(journal: journal).latest(10_000).reversed().map(\.event) }
}

/// A peer for storage commitment, as a test writes it down.
final class ScriptedPeer: CommitmentCaller {
    /// What happens on an association.
    struct Script: Sendable {
        /// The error instead of an association.
        var refusal: AssociationError?
        /// Answers an N-ACTION.
        var ask: @Sendable (CommitmentRequest) throws(AssociationError) -> DIMSEStatus = { _ in .success }
        /// The results that come on the association of a request.
        var results: @Sendable (CommitmentRequest) -> [CommitmentResult] = { _ in [] }
        /// Answers an N-EVENT-REPORT.
        var report: @Sendable (CommitmentResult) throws(AssociationError) -> DIMSEStatus = { _ in .success }
    }

    let script: Mutex<Script>
    /// Everything that the peer was asked, told and answered, in order.
    let requests = Mutex<[CommitmentRequest]>([])
    let reports = Mutex<[CommitmentResult]>([])
    let answers = Mutex<[DIMSEStatus]>([])
    let calls = Mutex(0)

    init(_ script: Script = Script()) { self.script = Mutex(script) }

    func connect(
        to peer: Peer, _ role: CommitmentRole, interruption: Interruption
    ) throws(AssociationError) -> any CommitmentAssociation {
        calls.withLock { $0 += 1 }
        let script = script.withLock { $0 }
        if let refusal = script.refusal { throw refusal }
        return Association(peer: self, script: script)
    }

    /// The result that commits to everything in a request.
    static func all(_ request: CommitmentRequest) -> CommitmentResult {
        CommitmentResult(transactionUID: request.transactionUID, committed: request.references)
    }

    /// The result that commits to nothing in a request.
    static func nothing(_ request: CommitmentRequest, _ reason: CommitmentFailureReason) -> CommitmentResult {
        CommitmentResult(
            transactionUID: request.transactionUID, committed: [],
            failed: request.references.map { CommitmentFailure($0, reason) })
    }

    private final class Association: CommitmentAssociation {
        private let peer: ScriptedPeer
        private let script: Script
        private var waiting: [CommitmentResult] = []

        init(peer: ScriptedPeer, script: Script) {
            self.peer = peer
            self.script = script
        }

        func ask(_ request: CommitmentRequest) throws(AssociationError) -> DIMSEStatus {
            peer.requests.withLock { $0.append(request) }
            let status = try script.ask(request)
            waiting = script.results(request)
            return status
        }

        func report(_ result: CommitmentResult) throws(AssociationError) -> DIMSEStatus {
            peer.reports.withLock { $0.append(result) }
            return try script.report(result)
        }

        func told(within limit: Duration) throws(AssociationError) -> CommitmentResult? {
            waiting.isEmpty ? nil : waiting.removeFirst()
        }

        func answer(_ status: DIMSEStatus) throws(AssociationError) { peer.answers.withLock { $0.append(status) } }
        func release() {}
    }
}

/// An association that a peer has requested.
final class ScriptedOrigin: ReportingAssociation {
    let reports = Mutex<[CommitmentResult]>([])
    private let status: DIMSEStatus?

    /// `status` answers a report; `nil` is the answer of an association that is over.
    init(_ status: DIMSEStatus?) { self.status = status }

    func report(_ result: CommitmentResult) -> DIMSEStatus? {
        if status != nil { reports.withLock { $0.append(result) } }
        return status
    }
}

/// Both services of storage commitment beside a spool and a peer.
struct RunningCommitment: Sendable {
    let spool: CommitmentSpool
    let peer: ScriptedPeer
    let commitment: StorageCommitment
    let lost = LostCount()

    /// Counts calls of `onLost`.
    final class LostCount: Sendable {
        let count = Mutex(0)
    }

    /// Times that let a test end within seconds.
    static var quick: CommitmentLimits {
        var limits = CommitmentLimits()
        limits.polling = .milliseconds(100)
        limits.gathering = .milliseconds(50)
        limits.patience = .milliseconds(500)
        limits.courtesy = .milliseconds(50)
        limits.answer = Backoff(shortest: .seconds(3600), longest: .seconds(7200))
        limits.again = Backoff(shortest: .milliseconds(100), longest: .milliseconds(200))
        limits.unreachable = Backoff(shortest: .milliseconds(100), longest: .milliseconds(200))
        return limits
    }

    static func archive(commitment: Bool = true, isCallable: Bool = true) -> Peer {
        guard let title = AETitle("ARCHIVE") else { preconditionFailure("a constant") }
        return Peer(
            name: "archive", aeTitle: title, host: isCallable ? "127.0.0.1" : nil, port: isCallable ? 104 : nil,
            commitment: commitment)
    }

    init(
        _ spool: CommitmentSpool, _ peer: ScriptedPeer, archive: Peer = Self.archive(),
        limits: CommitmentLimits = Self.quick
    ) {
        self.spool = spool
        self.peer = peer
        let lost = lost
        commitment = StorageCommitment(
            caller: peer, peers: [archive], journal: spool.journal, clock: .system, limits: limits, logger: .silent
        ) {
            lost.count.withLock { $0 += 1 }
        }
    }

    /// Runs the services beside `body`.
    func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in commitment.services { group.addTask { try await service.run() } }
            do {
                try await body()
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
        }
    }

    /// Runs `body` on a thread that may block.
    func look<Result: Sendable>(_ body: @escaping @Sendable (CommitmentSpool) throws -> Result) async throws -> Result {
        let spool = spool
        return try await DedicatedThread.run(name: "test") { try body(spool) }
    }

    /// Whether a condition becomes true within twenty seconds.
    func eventually(_ condition: @escaping @Sendable (CommitmentSpool) throws -> Bool) async throws -> Bool {
        for _ in 0..<400 {
            if try await look(condition) { return true }
            await Pause.wait(.milliseconds(50))
        }
        return false
    }
}
