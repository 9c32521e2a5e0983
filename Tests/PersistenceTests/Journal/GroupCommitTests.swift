// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `Group commit` {
    @Test func `associations that come together share a commit, and none waits for company`() async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.0")
            watched.forget()
            watched.watch(before: { kind, _ in if kind == .commit { usleep(20_000) } })
            concurrently(8) { index in
                let association = TestNode.association()
                for number in 0..<4 { _ = try? node.receive("1.\(index).\(number)", over: association) }
            }
            #expect(try node.count(.received) == 33)
            // Alone, 32 instances need 32 commits. Together, the first goes alone and seven or eight share each later one.
            let commits = watched.ended.filter { $0 == .commit }.count
            #expect(commits <= 12, "\(commits) commits for 32 instances")
            watched.watch()
            let start = ContinuousClock.now
            try node.receive("1.9.9")
            #expect(ContinuousClock.now - start < .milliseconds(500))
        }
    }

    @Test func `a transaction that throws changes nothing and does not hurt the others`() async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.0")
            watched.watch(before: { kind, _ in if kind == .commit { usleep(20_000) } })
            let answers = Answers()
            concurrently(8) { index in
                if index % 2 == 0 {
                    answers.add(index, Result { try node.receive("2.\(index)") })
                } else {
                    try? node.journal.write { transaction in
                        try transaction.nodeStopped(AuditEvent())
                        throw StateError.unknown("nothing", 1)
                    }
                }
            }
            #expect(try answers.all.map { try $0.get() }.count == 4)
            #expect(try node.count(.received) == 5)
            #expect(try !node.events().contains("nodeStopped"))
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }
}
