// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation
import Persistence
import Testing

@Suite struct `The spool` {
    @Test func `refuses a second node and says who holds it`() async throws {
        try await blocking {
            let node = try TestNode()
            let error = #expect(throws: SpoolError.self) {
                try Spool(node.spool.configuration, access: .node(name: "OTHER"))
            }
            let text = "\(try #require(error))"
            #expect(text.contains("is in use by TEST, process \(getpid()), since "))
            #expect(text.hasSuffix("stop that node, or give this one a spool of its own"))
            #expect(Spool.holder(path: node.path)?.hasPrefix("TEST, process \(getpid())") == true)
            _ = try Spool(node.spool.configuration, access: .commandLine)
        }
    }

    @Test func `is free again when its node is gone`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { _ = try TestNode(path: path) }
            #expect(Spool.holder(path: path) == nil)
            _ = try TestNode(path: path)
        }
    }

    @Test func `folders are 0700, files 0600, and names are ours`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.receive("1.2.826.0.1", now: Date(timeIntervalSince1970: 1_767_225_599))
            let paths = [
                "", "instances", "instances/2025-12-31", "instances/2025-12-31/23", "derived", "work", "models",
            ]
            for path in paths { #expect(mode(node.path + "/" + path) == 0o700, "\(path)") }
            let file = try #require(node.files("instances").first)
            #expect(file.wholeMatch(of: #/2025-12-31/23/[0-9a-f-]{36}\.dcm/#) != nil)
            for path in ["instances/" + file, "kontur.sqlite", "kontur.sqlite-wal", "subject.key", "lock"] {
                #expect(mode(node.path + "/" + path) == 0o600, "\(path)")
            }
        }
    }

    @Test func `accepts an association while the largest instance fits for each`() async throws {
        try await blocking {
            let calls = DurableCalls.real
            var small = calls
            small.freeSpace = { _ in 1000 }
            let node = try TestNode(calls: small, minimumFree: 400, maxInstance: 200)
            try node.spool.checkRoom(openAssociations: 2)
            let shortage = #expect(throws: RoomShortage.self) { try node.spool.checkRoom(openAssociations: 3) }
            #expect(shortage?.associations == 4 && shortage?.free == 1000)
        }
    }

    @Test func `work left by a node that died is gone at the next start, and nothing else`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                for name in [UUID().uuidString.lowercased() + "-strict.dcm", "worker-index-0.txt", "thesis.tex"] {
                    try Data("x".utf8).write(to: URL(fileURLWithPath: node.spool.workPath + "/" + name))
                }
            }
            let again = try TestNode(path: path)
            #expect(again.files("work") == ["thesis.tex"])
        }
    }

    private func mode(_ path: String) -> mode_t {
        var facts = stat()
        stat(path, &facts)
        return facts.st_mode & 0o777
    }
}

/// Invariant 7.
@Suite struct `Full or failing disks are refused, not lied about` {
    @Test func `an instance above the limit is refused and leaves nothing`() async throws {
        try await blocking {
            let node = try TestNode(maxInstance: 16)
            #expect(throws: SpoolError.tooLarge(limit: 16)) { try node.file(Array(repeating: 0, count: 11)) }
            #expect(node.files("instances").isEmpty)
            _ = try node.file(Array(repeating: 0, count: 10))
        }
    }

    @Test func `less than the minimum free refuses the next instance`() async throws {
        try await blocking {
            var small = DurableCalls.real
            small.freeSpace = { _ in 399 }
            let node = try TestNode(calls: small, minimumFree: 400, maxInstance: 200)
            #expect(throws: SpoolError.full(cause: "399 bytes are free")) { try node.file([1]) }
            #expect(node.files("instances").isEmpty)
        }
    }

    @Test(arguments: [ENOSPC, EDQUOT, EIO]) func `a write that fails leaves nothing`(_ code: Int32) async throws {
        try await blocking {
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls)
            watched.watch(before: { kind, _ in
                if kind == .write { throw SystemCallError(call: "write", code: code) }
            })
            let error = #expect(throws: SpoolError.self) { try node.file([1, 2]) }
            if code == EIO {
                #expect(error == .failing(cause: SystemCallError(call: "write", code: EIO)))
            } else {
                guard case .full = error else {
                    Issue.record("not full: \(String(describing: error))")
                    return
                }
            }
            watched.watch()
            #expect(node.files("instances").isEmpty)
            try node.receive("1.1")
        }
    }

    @Test func `discarding or forgetting a file leaves nothing`() async throws {
        try await blocking {
            let node = try TestNode()
            let file = try node.file([1, 2])
            #expect(node.files("instances").count == 1)
            file.discard()
            #expect(node.files("instances").isEmpty)
            _ = try node.file([1, 2])
            #expect(node.files("instances").isEmpty)
        }
    }
}
