// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `The node's status` {
    @Test func `counts every state and names the oldest`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            try node.finish(node.close(), [node.derived("2.25.1")])
            try node.receive("1.2")
            let status = try node.journal.status()
            func count(_ counts: [NodeStatus.Count], _ state: String) -> Int {
                counts.first { $0.state == state }?.count ?? -1
            }
            #expect(status.instances.map(\.state) == InstanceState.allCases.map(\.rawValue))
            #expect(count(status.instances, "received") == 1 && count(status.instances, "indexed") == 1)
            #expect(count(status.series, "closed") == 1 && count(status.series, "open") == 0)
            #expect(count(status.stacks, "routed") == 1)
            #expect(count(status.jobs, "done") == 1 && count(status.deliveries, "pending") == 1)
            #expect(status.instances[0].oldest != nil && status.instances[4].oldest == nil)
            #expect(status.node?.hasPrefix("TEST") == true)
            #expect(status.freeSpace > 0 && status.databaseSize > 0)
        }
    }

    @Test func `takes under 200 ms with 100,000 instances`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.receive("1.0")
            let queue = try DatabaseQueue(path: node.spool.databasePath)
            try queue.write { db in
                try db.execute(
                    sql: """
                        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                        INSERT INTO instance (associationId, sopClassUID, sopInstanceUID, transferSyntaxUID, sha256,
                            size, headerSize, folder, file, receivedAt, changedAt, state)
                        SELECT 1, '1.2', '1.2.826.0.1.' || i, '1.2.840', randomblob(32), 4, 0,
                            'instances/2026-01-01/' || (i / 5000), 'f' || i, i, i,
                            CASE i % 3 WHEN 0 THEN 'received' WHEN 1 THEN 'indexed' ELSE 'notAnImage' END FROM n
                        """)
            }
            // The command line opens the journal, asks, and closes it.
            let start = ContinuousClock.now
            let spool = try Spool(node.spool.configuration, access: .commandLine)
            let status = try Journal(spool: spool).status()
            let took = ContinuousClock.now - start
            #expect(status.instances.map(\.count).reduce(0, +) == 100_001)
            #expect(took < .milliseconds(200))
        }
    }

    @Test func `jobs are listed in pages with their study and why`() async throws {
        try await blocking {
            let node = try TestNode(pageSize: 3)
            for number in 0..<7 {
                try node.fill(["1.\(number)"], series: "1.2.\(number)")
                let job = try node.close()
                if number % 2 == 0 { try node.journal.write { try $0.dead(job, AuditEvent(reason: "bad")) } }
            }
            var found: [JobSummary] = []
            var pages = node.journal.pages { try $0.jobs(after: $1?.id) }
            while let page = try pages.next() {
                #expect(page.count <= 3)
                found += page
            }
            #expect(try pages.next() == nil)
            #expect(found.map(\.seriesInstanceUID) == (0..<7).map { "1.2.\($0)" })
            #expect(
                try node.journal.read { try $0.jobs(states: [.dead], study: "1.2") }.map(\.why)
                    == Array(repeating: "bad", count: 3))
            #expect(try node.journal.read { try $0.study("1.2") }?.jobs == found)
            #expect(try node.journal.read { try $0.jobs(study: "9.9") }.isEmpty)
            #expect(try node.journal.read { try $0.jobSummary(found[1].id) } == found[1])
        }
    }
}
