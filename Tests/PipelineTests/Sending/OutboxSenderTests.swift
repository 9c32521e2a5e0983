// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Logging
import Persistence
import Pipeline
import Platform
import Synchronization
import TestSupport
import Testing

/// A spool with one object to send, on a disk whose commits can fail.
private struct FullDisk: Sendable {
    let journal: Journal
    let delivery: DeliveryID
    private let room: Room

    /// Number of commits that still succeed.
    private final class Room: Sendable {
        let commits = Mutex(Int.max)
    }

    init(_ folder: URL) throws {
        let room = Room()
        self.room = room
        var calls = DurableCalls.real
        calls.commit = { body in
            let isFull = room.commits.withLock { left in
                if left == 0 { return true }
                left -= 1
                return false
            }
            if isFull { throw SystemCallError(call: "write", code: ENOSPC) }
            try body()
        }
        let spool = try Spool(
            SpoolConfiguration(path: folder.path, minimumFree: 0), access: .node(name: "test"), calls: calls)
        journal = try Journal(spool: spool)
        delivery = try Self.deliver(spool, journal)
    }

    /// Lets this number of commits succeed before the disk is full.
    func fill(after commits: Int) { room.commits.withLock { $0 = commits } }
    func free() { room.commits.withLock { $0 = .max } }

    private static func deliver(_ spool: Spool, _ journal: Journal) throws -> DeliveryID {
        let file = try spool.incomingFile(now: Date())
        try Data("header".utf8).withUnsafeBytes { try file.writeHeader($0) }
        try Data("image".utf8).withUnsafeBytes { try file.append($0) }
        let association = AssociationFacts(
            id: UUID(), callingAETitle: "ENDO1", calledAETitle: "KONTUR", address: "10.1.0.7", peer: "scope")
        let id = try journal.commit(
            file,
            IncomingInstance(
                sopClassUID: ct, sopInstanceUID: "1.2.3.1", transferSyntaxUID: explicit, association: association)
        ).id
        _ = try journal.write { transaction in
            try transaction.indexed(
                [
                    IndexedInstance(
                        id: id, studyInstanceUID: "1.2", seriesInstanceUID: "1.2.3", modality: "CT",
                        imageDigest: "digest", patientID: nil, header: Data("{}".utf8))
                ], AuditEvent())
        }
        let written = spool.workPath + "/object"
        let meta = FileMeta(sopClassUID: ct, sopInstanceUID: "2.25.1", transferSyntaxUID: explicit)
        try (Data(meta.encoded) + dataSet).write(to: URL(fileURLWithPath: written))
        let path = try spool.acceptDerived(written, now: Date())
        return try journal.write { transaction in
            let series = try transaction.openSeries()[0]
            try transaction.closed(series, AuditEvent())
            let stack = try transaction.routed(
                NewStack(series: series.id, revision: 1, key: "stack", instances: [id]), AuditEvent())
            let job = try transaction.queued(stack, kind: "segment", payload: Data(), AuditEvent())
            try transaction.running(job, run: "run", AuditEvent())
            let object = NewDerivedInstance(
                sopClassUID: ct, sopInstanceUID: "2.25.1", transferSyntaxUID: explicit, studyInstanceUID: "1.2",
                seriesInstanceUID: "1.2.9", kind: "strict", path: path, sha256: "feed", size: 4,
                peers: ["archive"])
            return try transaction.done(job, JobResult(outputs: [object], outcome: "segmented"), AuditEvent())[0]
        }
    }

    private static let ct = "1.2.840.10008.5.1.4.1.1.2"
    private static let explicit = "1.2.840.10008.1.2.1"

    /// SOP Class UID and SOP Instance UID.
    private static var dataSet: Data {
        func element(_ number: UInt8, _ value: String) -> Data {
            let bytes = Data(value.utf8) + (value.utf8.count % 2 == 1 ? [0] : [])
            return Data([8, 0, number, 0]) + Data("UI".utf8) + Data([UInt8(bytes.count), 0]) + bytes
        }
        return element(0x16, ct) + element(0x18, "2.25.1")
    }

    /// Runs the outbox beside `body`.
    func send(to archive: RunningListener, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let outbox = OutboxSender(
            requestor: AssociationRequestor(
                aeTitle: RunningListener.them, senders: .tests),
            peers: [Peer(name: "archive", aeTitle: RunningListener.us, host: "127.0.0.1", port: archive.port)],
            journal: journal, clock: .system, logger: .silent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await outbox.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }

    func state() async throws -> DeliveryState? {
        let (journal, delivery) = (journal, delivery)
        return try await DedicatedThread.run(name: "test") { try journal.read { try $0.delivery(delivery)?.state } }
    }

    /// Waits until the delivery is sent.
    func isSent() async throws -> Bool {
        for _ in 0..<200 {
            if try await state() == .sent { return true }
            await Pause.wait(.milliseconds(100))
        }
        return false
    }
}

@Suite struct `Sending with a full disk` {
    /// The number of commits that succeed: none at all, or the offer alone.
    @Test(arguments: [0, 1])
    func `sends an object once, and not before its delivery can be recorded`(commits: Int) async throws {
        try await RunningListener.with { archive in
            try await withTemporaryFolder { folder in
                let disk = try await DedicatedThread.run(name: "test") { try FullDisk(folder) }
                disk.fill(after: commits)
                try await disk.send(to: archive) {
                    await Pause.wait(.seconds(5))
                    let early = try await archive.records(.instancesReceived).count
                    let state = try await disk.state()
                    disk.free()
                    let isSent = try await disk.isSent()
                    let all = try await archive.records(.instancesReceived).count
                    #expect(early == commits && state == .pending)
                    #expect(isSent && all == 1)
                }
            }
        }
    }
}
