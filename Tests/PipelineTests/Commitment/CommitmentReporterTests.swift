// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct `Answering peers about instances` {
    private typealias Script = ScriptedPeer.Script

    private func run(
        _ script: Script = Script(), archive: Peer = RunningCommitment.archive(),
        limits: CommitmentLimits = RunningCommitment.quick,
        _ body: @escaping @Sendable (RunningCommitment) async throws -> Void
    ) async throws {
        try await withTemporaryFolder { folder in
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder) }
            let running = RunningCommitment(spool, ScriptedPeer(script), archive: archive, limits: limits)
            try await running.run { try await body(running) }
        }
    }

    private static func ask(
        _ running: RunningCommitment, _ uids: [String], transaction: String = "1.2.9",
        sopClass: String = CommitmentSpool.ct, over origin: ScriptedOrigin = ScriptedOrigin(nil),
        by peer: Peer = RunningCommitment.archive()
    ) async throws -> UInt16 {
        let request = CommitmentRequest(
            transactionUID: transaction,
            references: uids.map { SOPReference(sopClassUID: sopClass, sopInstanceUID: $0) })
        return try await running.look { _ in
            running.commitment.asked(request, by: peer, address: .anyIPv4, over: origin).rawValue
        }
    }

    @Test func `the report is true, and goes over the same association while that is open`() async throws {
        try await run { running async throws in
            let (gone, cut, _) = try await running.look { spool in
                (try spool.receive("1.1").path, try spool.receive("1.2").path, try spool.receive("1.3"))
            }
            try FileManager.default.removeItem(atPath: gone)
            try Data("cut".utf8).write(to: URL(fileURLWithPath: cut))
            let origin = ScriptedOrigin(.success)
            #expect(try await Self.ask(running, ["1.1", "1.2", "1.3", "1.4"], over: origin) == 0)
            #expect(try await running.eventually { _ in origin.reports.withLock { $0.count } == 1 })
            let result = origin.reports.withLock { $0[0] }
            #expect(result.transactionUID == "1.2.9")
            #expect(result.committed.map(\.sopInstanceUID) == ["1.3"])
            let reasons = result.failed.map { [$0.reference.sopInstanceUID, "\($0.reason)"] }
            #expect(
                reasons == [
                    ["1.1", "processing failure (0110)"], ["1.2", "processing failure (0110)"],
                    ["1.4", "no such object instance (0112)"],
                ])
            #expect(try await running.eventually { try $0.events().last == "commitmentReported" })
            #expect(running.peer.calls.withLock { $0 } == 0)
        }
    }

    @Test func `an instance of another SOP class is a conflict`() async throws {
        try await run { running async throws in
            _ = try await running.look { try $0.receive("1.1") }
            let status = try await Self.ask(running, ["1.1"], sopClass: CommitmentSpool.segmentation)
            #expect(status == 0)
            #expect(try await running.eventually { _ in running.peer.reports.withLock { $0.count } == 1 })
            #expect(running.peer.reports.withLock { $0[0].failed.map(\.reason) } == [.classInstanceConflict])
        }
    }

    @Test func `the report goes over a new association if the peer has gone, and is tried again`() async throws {
        let script = Script(report: { _ throws(AssociationError) in throw .connectionLost(reason: "reset") })
        try await run(script) { running async throws in
            _ = try await running.look { try $0.receive("1.1") }
            #expect(try await Self.ask(running, ["1.1"]) == 0)
            #expect(try await running.eventually { try $0.events().contains("commitmentReportDelayed") })
            running.peer.script.withLock { $0 = Script() }
            #expect(try await running.eventually { try $0.events().last == "commitmentReported" })
            let results = running.peer.reports.withLock { $0 }
            #expect(results.count >= 2 && results.allSatisfy { $0 == results[0] })
        }
    }

    @Test func `a report is given up after its time, or if the peer cannot be called`() async throws {
        var limits = RunningCommitment.quick
        limits.longest = .milliseconds(300)
        let script = Script(refusal: .notConnected(host: "127.0.0.1", port: 104, reason: "refused"))
        try await run(script, limits: limits) { running async throws in
            #expect(try await Self.ask(running, ["1.1"]) == 0)
            #expect(try await running.eventually { try $0.events().last == "commitmentReportUndeliverable" })
        }
        try await run(archive: RunningCommitment.archive(isCallable: false)) { running async throws in
            #expect(try await Self.ask(running, ["1.1"]) == 0)
            #expect(try await running.eventually { try $0.events().last == "commitmentReportUndeliverable" })
        }
    }

    @Test func `a report survives the end of the node`() async throws {
        try await withTemporaryFolder { folder in
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder) }
            // The services do not run: the node ends after the N-ACTION was answered.
            let before = RunningCommitment(spool, ScriptedPeer())
            #expect(try await Self.ask(before, ["1.1"]) == 0)
            let after = RunningCommitment(spool, ScriptedPeer())
            try await after.run { () async throws in
                #expect(try await after.eventually { _ in after.peer.reports.withLock { $0.count } == 1 })
                #expect(try await after.eventually { try $0.events().last == "commitmentReported" })
            }
        }
    }

    @Test func `requests beyond a bound, with a used UID or without sense are refused and recorded`() async throws {
        var limits = RunningCommitment.quick
        limits.mostAsked = 3
        limits.mostOpen = 2
        let script = Script(report: { _ throws(AssociationError) in throw .connectionLost(reason: "reset") })
        try await run(script, limits: limits) { running async throws in
            #expect(try await Self.ask(running, ["1.1"], transaction: "1.5") == 0)
            #expect(try await Self.ask(running, ["1.1"], transaction: "1.5") == 0)
            #expect(try await Self.ask(running, ["1.2"], transaction: "1.5") == 0x0131)
            #expect(try await Self.ask(running, ["1.1", "1.2", "1.3", "1.4"], transaction: "1.6") == 0x0213)
            #expect(try await Self.ask(running, [], transaction: "1.6") == 0x0115)
            #expect(try await Self.ask(running, ["1.1"], transaction: "../../etc") == 0x0115)
            #expect(try await Self.ask(running, ["DOE^JOHN"], transaction: "1.6") == 0x0115)
            var guest = RunningCommitment.archive()
            guest.may = [.echo]
            #expect(try await Self.ask(running, ["1.1"], transaction: "1.6", by: guest) == 0x0124)
            #expect(try await Self.ask(running, ["1.1"], transaction: "1.6") == 0)
            #expect(try await Self.ask(running, ["1.1"], transaction: "1.7") == 0x0213)
            #expect(try await running.look { try $0.events() }.count { $0 == "commitmentReceived" } == 2)
            let refused = try await running.look { spool in
                try AuditTrail(journal: spool.journal).latest(10_000).filter { $0.event == "commitmentRefused" }
            }
            #expect(refused.count >= 4 && !refused.contains { $0.reason?.contains("DOE") == true })
        }
    }

    @Test func `a committed instance begins its keep time anew`() async throws {
        try await withTemporaryFolder { folder in
            let keep = SpoolConfiguration.Keep(done: .seconds(2), unmatched: .seconds(2), quarantined: .seconds(2))
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder, keep: keep) }
            let running = RunningCommitment(spool, ScriptedPeer())
            try await running.run { () async throws in
                try await running.look { spool in
                    let id = try spool.receive("1.1").id
                    try spool.journal.write { try $0.notAnImage(id, AuditEvent()) }
                }
                await Pause.wait(.milliseconds(3500))
                #expect(try await Self.ask(running, ["1.1"]) == 0)
                #expect(try await running.eventually { try $0.events().last == "commitmentReported" })
                // The note of a clock is precise to a second.
                let deleted = try await running.look { try Retention(journal: $0.journal).run().instances }
                #expect(deleted == 0 && running.peer.reports.withLock { $0[0].committed.count } == 1)
                #expect(
                    try await running.eventually { try Retention(journal: $0.journal).run().instances == 1 })
            }
        }
    }
}
