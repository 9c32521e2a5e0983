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
                let node = try await here.node(archive: archive.port, executable: worker)
                try await NodeFolder.running([node]) {
                    try await Self.plant(Self.badRows, in: node)
                    try await NodeFolder.send(apples[0..<5].map(\.path), to: node.port)
                    #expect(try await NodeFolder.eventually { try Self.verdicts(node) == Self.expected(sent: 1) })
                }
                let again = try await here.node(archive: archive.port, executable: worker)
                try await NodeFolder.running([again]) {
                    try await NodeFolder.send([apples[5].path], to: again.port)
                    #expect(try await NodeFolder.eventually { try Self.verdicts(again) == Self.expected(sent: 2) })
                    let dead = try await Self.look(again) { try $0.read { try $0.jobs(states: [.dead]) } }
                    #expect(dead.first?.why?.contains("a planted error") == true)
                    let study = try await Self.look(again) { try $0.read { try $0.study(Self.study) } }
                    let aside = study?.series.first { $0.seriesInstanceUID == Self.series(2) }
                    #expect(aside?.state == .setAside)
                    #expect(try await Self.look(again) { try AuditTrail(journal: $0).verify().isWhole })
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
                    "UPDATE instanceHeader SET header = x'7b7d' WHERE instanceId = 1;", in: node)
                #expect(
                    try await NodeFolder.eventually {
                        let status = try node.journal.status()
                        return status.count(\.series, "setAside") == 1 && status.count(\.jobs, "done") == 1
                    })
                let records = try await Self.look(node) { journal in
                    try AuditTrail(journal: journal).latest(10, .init(event: .seriesSetAside))
                }
                #expect(records.map(\.series) == [Self.series(1)])
                #expect(records.first?.reason?.contains("header") == true)
            }
        }
    }

    @Test func `jobs that cannot be read are dead with a reason, and the queue behind them runs`() async throws {
        try await NodeFolder.with { here in
            let apples = try (1...4).map { try Self.apple($0, in: here.folder) }
            let waiting = try await here.node(executable: try here.standIn("time.sleep(600)"))
            try await NodeFolder.running([waiting]) {
                try await NodeFolder.send(apples.map(\.path), to: waiting.port)
                #expect(
                    try await NodeFolder.eventually { () -> Bool in
                        let status = try waiting.journal.status()
                        return status.count(\.jobs, "queued") + status.count(\.jobs, "running") == 4
                    })
            }
            let node = try await here.node(executable: try here.standIn("found(request)"))
            try await Self.plant(
                """
                UPDATE jobPayload SET payload = x'7b' WHERE jobId = 1;
                UPDATE job SET kind = 'of another version' WHERE id = 2;
                PRAGMA foreign_keys = OFF;
                UPDATE job SET stackId = 4711 WHERE id = 3;
                """, in: node)
            try await NodeFolder.running([node]) {
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
                try await Self.plant(
                    """
                    CREATE TRIGGER planted BEFORE UPDATE OF state ON series
                    WHEN NEW.state IN ('closed', 'setAside') AND NEW.seriesInstanceUID = '\(Self.series(1))'
                    BEGIN SELECT RAISE(ABORT, 'a planted error'); END;
                    """, in: node)
                try await NodeFolder.send(apples.map(\.path), to: node.port)
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "done") == 1 })
                try await Self.plant("DROP TRIGGER planted;", in: node)
                // The node tries again by itself.
                #expect(try await NodeFolder.eventually { try node.journal.status().count(\.jobs, "done") == 2 })
            }
        }
    }

    // MARK: - Apples

    private static let study = "2.25.400000000000000000000000000000000000001"

    private static func series(_ number: Int) -> String { "2.25.50000000000000000000000000000000000000\(number)" }

    /// A frame of endoscopy in a series of its own.
    private static func apple(_ number: Int, in folder: URL) throws -> URL {
        let sample = try NodeFolder.samples("colonoscopy")[1]
        let header = try InstanceFile(path: sample).header
        var data = try Data(contentsOf: URL(fileURLWithPath: sample))
        for (old, new) in [
            (header.sopInstanceUID, "2.25.60000000000000000000000000000000000000\(number)"),
            (header.seriesInstanceUID, series(number)), (header.studyInstanceUID, study),
        ] {
            // The length of a value stays, so that no length of the file changes.
            let text =
                Data(new.utf8.prefix(old.utf8.count))
                + Data(repeating: 0, count: max(0, old.utf8.count - new.utf8.count))
            while let range = data.range(of: Data(old.utf8)) { data.replaceSubrange(range, with: text) }
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

    private static func look<Result: Sendable>(
        _ node: Node, _ body: @escaping @Sendable (Journal) throws -> Result
    ) async throws -> Result {
        try await DedicatedThread.run(name: "test-look") { try body(node.journal) }
    }

    /// Runs SQL in the node's database from another process, as damage or an operator would.
    private static func plant(_ sql: String, in node: Node) async throws {
        let program = """
            import sqlite3, sys
            connection = sqlite3.connect(sys.argv[1], timeout=20)
            connection.executescript(sys.argv[2])
            connection.commit()
            """
        let done = try await runExternal(Executables.python, ["-c", program, node.journal.spool.databasePath, sql])
        #expect(done.status == 0, "\(done.tail)")
    }
}
