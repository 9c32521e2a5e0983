// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `A series that is set aside` {
    /// A node with one series that is set aside.
    private static func node(path: String? = nil) throws -> (TestNode, SeriesID) {
        let node = try TestNode(path: path)
        try node.fill(["1.1"])
        let series = try node.openSeries().id
        try node.journal.write { try $0.setAside(series, AuditEvent(reason: "it names two patients")) }
        return (node, series)
    }

    private static func summary(_ node: TestNode) throws -> StudySummary.Series {
        try #require(try node.journal.read { try $0.study("1.2") }).series[0]
    }

    @Test func `is not open any more, survives a start, and shows its reason`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { _ = try Self.node(path: path) }
            let node = try TestNode(path: path)
            #expect(try node.journal.read { try $0.openSeries() }.isEmpty)
            #expect(try Self.summary(node).state == .setAside)
            #expect(try Self.summary(node).why == "it names two patients")
            let status = try node.journal.status()
            #expect(status.setAside.map(\.reason) == ["it names two patients"] && status.setAside[0].count == 1)
            #expect(try node.events().last == "seriesSetAside")
        }
    }

    @Test func `is looked at again when an instance joins it`() async throws {
        try await blocking {
            let (node, series) = try Self.node()
            #expect(try node.index(node.receive("1.2", [2]).id) == .joined(series, revision: 1))
            let open = try node.openSeries()
            #expect(open.id == series && open.revision == 1 && !open.isAccepted)
            #expect(try node.events().suffix(2) == ["seriesResumed", "instancesIndexed"])
            try node.close()
            #expect(try Self.summary(node).why == nil)
        }
    }

    @Test func `is looked at again on a person's command`() async throws {
        try await blocking {
            let (node, series) = try Self.node()
            try node.journal.write { try $0.resumed(series, AuditEvent(by: .user("admin"))) }
            #expect(try node.journal.read { try $0.recalledSeries() }.map(\.id) == [series])
            #expect(try node.openSeries().isAccepted == false)
        }
    }

    @Test func `is accepted by a person as it is, until an instance joins it`() async throws {
        try await blocking {
            let (node, series) = try Self.node()
            try node.journal.write { try $0.released(series, AuditEvent(by: .user("admin"), reason: "one patient")) }
            #expect(try node.openSeries().isAccepted)
            #expect(try node.records().last?.reason == "one patient")
            try node.fill(["1.2"])
            #expect(try node.openSeries().isAccepted == false)
        }
    }

    @Test func `is dropped by a person, and opens again with a late instance`() async throws {
        try await blocking {
            let (node, series) = try Self.node()
            try node.journal.write { try $0.dropped(series, AuditEvent(by: .user("admin"), reason: "a test")) }
            #expect(try Self.summary(node).state == .closed)
            #expect(
                try node.index(node.receive("1.2", [2]).id) == .reopened(series, revision: 2, superseded: []))
        }
    }

    @Test func `was open, and only as it was read`() async throws {
        try await blocking {
            let (node, series) = try Self.node()
            #expect(throws: StateError.wrongState("series", series.rawValue, found: "setAside")) {
                try node.journal.write { try $0.setAside(series, AuditEvent()) }
            }
            try node.fill(["1.2"])
            let read = try node.openSeries()
            try node.fill(["1.3"])
            #expect(throws: StateError.seriesChanged(series)) {
                try node.journal.write { try $0.setAside(read, AuditEvent()) }
            }
        }
    }

    @Test func `keeps its files when everything else is old enough to be deleted`() async throws {
        try await blocking {
            let keep = SpoolConfiguration.Keep(done: .zero, unmatched: .zero, quarantined: .zero)
            let node = try TestNode(keep: keep)
            try node.fill(["1.1"])
            let series = try node.openSeries().id
            try node.journal.write { try $0.setAside(series, AuditEvent(reason: "a test")) }
            try Retention(journal: node.journal).run()
            #expect(node.files("instances").count == 1)
            try node.journal.write { try $0.dropped(series, AuditEvent()) }
            try Retention(journal: node.journal).run()
            #expect(node.files("instances").isEmpty)
        }
    }
}
