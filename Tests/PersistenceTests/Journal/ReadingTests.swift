// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `Reading without room on the disk` {
    private static func read(_ path: String) throws -> (NodeStatus, AuditVerification) {
        let spool = try Spool(SpoolConfiguration(path: path), access: .reader)
        let journal = try Journal(spool: spool)
        return (try journal.status(), try AuditTrail(journal: journal).verify())
    }

    @Test func `a stopped node is read without making a file`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do { try TestNode(path: path).fill(["1.1", "1.2"]) }
            for suffix in ["-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: path + "/kontur.sqlite" + suffix)
            }
            try FileManager.default.removeItem(atPath: path + "/models")
            let before = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
            let (status, trail) = try Self.read(path)
            #expect(status.instances.first { $0.state == "indexed" }?.count == 2)
            #expect(trail.isWhole)
            #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == before)
        }
    }

    @Test func `a running node and a killed one are read with everything that they committed`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1", "1.2"])
            #expect(try Self.read(node.path).0.instances.first { $0.state == "indexed" }?.count == 2)
            let copy = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: copy) }
            snapshot(node.path, copy)
            #expect(try Self.read(copy).0.instances.first { $0.state == "indexed" }?.count == 2)
            #expect(try Self.read(copy).1.isWhole)
        }
    }

    @Test func `a reader cannot write`() async throws {
        try await blocking {
            let node = try TestNode()
            let journal = try Journal(spool: Spool(node.spool.configuration, access: .reader))
            #expect(throws: JournalError.self) { try journal.write { try $0.nodeStopped(AuditEvent()) } }
        }
    }

    @Test func `a start with too little room asks for a deletion first, and gives up the reserve`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                #expect(!node.journal.isShortOfRoom)
                node.spool.keepReserve()
                #expect(FileManager.default.fileExists(atPath: path + "/reserve"))
            }
            var calls = DurableCalls.real
            calls.freeSpace = { _ in 1 << 20 }
            let node = try TestNode(path: path, calls: calls)
            #expect(node.journal.isShortOfRoom)
            #expect(!FileManager.default.fileExists(atPath: path + "/reserve"))
        }
    }
}
