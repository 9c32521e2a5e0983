// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `A job` {
    private func queued() throws -> (TestNode, JobID) {
        let node = try TestNode()
        try node.fill(["1.1"])
        return (node, try node.close())
    }

    private func running() throws -> (TestNode, JobID) {
        let (node, job) = try queued()
        try node.journal.write { try $0.running(job, run: "run 1", AuditEvent()) }
        return (node, job)
    }

    @Test func `that is queued is handed out once`() async throws {
        try await blocking {
            let (node, job) = try queued()
            #expect(try node.journal.read { try $0.queuedJobs() } == [job])
            try node.journal.write { try $0.running(job, run: "run", AuditEvent()) }
            #expect(try node.journal.read { try $0.queuedJobs() }.isEmpty)
            #expect(throws: StateError.wrongState("job", job.rawValue, found: "running")) {
                try node.journal.write { try $0.running(job, run: "again", AuditEvent()) }
            }
        }
    }

    @Test func `that was running when the node ended is queued again free of charge`() async throws {
        try await blocking {
            let (node, job) = try running()
            #expect(try node.journal.write { try $0.rescued(AuditEvent()) } == [job])
            let found = try #require(try node.journal.read { try $0.job(job) })
            #expect(found.state == .queued && found.attempts == 0)
            #expect(try node.events().last == "jobRescued")
        }
    }

    @Test(arguments: [true, false]) func `goes back with or without charge`(_ charged: Bool) async throws {
        try await blocking {
            let (node, job) = try running()
            try node.journal.write {
                try $0.queuedAgain(job, charged: charged, AuditEvent(reason: "the worker overran"))
            }
            let found = try #require(try node.journal.read { try $0.job(job) })
            #expect(found.state == .queued && found.attempts == (charged ? 1 : 0) && found.why == "the worker overran")
        }
    }

    @Test func `that is given up is dead until an operator revives it`() async throws {
        try await blocking {
            let (node, job) = try running()
            try node.journal.write { try $0.dead(job, charged: true, AuditEvent(reason: "three workers died")) }
            #expect(try node.journal.read { try $0.jobs(states: [.dead]) }.map(\.why) == ["three workers died"])
            try node.journal.write { try $0.revived(job, AuditEvent(by: .user("admin"))) }
            let found = try #require(try node.journal.read { try $0.job(job) })
            #expect(found.state == .queued && found.attempts == 0)
            #expect(try AuditTrail(journal: node.journal).latest(1).first?.user == "admin")
        }
    }

    @Test func `that is dead is not revived when a newer revision exists`() async throws {
        try await blocking {
            let (node, job) = try running()
            try node.journal.write { try $0.dead(job, AuditEvent()) }
            try node.fill(["1.2"])
            #expect(throws: StateError.outdated(job)) { try node.journal.write { try $0.revived(job, AuditEvent()) } }
        }
    }

    @Test func `may find out that its stack is unfit`() async throws {
        try await blocking {
            let (node, job) = try running()
            try node.journal.write { try $0.unfit(job, AuditEvent(reason: "the transfer syntax is not supported")) }
            let study = try #require(try node.journal.read { try $0.study("1.2") })
            #expect(study.series[0].stacks.map(\.state) == [.unfit])
            #expect(study.jobs.map(\.outcome) == ["unfit"] && study.jobs.map(\.state) == [.done])
        }
    }

    @Test func `that is done has its deliveries, each with a file`() async throws {
        try await blocking {
            let (node, job) = try queued()
            let deliveries = try node.finish(job, [node.derived("2.25.1", peers: ["archive", "viewer"])])
            let pending = try node.journal.read { try $0.pendingDeliveries() }
            #expect(pending.map(\.id) == deliveries && pending.map(\.peer) == ["archive", "viewer"])
            let path = try #require(pending[0].object.path)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("SEG 2.25.1".utf8))
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "jobDone" && record.instancesIn == "1.1" && record.instancesOut == "2.25.1")
            #expect(record.confidence == 0.9 && record.route == "left-atrium")
        }
    }

    @Test func `in whose stack nothing is found leaves a record that says so`() async throws {
        try await blocking {
            let (node, job) = try running()
            _ = try node.journal.write {
                try $0.done(job, JobResult(outputs: [], outcome: "nothing found"), AuditEvent())
            }
            #expect(try AuditTrail(journal: node.journal).latest(1).first?.reason == "nothing found")
        }
    }

    @Test func `finds a source whose file was lost and arrived again`() async throws {
        try await blocking {
            let (node, job) = try queued()
            let stack = try #require(try node.journal.read { try $0.job(job) }).stack
            let before = try #require(try node.journal.read { try $0.storedPaths(of: stack) }["1.1"])
            try FileManager.default.removeItem(atPath: node.path + "/" + before)
            guard case .duplicate = try node.receive("1.1", Array("1.1".utf8)) else {
                Issue.record("the instance got a second row")
                return
            }
            let after = try #require(try node.journal.read { try $0.storedPaths(of: stack) }["1.1"])
            #expect(after != before && FileManager.default.fileExists(atPath: node.path + "/" + after))
        }
    }

    @Test func `that is not running cannot end`() async throws {
        try await blocking {
            let (node, job) = try queued()
            for end: (WriteTransaction) throws -> Void in [
                { try $0.done(job, JobResult(outputs: [], outcome: ""), AuditEvent()) },
                { try $0.queuedAgain(job, charged: true, AuditEvent()) },
                { try $0.unfit(job, AuditEvent()) },
                { try $0.revived(job, AuditEvent()) },
            ] {
                #expect(throws: StateError.wrongState("job", job.rawValue, found: "queued")) {
                    try node.journal.write { try end($0) }
                }
            }
            #expect(throws: StateError.unknown("job", 99)) {
                try node.journal.write { try $0.dead(JobID(rawValue: 99), AuditEvent()) }
            }
        }
    }
}

/// Invariant 3, as far as the store decides it.
@Suite struct `Running twice is harmless` {
    @Test func `a stored object is kept and the second file goes`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let first = try node.finish(node.close(), [node.derived("2.25.1")])
            let path = try #require(try node.delivery(first[0])?.object.path)
            try node.fill(["1.2"])
            #expect(try node.delivery(first[0])?.state == .superseded)
            let second = try node.finish(node.close(), [node.derived("2.25.1")])
            #expect(second == first)
            let delivery = try #require(try node.delivery(first[0]))
            #expect(delivery.state == .pending && delivery.object.path == path)
            #expect(node.files("derived").count == 1)
        }
    }

    @Test func `an object that was sent is not sent again`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let first = try node.finish(node.close(), [node.derived("2.25.1")])
            try node.journal.write { try $0.sent(first[0], status: 0, AuditEvent()) }
            try node.fill(["1.2"])
            try node.finish(node.close(), [node.derived("2.25.1")])
            #expect(try node.journal.read { try $0.pendingDeliveries() }.isEmpty)
        }
    }
}
