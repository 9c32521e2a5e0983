// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Pipeline
import Platform
import TestSupport
import Testing

/// Running nodes with rows that the database refuses to change, or that cannot be read.
///
/// A trigger stands for any error that never passes: a constraint, a damaged page, a column that is missing.
@Suite(
    .serialized, .enabled(if: NodeFolder.hasKontur, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(3)))
struct `One bad apple spoils nothing else` {
    @Test func `an item that no service can handle is set aside visibly, and the others go on, after a restart too`()
        async throws
    {
        try await NodeFolder.with { here in
            let archive = try await here.archive()
            let worker = try here.standIn("found(request)")
            // Apples 1 to 4 are bad in four services; the others are good.
            let apples = try (1...6).map { try Self.apple($0, in: here.folder) }
            try await NodeFolder.running([archive]) {
                try await Self.withNode(here, archive: archive.port, executable: worker) { node in
                    try await Self.plant(Self.badRows, in: here)
                    try await NodeFolder.send(apples[0..<5].map(\.path), to: node.port)
                    #expect(try await NodeFolder.eventually { try Self.verdicts(node) == Self.expected(sent: 1) })
                }
                try await Self.withNode(here, archive: archive.port, executable: worker) { node in
                    try await NodeFolder.send([apples[5].path], to: node.port)
                    #expect(try await NodeFolder.eventually { try Self.verdicts(node) == Self.expected(sent: 2) })
                    let dead = try await Self.look(node) { try $0.read { try $0.jobs(states: [.dead]) } }
                    #expect(dead.first?.why?.contains("a planted error") == true)
                    let (uid, bad) = (try Self.study(), try Self.series(2))
                    let study = try await Self.look(node) { try $0.read { try $0.study(uid) } }
                    let aside = study?.series.first { $0.seriesInstanceUID == bad }
                    #expect(aside?.state == .setAside)
                    #expect(try await Self.look(node) { try AuditTrail(journal: $0).verify().isWhole })
                }
            }
        }
    }

