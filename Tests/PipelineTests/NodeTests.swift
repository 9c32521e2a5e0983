// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import Testing
import TestSupport

/// Whole nodes, with stand-ins that segment.
@Suite(
    .serialized, .enabled(if: NodeFolder.hasKontur, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(5)))
struct NodeTests {
    @Test func `a study arrives, is segmented, and its object is sent`() async throws {
        try await NodeFolder.with { here in
            let archive = try await here.archive()
            let node = try await here.node(archive: archive.port, executable: try here.standIn("found(request)"))
            try await NodeFolder.running([archive, node]) {
                try await NodeFolder.send(NodeFolder.samples("colonoscopy"), to: node.port)
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.jobs, "done") > 0 && status.count(\.deliveries, "sent") > 0
                            && status.count(\.jobs, "queued") + status.count(\.jobs, "running") == 0
                            && status.count(\.deliveries, "pending") == 0
                    })
                let status = try node.journal.status()
                #expect(status.count(\.deliveries, "sent") == status.count(\.jobs, "done"))
                #expect(try AuditTrail(journal: node.journal).verify().isWhole)
            }
        }
    }

    @Test func `a crash is charged, the job waits and runs again`() async throws {
        try await NodeFolder.with { here in
            let script = """
                if not os.path.exists(folder + "/crashed"):
                    open(folder + "/crashed", "w")
                    os.kill(os.getpid(), signal.SIGSEGV)
                found(request)
                """
            let node = try await here.node(executable: try here.standIn(script))
            try await NodeFolder.running([node]) {
                try await NodeFolder.send([NodeFolder.samples("colonoscopy")[0]], to: node.port)
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "done") == 1 })
                let job = try #require(try node.journal.read { try $0.jobs() }.first)
                #expect(job.attempts == 1)
            }
        }
    }

    @Test func `a failure of the work itself is dead at once and can be revived`() async throws {
        try await NodeFolder.with { here in
            let script = """
                if not os.path.exists(folder + "/mended"):
                    answer({"failed": {"reason": "no"}})
                else:
                    found(request)
                """
            let node = try await here.node(executable: try here.standIn(script))
            try await NodeFolder.running([node]) {
                try await NodeFolder.send([NodeFolder.samples("colonoscopy")[0]], to: node.port)
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "dead") == 1 })
                let job = try #require(try node.journal.read { try $0.jobs() }.first)
                #expect(job.attempts == 0)
                #expect(job.why == "no")
                _ = FileManager.default.createFile(atPath: here.folder.appending(path: "mended").path, contents: nil)
                _ = try await DedicatedThread.run(name: "test") {
                    try node.journal.write { try $0.revived(job.id, AuditEvent(by: .user("test"))) }
                }
                #expect(
                    try await NodeFolder.eventually(within: .seconds(10)) {
                        try node.journal.status().count(\.jobs, "done") == 1
                    })
            }
        }
    }

    @Test func `a stopping node queues what runs again, free of charge, within ten seconds`() async throws {
        try await NodeFolder.with { here in
            let executable = try here.standIn("time.sleep(600)")
            let start: ContinuousClock.Instant = try await {
                let node = try await here.node(executable: executable)
                return try await NodeFolder.running([node]) {
                    try await NodeFolder.send([NodeFolder.samples("colonoscopy")[0]], to: node.port)
                    #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "running") == 1 })
                    return ContinuousClock.now
                }
            }()
            #expect(ContinuousClock.now - start < .seconds(8))
            let node = try await here.node(executable: executable)
            let job = try #require(
                try await DedicatedThread.run(name: "test") { try node.journal.read { try $0.jobs() }.first })
            #expect(job.state == .queued)
            #expect(job.attempts == 0)
        }
    }

    @Test func `a late instance supersedes the running job and its revision is segmented`() async throws {
        try await NodeFolder.with { here in
            let script = """
                if len(request["sources"]) == 1:
                    time.sleep(600)
                found(request)
                """
            let node = try await here.node(executable: try here.standIn(script))
            try await NodeFolder.running([node]) {
                // Two slices of one series.
                let slices = try NodeFolder.samples("lge").prefix(2)
                try await NodeFolder.send([slices[0]], to: node.port)
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "running") == 1 })
                try await NodeFolder.send([slices[1]], to: node.port)
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.jobs, "superseded") == 1 && status.count(\.jobs, "done") == 1
                    })
            }
        }
    }

    @Test func `the wall clock jumps a year either way and nothing closes early or hangs`() async throws {
        try await NodeFolder.with { here in
            let jumpy = JumpyClock()
            let archive = try await here.archive()
            let node = try await here.node(
                archive: archive.port, quietSeconds: 4, executable: try here.standIn("found(request)"),
                clock: jumpy.clock)
            try await NodeFolder.running([archive, node]) {
                let files = try NodeFolder.samples("lge")
                for (jump, range) in [(31_536_000.0, 0..<1), (-63_072_000.0, 1..<2)] {
                    let sent = ContinuousClock.now
                    try await NodeFolder.send(Array(files[range]), to: node.port)
                    jumpy.jump(by: jump)
                    let revisions = range.upperBound
                    #expect(
                        try await NodeFolder.eventually {
                            let status = try node.journal.status()
                            return status.count(\.jobs, "done") == revisions
                                && status.count(\.deliveries, "sent") == revisions
                        })
                    #expect(ContinuousClock.now - sent >= .seconds(4))
                    #expect(ContinuousClock.now - sent < .seconds(14))
                }
                #expect(try AuditTrail(journal: node.journal).verify().isWhole)
            }
        }
    }

    @Test func `text instead of an instance ends quarantined with a reason`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let path = here.folder.appending(path: "text.dcm").path
            try await NodeFolder.running([node]) {
                // File Meta Information of an instance, with text for a data set.
                let sample = try NodeFolder.samples("colonoscopy")[0]
                let bytes = try Data(contentsOf: URL(fileURLWithPath: sample))
                let meta = 144 + Int(bytes[140]) + Int(bytes[141]) << 8
                try (bytes.prefix(meta) + Data("hello, this is no data set".utf8)).write(to: URL(fileURLWithPath: path))
                try await NodeFolder.send([path], to: node.port, like: [sample])
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.instances, "quarantined") == 1
                            && status.count(\.instances, "received") == 0
                    })
                let quarantined = try await DedicatedThread.run(name: "test") {
                    try AuditTrail(journal: node.journal).latest(1, .init(event: .instanceQuarantined))
                }
                #expect(quarantined.first?.reason?.isEmpty == false)
            }
        }
    }
}
