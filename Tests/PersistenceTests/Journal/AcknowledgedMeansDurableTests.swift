// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation
import Persistence
import Testing

/// Invariant 1.
@Suite struct `Acknowledged means durable` {
    private static let needed: Set<WatchedCalls.Kind> = [.syncFile, .syncFolder, .commit]

    /// Waits up to 20 s until a condition holds.
    private static func wait(until isSo: () -> Bool) {
        let deadline = ContinuousClock.now + .seconds(20)
        while !isSo(), ContinuousClock.now < deadline { usleep(1_000) }
    }

    @Test(arguments: [WatchedCalls.Kind.syncFile, .syncFolder, .commit])
    func `success comes after the file, the folder and the commit, whichever is slow`(
        _ slow: WatchedCalls.Kind
    ) async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.1")
            watched.forget()
            watched.watch(before: { kind, _ in
                guard kind == slow else { return }
                Self.wait { Self.needed.subtracting([slow]).isSubset(of: watched.ended) }
                usleep(50_000)
            })
            try node.receive("1.2")
            #expect(watched.ended.last == slow)
            #expect(Self.needed.isSubset(of: watched.ended))
        }
    }

    @Test func `all three are under way at the same time`() async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.1")
            watched.forget()
            let together = Flag()
            watched.watch(before: { kind, _ in
                guard Self.needed.contains(kind) else { return }
                Self.wait { Self.needed.isSubset(of: watched.begun) }
                if Self.needed.isSubset(of: watched.begun) && Self.needed.isDisjoint(with: watched.ended) {
                    _ = together.lower()
                }
            })
            try node.receive("1.2")
            #expect(!together.lower(), "one began only when another had ended")
        }
    }

    @Test(arguments: [WatchedCalls.Kind.syncFile, .syncFolder, .commit], [ENOSPC, EIO])
    func `a sync that fails is no success and leaves nothing`(_ kind: WatchedCalls.Kind, _ code: Int32) async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.1")
            let armed = Flag()
            watched.watch(before: { found, _ in
                if found == kind, armed.lower() { throw SystemCallError(call: "sync", code: code) }
            })
            #expect(throws: JournalError.self) { try node.receive("1.2", [9]) }
            #expect(try node.count(.received) == 1)
            #expect(node.files("instances").count == 1)
            guard case .stored = try node.receive("1.2", [9]) else {
                Issue.record("it was not taken as new when it came again")
                return
            }
            #expect(try node.count(.received) == 2)
            #expect(try AuditTrail(journal: node.journal).verify().isWhole)
        }
    }

    @Test func `a copy that arrives while the first is being synced waits for it`() async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            try node.receive("1.1")
            let first = Flag()
            watched.watch(before: { kind, _ in
                if kind == .syncFile, first.lower() {
                    usleep(80_000)
                    throw SystemCallError(call: "fdatasync", code: EIO)
                }
            })
            let answers = Answers()
            concurrently(2) { index in
                if index == 1 { usleep(30_000) }
                answers.add(index, Result { try node.receive("1.2", [7, 7]) })
            }
            #expect(throws: JournalError.self) { try answers[0].get() }
            guard case .stored = try answers[1].get() else {
                Issue.record("the copy was acknowledged on the strength of a file that is gone")
                return
            }
            #expect(try node.count(.received) == 2)
            #expect(node.files("instances").count == 2)
        }
    }

    @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    func `a kill between any two steps, in any order, loses nothing acknowledged`(_ order: [Int]) async throws {
        try await blocking {
            let steps = order.map { [WatchedCalls.Kind.syncFile, .syncFolder, .commit][$0] }
            for ended in 0...3 {
                let watched = WatchedCalls()
                let node = try TestNode(calls: watched.calls)
                try node.receive("1.1")
                let copy = TestNode.temporary()
                defer { try? FileManager.default.removeItem(atPath: copy) }
                let turns = Turns(steps)
                watched.watch(
                    before: { kind, _ in turns.enter(kind) },
                    after: { kind, _ in
                        turns.leave(kind) { count in if count == ended { snapshot(node.path, copy) } }
                    })
                if ended == 0 { turns.beforeFirst { snapshot(node.path, copy) } }
                try node.receive("1.2", [5, 6, 7])
                watched.watch()

                let again = try TestNode(path: copy)
                if ended == 3 { #expect(try again.count(.received) == 2, "an acknowledged instance is missing") }
                #expect(try again.count(.received) == again.files("instances").count)
                _ = try again.receive("1.2", [5, 6, 7])
                #expect(try again.count(.received) == 2)
                #expect(again.files("instances").count == 2)
                #expect(try AuditTrail(journal: again.journal).verify().isWhole)
            }
        }
    }

    @Test func `a row whose file is missing, cut or altered was never acknowledged`() async throws {
        try await blocking {
            for damage in 0..<3 {
                let watched = WatchedCalls()
                let node = try TestNode(calls: watched.calls)
                try node.receive("1.1")
                let copy = TestNode.temporary()
                defer { try? FileManager.default.removeItem(atPath: copy) }
                // Right after the commit, the row exists and does not say yet that its file is on disk.
                watched.watch(after: { kind, _ in if kind == .commit { snapshot(node.path, copy) } })
                try node.receive("1.2", [1, 1, 1])
                let all = try FileManager.default.subpathsOfDirectory(atPath: copy + "/instances")
                let path = try #require(
                    all.map { copy + "/instances/" + $0 }.first {
                        FileManager.default.contents(atPath: $0) == Data("header\u{1}\u{1}\u{1}".utf8)
                    })
                switch damage {
                case 0: try FileManager.default.removeItem(atPath: path)
                case 1: truncate(path, 3)
                default: try Data("header\u{9}\u{9}\u{9}".utf8).write(to: URL(fileURLWithPath: path))
                }
                let again = try TestNode(path: copy)
                #expect(try again.count(.received) == 1)
                #expect(again.files("instances").count == 1)
                #expect(try again.events().contains("instancesNeverAcknowledged"))
                // A file that is there goes to quarantine.
                #expect(again.files("quarantine").count == (damage == 0 ? 0 : 1))
                guard case .stored = try again.receive("1.2", [1, 1, 1]) else {
                    Issue.record("it was not taken as new when it came again")
                    return
                }
            }
        }
    }

    @Test func `the file of an acknowledged instance that somebody removed is replaced when it comes again`()
        async throws
    {
        try await blocking {
            let node = try TestNode()
            let id = try node.receive("1.1").id
            try FileManager.default.removeItem(atPath: node.received()[0].path)
            #expect(try node.receive("1.1") == .duplicate(of: id))
            let path = try node.received()[0].path
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }
}
