// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct `Asking peers for commitment` {
    private typealias Script = ScriptedPeer.Script

    /// Runs both services on a new spool with two sent objects.
    private func run(
        _ script: Script, archive: Peer = RunningCommitment.archive(),
        limits: CommitmentLimits = RunningCommitment.quick, commitBy: Duration = .seconds(3600),
        _ body: @escaping @Sendable (RunningCommitment, [DeliveryID]) async throws -> Void
    ) async throws {
        try await withTemporaryFolder { folder in
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder) }
            let running = RunningCommitment(spool, ScriptedPeer(script), archive: archive, limits: limits)
            let ids = try await running.look { try $0.sent(["2.25.1", "2.25.2"], commitBy: commitBy) }
            try await running.run { try await body(running, ids) }
        }
    }

    private static func tell(_ running: RunningCommitment, _ result: CommitmentResult) async throws -> DIMSEStatus {
        try await running.look { _ in
            running.commitment.told(result, by: RunningCommitment.archive(), address: .anyIPv4)
        }
    }

    @Test func `one request is about all objects, and its result comes on the same association`() async throws {
        try await run(Script(results: { [ScriptedPeer.all($0)] })) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.states(ids) == [.committed, .committed] })
            let requests = running.peer.requests.withLock { $0 }
            #expect(requests.count == 1 && requests[0].references.map(\.sopInstanceUID) == ["2.25.1", "2.25.2"])
            #expect(UID(requests[0].transactionUID) != nil)
            #expect(running.peer.answers.withLock { $0 } == [.success])
        }
    }

    @Test func `the result may come later on an association that the peer requests, and twice`() async throws {
        try await run(Script()) { (running, ids) async throws in
            let isAsked = try await running.eventually { _ in running.peer.requests.withLock { $0.count } == 1 }
            try #require(isAsked)
            let request = running.peer.requests.withLock { $0[0] }
            for _ in 1...2 { #expect(try await Self.tell(running, ScriptedPeer.all(request)) == .success) }
            #expect(try await running.look { try $0.states(ids) } == [.committed, .committed])
            #expect(try await running.look { try $0.events() }.count { $0 == "commitmentAnswered" } == 1)
        }
    }

    @Test func `a result with a foreign Transaction UID is refused and recorded`() async throws {
        try await run(Script()) { (running, ids) async throws in
            let isAsked = try await running.eventually { _ in running.peer.requests.withLock { $0.count } == 1 }
            try #require(isAsked)
            let foreign = CommitmentResult(
                transactionUID: "1.2.3", committed: running.peer.requests.withLock { $0[0].references })
            #expect(try await Self.tell(running, foreign).rawValue == 0x0115)
            #expect(try await running.look { try $0.states(ids) } == [.sent, .sent])
            #expect(try await running.look { try $0.events() }.last == "commitmentRefused")
            // Another peer cannot answer for the archive.
            let request = running.peer.requests.withLock { $0[0] }
            let status = try await running.look { _ in
                var other = RunningCommitment.archive()
                other.name = "other"
                return running.commitment.told(ScriptedPeer.all(request), by: other, address: .anyIPv4)
            }
            #expect(status.rawValue == 0x0115)
        }
    }

    @Test func `an object that the peer has lost is sent again, and the other one is committed`() async throws {
        let script = Script(results: { request in
            [
                CommitmentResult(
                    transactionUID: request.transactionUID, committed: [request.references[0]],
                    failed: [CommitmentFailure(request.references[1], .noSuchObjectInstance)])
            ]
        })
        try await run(script) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.states(ids) == [.committed, .pending] })
            #expect(running.lost.count.withLock { $0 } == 1)
        }
    }

    @Test func `a request without an answer expires, and another one follows`() async throws {
        var limits = RunningCommitment.quick
        limits.answer = Backoff(shortest: .milliseconds(300), longest: .seconds(1))
        try await run(Script(), limits: limits) { (running, ids) async throws in
            let isAsked = try await running.eventually { _ in running.peer.requests.withLock { $0.count } >= 2 }
            try #require(isAsked)
            let requests = running.peer.requests.withLock { $0 }
            #expect(Set(requests.map(\.transactionUID)).count == requests.count)
            // The first one is answered late.
            #expect(try await Self.tell(running, ScriptedPeer.all(requests[0])) == .success)
            #expect(try await running.look { try $0.states(ids) } == [.committed, .committed])
        }
    }

    @Test func `a peer that never answers ends in dead deliveries with a reason`() async throws {
        var limits = RunningCommitment.quick
        limits.answer = Backoff(shortest: .milliseconds(100), longest: .milliseconds(200))
        try await run(Script(), limits: limits, commitBy: .seconds(1)) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.states(ids) == [.dead, .dead] })
            let why = try await running.look { try $0.journal.read { try $0.delivery(ids[0])?.why } }
            #expect(why == "not committed in 72 hours: the peer did not answer the request in time")
        }
    }

    @Test func `a peer that cannot be reached is called again, and its deliveries are dead after their time`()
        async throws
    {
        let refusal = AssociationError.notConnected(host: "127.0.0.1", port: 104, reason: "refused")
        try await run(Script(refusal: refusal)) { (running, ids) async throws in
            #expect(try await running.eventually { _ in running.peer.calls.withLock { $0 } >= 2 })
            #expect(try await running.look { try $0.states(ids) } == [.sent, .sent])
        }
        try await run(Script(refusal: refusal), commitBy: .zero) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.states(ids) == [.dead, .dead] })
            #expect(running.peer.requests.withLock { $0 }.isEmpty)
        }
    }

    @Test(arguments: [0x0122, 0x0124] as [UInt16])
    func `a peer without the service ends in dead deliveries at once`(status: UInt16) async throws {
        try await run(Script(ask: { _ in DIMSEStatus(rawValue: status) })) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.states(ids) == [.dead, .dead] })
        }
    }

    @Test func `a peer that fails is asked again with another Transaction UID`() async throws {
        let script = Script(ask: { _ in DIMSEStatus(rawValue: 0x0110) })
        try await run(script) { (running, ids) async throws in
            let isAsked = try await running.eventually { _ in running.peer.requests.withLock { $0.count } >= 2 }
            try #require(isAsked)
            running.peer.script.withLock { $0 = Script(results: { [ScriptedPeer.all($0)] }) }
            #expect(try await running.eventually { try $0.states(ids) == [.committed, .committed] })
            let requests = running.peer.requests.withLock { $0 }
            #expect(Set(requests.map(\.transactionUID)).count == requests.count)
        }
    }

    @Test func `deliveries are closed if the configuration does not ask their peer any more`() async throws {
        try await run(Script(), archive: RunningCommitment.archive(commitment: false)) { (running, ids) async throws in
            #expect(try await running.eventually { try $0.journal.read { try $0.uncommittedPeers() }.isEmpty })
            #expect(try await running.look { try $0.states(ids) } == [.sent, .sent])
            #expect(running.peer.calls.withLock { $0 } == 0)
        }
    }

    /// The steps of a request at which the node ends.
    enum Step: CaseIterable, Sendable {
        /// The row is written, and the N-ACTION is on its way.
        case asking
        /// The peer has taken the request.
        case confirmed
    }

    @Test(arguments: Step.allCases)
    func `the end of the node loses no request, and repeats only one that the peer may not have`(
        step: Step
    ) async throws {
        try await withTemporaryFolder { folder in
            let first = ScriptedPeer(
                Script(ask: { _ throws(AssociationError) in
                    guard step == .asking else { return .success }
                    // The node is gone before the answer comes.
                    Thread.sleep(forTimeInterval: 1)
                    throw .connectionLost(reason: "the node is stopping")
                }))
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder) }
            var running: RunningCommitment? = RunningCommitment(spool, first)
            let ids = try await DedicatedThread.run(name: "test") { try spool.sent(["2.25.1"]) }
            try await running?.run { [running] in
                let isAsked = try await running?.eventually { spool in
                    guard let request = first.requests.withLock({ $0.first }) else { return false }
                    let found = try spool.journal.read { view in
                        (
                            try view.commitmentRequest(request.transactionUID, to: "archive"),
                            try view.unconfirmedRequests()
                        )
                    }
                    return found.0 != nil && found.1.isEmpty == (step == .confirmed)
                }
                try #require(isAsked == true)
            }
            running = nil
            let second = ScriptedPeer(Script(results: { [ScriptedPeer.all($0)] }))
            let next = RunningCommitment(spool, second)
            try await next.run { () async throws in
                switch step {
                case .asking:
                    #expect(try await next.eventually { try $0.states(ids) == [.committed] })
                    #expect(second.requests.withLock { $0 }.count == 1)
                case .confirmed:
                    await Pause.wait(.seconds(1))
                    #expect(second.calls.withLock { $0 } == 0)
                    let request = first.requests.withLock { $0[0] }
                    #expect(try await Self.tell(next, ScriptedPeer.all(request)) == .success)
                    #expect(try await next.look { try $0.states(ids) } == [.committed])
                }
            }
        }
    }

    @Test func `a delivery is closed only if it is committed, or dead with a reason, whatever the peer does`()
        async throws
    {
        var limits = RunningCommitment.quick
        limits.answer = Backoff(shortest: .milliseconds(100), longest: .milliseconds(300))
        let script = Script(
            ask: { _ throws(AssociationError) in
                switch Int.random(in: 0..<6) {
                case 0: throw .connectionLost(reason: "reset")
                case 1: return DIMSEStatus(rawValue: 0x0110)
                default: return .success
                }
            },
            results: { request in
                let reasons: [CommitmentFailureReason] = [
                    .noSuchObjectInstance, .processingFailure, .resourceLimitation, .classInstanceConflict,
                ]
                var committed: [SOPReference] = []
                var failed: [CommitmentFailure] = []
                for reference in request.references {
                    switch Int.random(in: 0..<6) {
                    case 0: break
                    case 1: failed.append(CommitmentFailure(reference, reasons.randomElement() ?? .processingFailure))
                    case 2:
                        failed.append(CommitmentFailure(reference, .noSuchObjectInstance))
                        committed.append(reference)
                    default: committed.append(reference)
                    }
                }
                let result = CommitmentResult(
                    transactionUID: request.transactionUID, committed: committed, failed: failed)
                let foreign = CommitmentResult(transactionUID: "1.2.3", committed: request.references)
                return [[], [result], [result, result], [foreign, result]].randomElement() ?? []
            })
        let uids = (1...30).map { "2.25.\($0)" }
        try await withTemporaryFolder { folder in
            let spool = try await DedicatedThread.run(name: "test") { try CommitmentSpool(folder) }
            let running = RunningCommitment(spool, ScriptedPeer(script), limits: limits)
            let ids = try await running.look { try $0.sent(uids, commitBy: .seconds(4)) }
            try await running.run { () async throws in
                let isOver = try await running.eventually { spool in
                    // The outbox sends a lost object again.
                    let by = try spool.journal.timeLived() + .seconds(4)
                    try spool.journal.write { transaction in
                        for delivery in try transaction.pendingDeliveries() {
                            try transaction.sent(delivery.id, status: 0, commitBy: by, AuditEvent())
                        }
                    }
                    return try spool.states(ids).allSatisfy { $0 == .committed || $0 == .dead }
                }
                #expect(isOver)
                let dead = try await running.look { spool in
                    try spool.journal.read { view in
                        try ids.compactMap { try view.delivery($0) }.filter { $0.state == .dead }
                    }
                }
                #expect(dead.allSatisfy { $0.why?.isEmpty == false && $0.object.path != nil })
                let trail = try await running.look { spool in
                    try AuditTrail(journal: spool.journal).latest(10_000).map { ($0.event, $0.instancesOut) }
                }
                for uid in uids {
                    let ends = trail.filter { $0.1 == uid && ["deliveryCommitted", "deliveryDead"].contains($0.0) }
                    #expect(ends.count == 1, "\(uid) ends once")
                }
            }
        }
    }
}
