// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// Invariant 4, and what closing decides.
@Suite struct `A closed series does not change under its job` {
    @Test func `a late instance opens the next revision with all instances so far`() async throws {
        try await blocking {
            let node = try TestNode()
            let early = try node.fill(["1.1", "1.2"])
            let job = try node.close()
            let late = try node.receive("1.3", [3]).id
            let outcome = try node.index(late)
            let series = try node.openSeries()
            #expect(outcome == .reopened(series.id, revision: 2, superseded: [job]))
            #expect(series.revision == 2)
            let before = try #require(try node.journal.read { try $0.job(job) })
            #expect(try node.instances(of: before.stack) == early)
            #expect(try node.journal.read { try $0.instances(of: series.id) }.map(\.id) == early + [late])
            let next = try node.close()
            let after = try #require(try node.journal.read { try $0.job(next) })
            #expect(after.revision == 2)
            #expect(try node.instances(of: after.stack) == early + [late])
        }
    }

    @Test func `an instance that joins while somebody decides makes the closing fail`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let read = try node.openSeries()
            try node.fill(["1.2"])
            #expect(throws: StateError.seriesChanged(read.id)) {
                try node.journal.write { try $0.closed(read, AuditEvent()) }
            }
            #expect(try node.openSeries().received == 2)
        }
    }

    @Test func `is closed once`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let read = try node.openSeries()
            try node.journal.write { try $0.closed(read, AuditEvent()) }
            #expect(throws: StateError.seriesChanged(read.id)) {
                try node.journal.write { try $0.closed(read, AuditEvent()) }
            }
        }
    }

    @Test func `unfinished work of the revision before is superseded, finished work stays`() async throws {
        try await blocking {
            for finished in [false, true] {
                let node = try TestNode()
                try node.fill(["1.1"])
                let job = try node.close()
                var deliveries: [DeliveryID] = []
                if finished { deliveries = try node.finish(job, [node.derived("2.25.1", peers: ["a", "b"])]) }
                if finished { try node.journal.write { try $0.sent(deliveries[0], status: 0, AuditEvent()) } }
                try node.fill(["1.2"])
                #expect(try node.state(job) == (finished ? .done : .superseded))
                if finished {
                    #expect(try node.delivery(deliveries[0])?.state == .sent)
                    #expect(try node.delivery(deliveries[1])?.state == .superseded)
                }
            }
        }
    }

    @Test func `a result of superseded work is dropped`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let job = try node.close()
            try node.journal.write { try $0.running(job, run: "run", AuditEvent()) }
            try node.fill(["1.2"])
            #expect(throws: StateError.wrongState("job", job.rawValue, found: "superseded")) {
                try node.journal.write { try $0.done(job, JobResult(outputs: [], outcome: ""), AuditEvent()) }
            }
        }
    }

    @Test func `what was sent of the revision before is named, newest first`() async throws {
        try await blocking {
            let node = try TestNode()
            for revision in 1...3 {
                try node.fill(["1.\(revision)"])
                let job = try node.close()
                let before = try node.journal.read { try $0.predecessors(of: job) }.map(\.sopInstanceUID)
                #expect(before == (1..<revision).reversed().map { "2.25.\($0)" })
                let deliveries = try node.finish(job, [node.derived("2.25.\(revision)")])
                try node.journal.write { try $0.sent(deliveries[0], status: 0, AuditEvent()) }
            }
        }
    }

    @Test func `an object is found after its job is gone, and the one that was never sent is no predecessor`()
        async throws
    {
        try await blocking {
            let node = try TestNode()
            for uid in ["2.25.1", "2.25.2"] {
                try node.fill(["1.\(uid)"])
                let deliveries = try node.finish(node.close(), [node.derived(uid)])
                if uid == "2.25.1" { try node.journal.write { try $0.sent(deliveries[0], status: 0, AuditEvent()) } }
            }
            try node.sql("DELETE FROM delivery; DELETE FROM job; DELETE FROM stack")
            try node.fill(["1.3"])
            let job = try node.close()
            let found = try node.journal.read { try $0.objects(before: job) }
            #expect(found.map(\.sopInstanceUID) == ["2.25.2", "2.25.1"])
            #expect(found.map(\.isSent) == [false, true])
            #expect(found.map(\.confidence) == [0.9, 0.9])
            #expect(try node.journal.read { try $0.predecessors(of: job) }.map(\.sopInstanceUID) == ["2.25.1"])
        }
    }

    @Test func `a stack keeps its decision, whatever it was`() async throws {
        try await blocking {
            let node = try TestNode()
            let instances = try node.fill(["1.1"])
            let series = try node.openSeries()
            func stack(_ key: String) -> NewStack {
                NewStack(
                    series: series.id, revision: 1, key: key, instances: instances, decision: Data(key.utf8))
            }
            try node.journal.write { transaction in
                try transaction.closed(series, AuditEvent())
                try transaction.unmatched(stack("a"), AuditEvent(reason: "no route takes MR"))
                try transaction.undetermined(stack("b"), AuditEvent(reason: "seriesDescription is missing"))
                try transaction.unfit(stack("c"), AuditEvent(reason: "a gap after slice 4"))
            }
            let study = try #require(try node.journal.read { try $0.study("1.2") })
            #expect(study.series[0].stacks.map(\.state) == [.unmatched, .undetermined, .unfit])
            #expect(study.series[0].stacks.map(\.why).last == "a gap after slice 4")
            let id = study.series[0].stacks[2].id
            #expect(try node.journal.read { try $0.decision(of: id) } == Data("c".utf8))
            #expect(try node.journal.status().stacks.first { $0.state == "unmatched" }?.count == 1)
        }
    }
}
