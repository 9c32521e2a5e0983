// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import Routing
import Supervision
import Synchronization
import TestSupport
import Testing

/// The assembler on a real journal, with the real index worker.
@Suite(
    .serialized, .enabled(if: NodeFolder.hasKontur, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(2)))
struct AssemblerTests {
    @Test func `an instance that is slow to reach the disk is indexed although a later one was first`() async throws {
        try await withTemporaryFolder { folder in
            let slow = Mutex(true)
            var calls = DurableCalls.real
            let real = DurableCalls.real
            calls.syncFile = { descriptor, path throws(SystemCallError) in
                let isFirst = slow.withLock { first in
                    defer { first = false }
                    return first
                }
                if isFirst { sleep(2) }
                try real.syncFile(descriptor, path)
            }
            let slowCalls = calls
            let journal = try await DedicatedThread.run(name: "test") {
                // Pages of one row: the loops must go on until a page is empty, whatever its size.
                try Journal(
                    spool: Spool(
                        SpoolConfiguration(path: folder.path, minimumFree: 0), access: .node(name: "TEST"),
                        calls: slowCalls),
                    now: { Date() }, pageSize: 1)
            }
            let pool = WorkerPool(
                configuration: WorkerPoolConfiguration(executable: Executables.kontur), logger: .silent)
            let assembler = Assembler(
                configuration: SeriesConfiguration(waiting: .init(quietSeconds: 3)),
                planner: StackPlanner(targets: [], maximumInstances: 5000), peers: [], configurationHash: "",
                journal: journal, pool: pool, open: OpenAssociations(AssociationPlaces(storing: 8)), clock: .system,
                logger: .silent,
                onQueued: {},
                onSuperseded: { _ in })
            let files = try NodeFolder.samples("lge").prefix(4)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await assembler.run() }
                try await withThrowingTaskGroup(of: Void.self) { commits in
                    for (index, file) in files.enumerated() {
                        commits.addTask {
                            try await Task.sleep(for: .milliseconds(200 * index))
                            try await DedicatedThread.run(name: "test-commit") {
                                try Self.commit(file, to: journal)
                            }
                            assembler.received()
                        }
                    }
                    try await commits.waitForAll()
                }
                #expect(
                    try await NodeFolder.eventually(within: .seconds(20)) {
                        let status = try journal.status()
                        return status.count(\.instances, "indexed") == files.count
                            && status.count(\.series, "closed") == 1
                    })
                // All of them in the first revision: the slow one kept its series open.
                let stacks = try await DedicatedThread.run(name: "test") {
                    try AuditTrail(journal: journal).latest(10, .init(event: .stackUnmatched))
                }
                #expect(stacks.map(\.count) == [Int64(files.count)])
                #expect(stacks.map(\.revision) == [1])
                group.cancelAll()
                while let end = await group.nextResult() { _ = end }
            }
            await pool.shutDown()
        }
    }

    /// Puts a Part 10 file into the journal as a listener would.
    private static func commit(_ path: String, to journal: Journal) throws {
        let header = try InstanceFile(path: path).header
        let file = try journal.spool.incomingFile(now: Date())
        try Data(contentsOf: URL(fileURLWithPath: path)).withUnsafeBytes { try file.writeHeader($0) }
        _ = try journal.commit(
            file,
            IncomingInstance(
                sopClassUID: header.sopClassUID, sopInstanceUID: header.sopInstanceUID,
                transferSyntaxUID: header.transferSyntaxUID,
                association: AssociationFacts(
                    id: UUID(), callingAETitle: "ENDO1", calledAETitle: "KONTUR", address: "127.0.0.1", peer: "scope")))
    }
}
