// SPDX-License-Identifier: Apache-2.0

import Associations
import Foundation
import Persistence
import Pipeline
import Platform
import TestSupport
import Testing

@Suite struct `A commitment verdict` {
    /// One delivery after some losses, and the request about it.
    private struct Case {
        let journal: Journal
        let request: StoredCommitmentRequest
        let reference = SOPReference(sopClassUID: CommitmentSpool.segmentation, sopInstanceUID: "2.25.1")

        /// - Parameter isLate: whether another request about the delivery follows.
        init(_ folder: URL, losses: Int = 0, isLate: Bool = false) throws {
            let spool = try CommitmentSpool(folder)
            journal = spool.journal
            let id = try spool.sent(["2.25.1"], commitBy: .seconds(100))[0]
            let by = try journal.timeLived() + .seconds(100)
            for _ in 0..<losses {
                try journal.write { transaction in
                    try transaction.lost(id, AuditEvent())
                    try transaction.sent(id, status: 0, commitBy: by, AuditEvent())
                }
            }
            try journal.write { transaction in
                let asked = try transaction.commitmentAsked("7.1", of: "archive", [id], deadline: by, AuditEvent())
                guard isLate, let (first, _) = asked else { return }
                _ = try transaction.commitmentExpired(first, AuditEvent())
                try transaction.askedAgain(id, after: .zero, AuditEvent())
                _ = try transaction.commitmentAsked("7.2", of: "archive", [id], deadline: by, AuditEvent())
            }
            request = try #require(try journal.read { try $0.commitmentRequest("7.1", to: "archive") })
        }

        /// The verdict about the delivery; `nil` if it does not change.
        func verdict(committed: [SOPReference] = [], failed: [CommitmentFailure] = [], isOver: Bool = false) throws
            -> CommitmentVerdict?
        {
            let time = try journal.timeLived() + (isOver ? .seconds(200) : .zero)
            return CommitmentVerdict.judge(
                CommitmentResult(transactionUID: "7.1", committed: committed, failed: failed), of: request, at: time
            ).first?.verdict
        }

        func kind(_ reason: CommitmentFailureReason, isOver: Bool = false) throws -> String? {
            try verdict(failed: [CommitmentFailure(reference, reason)], isOver: isOver).map(Self.kind)
        }

        static func kind(_ verdict: CommitmentVerdict) -> String {
            switch verdict {
            case .committed: "committed"
            case .lost: "lost"
            case .askAgain: "askAgain"
            case .dead: "dead"
            }
        }
    }

    private func with(_ body: @escaping @Sendable (URL) throws -> Void) async throws {
        try await withTemporaryFolder { folder in try await DedicatedThread.run(name: "test") { try body(folder) } }
    }

    @Test func `follows from the reason of a failure, the losses and the time`() async throws {
        try await with { folder in
            let found = try Case(folder)
            #expect(try found.verdict(committed: [found.reference]) == .committed)
            #expect(try found.kind(.noSuchObjectInstance) == "lost")
            for reason: CommitmentFailureReason in [.classInstanceConflict, .sopClassNotSupported] {
                #expect(try found.kind(reason) == "dead")
            }
            let other = CommitmentFailureReason(rawValue: 0xBEEF)
            for reason in [.processingFailure, .resourceLimitation, .duplicateTransactionUID, other] {
                #expect(try found.kind(reason) == "askAgain")
                #expect(try found.kind(reason, isOver: true) == "dead")
            }
            // Left out, of another class, or in both lists.
            #expect(try found.verdict().map(Case.kind) == "askAgain")
            let image = SOPReference(sopClassUID: CommitmentSpool.ct, sopInstanceUID: "2.25.1")
            #expect(try found.verdict(committed: [image]).map(Case.kind) == "askAgain")
            let failure = CommitmentFailure(found.reference, .noSuchObjectInstance)
            #expect(try found.verdict(committed: [found.reference], failed: [failure]).map(Case.kind) == "lost")
        }
    }

    @Test func `ends a delivery that the peer loses again and again`() async throws {
        try await with { folder in
            let found = try Case(folder, losses: CommitmentVerdict.mostLosses)
            #expect(try found.kind(.noSuchObjectInstance) == "dead")
        }
    }

    @Test func `takes a late commitment, and no late failure`() async throws {
        try await with { folder in
            let found = try Case(folder, isLate: true)
            #expect(try found.verdict(committed: [found.reference]) == .committed)
            #expect(try found.kind(.noSuchObjectInstance) == nil && found.verdict() == nil)
        }
    }
}

@Suite struct `An instance that a peer asks for` {
    private func kept(
        _ state: InstanceState = .indexed, isDurable: Bool = true
    ) -> (SOPReference, KeptInstance) {
        (
            SOPReference(sopClassUID: "1.2", sopInstanceUID: "1.3"),
            KeptInstance(
                id: InstanceID(rawValue: 1), sopClassUID: "1.2", state: state, path: "/x", size: 7, isDurable: isDurable
            )
        )
    }

    @Test func `is kept if the journal has it with its class and its whole file is there`() {
        for state in InstanceState.allCases {
            let (reference, instance) = kept(state)
            let failure = InstanceCheck.failure(of: reference, instance, size: 7)
            #expect(failure == (state == .quarantined ? .processingFailure : nil))
        }
    }

    @Test func `is not kept if it is missing, of another class, cut off, or not durable`() {
        let (reference, instance) = kept()
        #expect(InstanceCheck.failure(of: reference, nil, size: nil) == .noSuchObjectInstance)
        #expect(InstanceCheck.failure(of: reference, instance, size: nil) == .processingFailure)
        #expect(InstanceCheck.failure(of: reference, instance, size: 6) == .processingFailure)
        #expect(InstanceCheck.failure(of: reference, kept(isDurable: false).1, size: 7) == .processingFailure)
        let other = SOPReference(sopClassUID: "1.9", sopInstanceUID: "1.3")
        #expect(InstanceCheck.failure(of: other, instance, size: 7) == .classInstanceConflict)
    }
}

@Suite struct `The schedule of commitment` {
    @Test func `gathers for a moment, calls a peer once at a time, and waits after a failure`() {
        var schedule = CommitmentSchedule(
            backoff: Backoff(shortest: .seconds(5), longest: .seconds(600)), gathering: .seconds(3))
        #expect(schedule.turn(of: "a", isFull: false, now: .seconds(1)) == .waits(until: .seconds(4)))
        #expect(schedule.turn(of: "b", isFull: true, now: .seconds(1)) == .now)
        #expect(schedule.turn(of: "a", isFull: false, now: .seconds(4)) == .now)
        #expect(schedule.turn(of: "a", isFull: true, now: .seconds(5)) == .busy)
        schedule.ended("a", isReached: false, now: .seconds(6), chance: 0)
        #expect(schedule.turn(of: "a", isFull: true, now: .seconds(7)) == .waits(until: .seconds(11)))
        #expect(schedule.turn(of: "a", isFull: true, now: .seconds(11)) == .now)
        schedule.ended("a", isReached: false, now: .seconds(12), chance: 0)
        #expect(schedule.turn(of: "a", isFull: true, now: .seconds(13)) == .waits(until: .seconds(22)))
        schedule.called(by: "a")
        #expect(schedule.turn(of: "a", isFull: true, now: .seconds(13)) == .now)
        schedule.ended("a", isReached: true, now: .seconds(14), chance: 0)
        #expect(schedule.turn(of: "a", isFull: false, now: .seconds(14)) == .waits(until: .seconds(17)))
    }
}