    @Test func `a header that cannot be read keeps only its own series open`() async throws {
        try await NodeFolder.with { here in
            let node = try await here.node(quietSeconds: 3, executable: try here.standIn("found(request)"))
            let apples = try (1...2).map { try Self.apple($0, in: here.folder) }
            try await NodeFolder.running([node]) {
                try await NodeFolder.send(apples.map(\.path), to: node.port)
                #expect(
                    try await NodeFolder.eventually { try node.journal.status().count(\.instances, "indexed") == 2 })
                try await Self.plant(
                    "UPDATE instanceHeader SET header = x'7b7d' WHERE instanceId = 1;", in: here)
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.series, "setAside") == 1 && status.count(\.jobs, "done") == 1
                    })
                let records = try await Self.look(node) { journal in
                    try AuditTrail(journal: journal).latest(10, .init(event: .seriesSetAside))
                }
                let bad = try Self.series(1)
                #expect(records.map(\.series) == [bad])
                #expect(records.first?.reason?.contains("header") == true)
            }
        }
    }

    @Test func `jobs that cannot be read are dead with a reason, and the queue behind them runs`() async throws {
        try await NodeFolder.with { here in
            let apples = try (1...4).map { try Self.apple($0, in: here.folder) }
            try await Self.withNode(here, executable: try here.standIn("time.sleep(600)")) { node in
                try await NodeFolder.send(apples.map(\.path), to: node.port)
                #expect(
                    try await NodeFolder.eventually { () -> Bool in
                        let status = try node.journal.status()
                        return status.count(\.jobs, "queued") + status.count(\.jobs, "running") == 4
                    })
            }
            try await Self.plant(
                """
                UPDATE jobPayload SET payload = x'7b' WHERE jobId = 1;
                UPDATE job SET kind = 'of another version' WHERE id = 2;
                UPDATE job SET stackId = 4711 WHERE id = 3;
                """, in: here)
            try await Self.withNode(here, executable: try here.standIn("found(request)")) { node in
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.jobs, "dead") == 3 && status.count(\.jobs, "done") == 1
                    })
                let deaths = try await Self.look(node) { journal in
                    try AuditTrail(journal: journal).latest(10, .init(event: .jobDead))
                }
                #expect(Set(deaths.map(\.job)) == [1, 2, 3])
                #expect(deaths.allSatisfy { $0.reason?.isEmpty == false })
            }
        }
    }

    @Test func `a series that cannot even be set aside is tried again with pauses, and the others go on`() async throws
    {
        try await NodeFolder.with { here in
            let node = try await here.node(executable: try here.standIn("found(request)"))
            let apples = try (1...2).map { try Self.apple($0, in: here.folder) }
            try await NodeFolder.running([node]) {
                let bad = try Self.series(1)
                try await Self.plant(
                    """
                    CREATE TRIGGER planted BEFORE UPDATE OF state ON series
                    WHEN NEW.state IN ('closed', 'setAside') AND NEW.seriesInstanceUID = '\(bad)'
                    BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
                    """, in: here)
                try await NodeFolder.send(apples.map(\.path), to: node.port)
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "done") == 1 })
                try await Self.plant("DROP TRIGGER planted;", in: here)
                // The node tries again by itself.
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "done") == 2 })
            }
        }
    }

    // MARK: - Apples

    /// The frame of endoscopy that all apples are copies of.
    private static func sample() throws -> (path: String, header: InstanceHeader) {
        let path = try NodeFolder.samples("colonoscopy")[1]
        return (path, try InstanceFile(path: path).header)
    }

    /// A UID that ends with a number and is as long as another one, so that no length of a file changes.
    private static func uid(_ kind: Int, _ number: Int, like old: String) -> String {
        let (start, end) = ("2.25.\(kind)", "\(number)")
        return start + String(repeating: "0", count: old.utf8.count - start.utf8.count - end.utf8.count) + end
    }

    private static func study() throws -> String { uid(4, 1, like: try sample().header.studyInstanceUID) }

    private static func series(_ number: Int) throws -> String {
        uid(5, number, like: try sample().header.seriesInstanceUID)
    }

    /// A frame of endoscopy in a series of its own.
    private static func apple(_ number: Int, in folder: URL) throws -> URL {
        let (sample, header) = try sample()
        var data = try Data(contentsOf: URL(fileURLWithPath: sample))
        for (old, new) in [
            (header.sopInstanceUID, uid(6, number, like: header.sopInstanceUID)),
            (header.seriesInstanceUID, try series(number)), (header.studyInstanceUID, try study()),
        ] {
            while let range = data.range(of: Data(old.utf8)) { data.replaceSubrange(range, with: Data(new.utf8)) }
        }
        let path = folder.appending(path: "apple-\(number).dcm")
        try data.write(to: path)
        return path
    }

    /// Errors in four services: indexing, closing, running and sending.
    private static let badRows = """
        CREATE TRIGGER plantedInstance BEFORE UPDATE OF state ON instance
        WHEN NEW.state = 'indexed' AND NEW.sopInstanceUID LIKE '%1' BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
        CREATE TRIGGER plantedStack BEFORE INSERT ON stack
        WHEN (SELECT seriesInstanceUID FROM series WHERE id = NEW.seriesId) LIKE '%2'
        BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
        CREATE TRIGGER plantedJob BEFORE UPDATE OF state ON job
        WHEN NEW.state = 'running' AND (
            SELECT s.seriesInstanceUID FROM stack k JOIN series s ON s.id = k.seriesId WHERE k.id = NEW.stackId) LIKE '%3'
        BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
        CREATE TRIGGER plantedDelivery BEFORE UPDATE OF state ON delivery
        WHEN NEW.state = 'sent' AND (
            SELECT s.seriesInstanceUID FROM job j JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId
            WHERE j.id = NEW.jobId) LIKE '%4'
        BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
        """

    /// Counts that say where each apple ended.
    private struct Verdicts: Equatable {
        var quarantined = 0
        var setAside = 0
        var dead = 0
        var unsent = 0
        var sent = 0
    }

    private static func expected(sent: Int) -> Verdicts {
        Verdicts(quarantined: 1, setAside: 1, dead: 1, unsent: 1, sent: sent)
    }

    private static func verdicts(_ node: Node) throws -> Verdicts {
        let status = try node.journal.status()
        return Verdicts(
            quarantined: status.count(\.instances, "quarantined"), setAside: status.count(\.series, "setAside"),
            dead: status.count(\.jobs, "dead"), unsent: status.count(\.deliveries, "dead"),
            sent: status.count(\.deliveries, "sent"))
    }

    /// Runs a node, which has let go of its spool when the call returns.
    private static func withNode(
        _ here: NodeFolder, archive: UInt16? = nil, executable: String,
        _ body: @escaping @Sendable (Node) async throws -> Void
    ) async throws {
        let node = try await here.node(archive: archive, executable: executable)
        try await NodeFolder.running([node]) { try await body(node) }
    }

    private static func look<Result: Sendable>(
        _ node: Node, _ body: @escaping @Sendable (Journal) throws -> Result
    ) async throws -> Result {
        try await DedicatedThread.run(name: "test-look") { try body(node.journal) }
    }

    /// Runs SQL in the database of `node` from another process, as damage would.
    private static func plant(_ sql: String, in folder: NodeFolder) async throws {
        let program = """
            import sqlite3, sys
            connection = sqlite3.connect(sys.argv[1], timeout=20)
            connection.executescript(sys.argv[2])
            connection.commit()
            """
        let done = try await runExternal(
            Executables.python, ["-c", program, folder.folder.path + "/node/kontur.sqlite", sql])
        #expect(done.status == 0, "\(done.tail)")
    }
}
