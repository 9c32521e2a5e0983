// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `A received instance` {
    @Test func `is found again after a start`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            let found = try node.received()
            #expect(found.map(\.id) == [id])
            #expect(found[0].callingAETitle == "ENDO1")
        }
    }

    @Test func `is indexed into its series`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            let outcome = try node.index(id)
            let series = try node.openSeries()
            #expect(outcome == .joined(series.id, revision: 1))
            #expect(series.received == 1 && series.lastInstance == id)
            #expect(try node.journal.read { try $0.instances(of: series.id) }.map(\.id) == [id])
            #expect(try node.received().isEmpty)
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "instancesIndexed" && record.study == "1.2" && record.instancesIn == "1.1")
        }
    }

    @Test func `is indexed once`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            try node.index(id)
            #expect(try node.index(id) == .gone)
            #expect(try node.openSeries().received == 1)
        }
    }

    @Test func `has no image`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            try node.journal.write { try $0.notAnImage(id, AuditEvent(reason: "it is a structured report")) }
            #expect(try node.count(.notAnImage) == 1)
            let found = try node.instances(.notAnImage)
            #expect(found.map(\.why) == ["it is a structured report"])
        }
    }

    @Test func `is our own when its header says so or its UID is in the outbox`() async throws {
        try await blocking {
            let node = try TestNode()
            let named = try node.receive("1.1").id
            try node.journal.write { try $0.own(named, AuditEvent()) }
            try node.fill(["1.2"])
            try node.finish(node.close(), [node.derived("2.25.7")])
            #expect(try node.index(node.receive("2.25.7").id) == .own)
            #expect(try node.count(.own) == 2)
        }
    }

    @Test func `is quarantined with its file`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            try node.journal.quarantine(id, AuditEvent(reason: "20000 nested sequences"))
            #expect(node.files("instances").isEmpty)
            #expect(node.files("quarantine").count == 1)
            let found = try node.instances(.quarantined)
            #expect(found.map(\.why) == ["20000 nested sequences"])
            #expect(FileManager.default.fileExists(atPath: node.spool.absolute(found[0].path)))
            #expect(try node.index(id) == .gone)
            #expect(throws: StateError.wrongState("instance", id.rawValue, found: "quarantined")) {
                try node.journal.write { try $0.own(id, AuditEvent()) }
            }
        }
    }

    @Test func `that is quarantined has one file whenever the process is killed`() async throws {
        try await blocking {
            var number = 0
            while true {
                let watched = WatchedCalls()
                let node = try TestNode(calls: watched.calls)
                let id = try node.receive("1.1").id
                let copy = TestNode.temporary()
                defer { try? FileManager.default.removeItem(atPath: copy) }
                watched.forget()
                let stop = number
                watched.watch(before: { _, count in if count == stop { snapshot(node.path, copy) } })
                try node.journal.quarantine(id, AuditEvent(reason: "malformed"))
                guard FileManager.default.fileExists(atPath: copy) else { break }
                let again = try TestNode(path: copy)
                #expect(again.files("instances").count + again.files("quarantine").count == 1)
                #expect(try again.count(.quarantined) == again.files("quarantine").count)
                number += 1
            }
            #expect(number >= 4)
        }
    }

    @Test func `a reason in the trail holds only printable characters, and not many`() {
        #expect(AuditEvent(reason: "näme\u{1b}[0m\n").reason == "n?me?[0m?")
        #expect(AuditEvent(reason: String(repeating: "x", count: 1000)).reason?.count == 400)
    }
}

@Suite struct `A variant of an instance` {
    @Test func `with the same image starts no new work`() async throws {
        try await blocking {
            let node = try TestNode()
            let first = try node.receive("1.1", [1]).id
            try node.index(first, digest: "same")
            let job = try node.close()
            #expect(try node.index(node.receive("1.1", [2]).id, digest: "same") == .sameImage)
            #expect(try node.state(job) == .queued)
            #expect(try node.journal.read { try $0.openSeries() }.isEmpty)
        }
    }

    @Test func `with another image is current, and the series gets a revision`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.index(node.receive("1.1", [1]).id, digest: "one")
            let job = try node.close()
            let second = try node.receive("1.1", [2]).id
            let outcome = try node.index(second, digest: "two")
            let series = try node.openSeries()
            #expect(outcome == .reopened(series.id, revision: 2, superseded: [job]))
            #expect(try node.journal.read { try $0.instances(of: series.id) }.map(\.id) == [second])
        }
    }

    @Test func `that came before the current one is not taken for newer because it was indexed later`() async throws {
        try await blocking {
            let node = try TestNode()
            let first = try node.receive("1.1", [1]).id
            let second = try node.receive("1.1", [2]).id
            try node.index(second, digest: "two")
            #expect(try node.index(first, digest: "one") == .older)
            let series = try node.openSeries()
            #expect(try node.journal.read { try $0.instances(of: series.id) }.map(\.id) == [second])
        }
    }
}
