// SPDX-License-Identifier: Apache-2.0
//
// Compares docs/audit.md with the code. The fields of the page are those of the table of fields. A function of this room
// writes each event of the page, and a command or a service calls that function.

import Foundation
import Persistence
import Platform
import Testing

@Suite struct `The page about the audit trail` {
    private static let root = URL(fileURLWithPath: #filePath).appending(path: "../../../..").standardizedFileURL

    // MARK: - The page

    /// The cells of the rows of the table below a heading, without its first two lines.
    private static func table(_ heading: String) throws -> [[String]] {
        let text = try String(contentsOf: root.appending(path: "docs/audit.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix(heading) })
        return section.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2).map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    /// The texts between backticks.
    private static func quoted(_ cell: String) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }

    @Test func `lists the fields of a record as the table has them`() throws {
        let rows = try Self.table("What a record holds")
        #expect(rows == AuditRecord.fields.map { ["`\($0.name)`", $0.meaning] })
    }

    @Test func `lists every event once, with the command that causes it`() throws {
        var causes: [String: String] = [:]
        for row in try Self.table("Events") {
            for event in Self.quoted(row[0]) {
                #expect(causes[event] == nil, "\(event) is listed twice")
                causes[event] = Self.quoted(row[2]).first
            }
        }
        #expect(causes == Dictionary(uniqueKeysWithValues: AuditEvent.Name.allCases.map { ($0.rawValue, command($0)) }))
    }

    @Test func `names only fields that a record has`() throws {
        let names = Set(AuditRecord.fields.map(\.name))
        for row in try Self.table("Events") where !row[3].hasPrefix("the fields of") {
            for word in row[3].replacing(" (start)", with: "").components(separatedBy: ", ") {
                #expect(names.contains(word), "\(row[0]): \(word)")
            }
        }
    }

    private func command(_ event: AuditEvent.Name) -> String {
        switch Self.cause(of: event) {
        case .service: "kontur serve"
        case .command(let words, _, _): "kontur \(words)"
        }
    }

    // MARK: - Causes

    /// The code outside this room that causes an event.
    private enum Cause {
        /// A service of Pipeline contains this call.
        case service(call: String)
        /// The type of a command contains this call.
        case command(String, type: String, call: String)
    }

    /// The cause of each event; a new event does not compile without one.
    private static func cause(of event: AuditEvent.Name) -> Cause {
        switch event {
        case .nodeStarted, .configurationUsed: .service(call: ".nodeStarted(")
        case .nodeStopped: .service(call: ".nodeStopped(")
        case .associationRejected: .service(call: ".associationRejected(")
        case .associationLost: .service(call: ".associationLost(")
        case .instancesReceived, .instancesNeverAcknowledged: .service(call: ".commit(file, instance)")
        case .instancesIndexed, .instancesCorrected, .instancesMoved, .seriesReopened, .seriesInDoubt, .jobSuperseded,
            .deliverySuperseded:
            .service(call: ".indexed(")
        case .instanceOwn: .service(call: ".own(")
        case .instanceNotAnImage: .service(call: ".notAnImage(")
        case .instanceQuarantined: .service(call: ".quarantine(id, AuditEvent")
        case .seriesClosed: .service(call: ".closed(series")
        case .seriesSetAside: .service(call: ".setAside(series")
        case .seriesResumed: .service(call: ".indexed(")
        case .seriesReleased: .command("series release", type: "SeriesReleaseCommand", call: ".released($1")
        case .seriesDropped: .command("series drop", type: "SeriesDropCommand", call: ".dropped($1")
        case .stackRouted: .service(call: ".routed(stack")
        case .stackUnmatched: .service(call: ".unmatched(stack")
        case .stackUndetermined: .service(call: ".undetermined(stack")
        case .stackUnfit: .service(call: ".unfit(stack")
        case .jobQueued: .service(call: ".queued(")
        case .jobRunning: .service(call: ".running(job.id")
        case .jobDone: .service(call: ".done(job.id")
        case .jobQueuedAgain: .service(call: ".queuedAgain(job.id")
        case .jobRescued: .service(call: ".rescued(AuditEvent")
        case .jobDead: .service(call: ".dead(job.id")
        case .jobRevived: .command("jobs retry", type: "JobsRetryCommand", call: ".revived(id")
        case .deliverySent: .service(call: ".sent(id, status:")
        case .deliveryPendingAgain: .service(call: ".pendingAgain(id, spent:")
        case .deliveryDead: .service(call: ".dead(id, AuditEvent")
        case .deliveryRevived: .command("jobs retry", type: "JobsRetryCommand", call: ".revived(delivery.id")
        case .commitmentAsked: .service(call: ".commitmentAsked(")
        case .commitmentAnswered: .service(call: ".commitmentAnswered(")
        case .commitmentExpired: .service(call: ".commitmentExpired(")
        case .deliveryCommitted: .service(call: ".committed(")
        case .deliveryLost: .service(call: ".lost(")
        case .commitmentWaived: .service(call: ".waived(")
        case .commitmentReceived: .service(call: ".commitmentReceived(")
        case .commitmentRefused: .service(call: ".commitmentRefused(")
        case .commitmentReportAnswered: .service(call: ".commitmentReportAnswered(")
        case .commitmentReported: .service(call: ".commitmentReported(")
        case .commitmentReportDelayed: .service(call: ".commitmentReportDelayed(")
        case .commitmentReportUndeliverable: .service(call: ".commitmentReportUndeliverable(")
        case .deliveryReleased: .command("jobs release", type: "JobsReleaseCommand", call: ".released(delivery")
        case .deliveryDropped: .command("jobs drop", type: "JobsDropCommand", call: ".dropped(delivery")
        case .instancesLost, .instancesAdopted, .objectsAdopted, .fileQuarantined, .databaseBehind:
            .service(call: "facts: FileMeta.facts")
        case .spoolCopied: .command("spool backup", type: "SpoolBackupCommand", call: "SpoolBackup(journal:")
        case .filesDeleted: .service(call: "Retention(journal:")
        case .clockJumped, .clockHoldEnded: .service(call: ".noteTime(")
        case .clockConfirmed:
            .command("spool confirm-clock", type: "SpoolConfirmClockCommand", call: ".clockConfirmed(")
        case .subjectErased: .command("audit erase", type: "AuditEraseCommand", call: ".eraseSubject(")
        case .auditExported: .command("audit export", type: "AuditExportCommand", call: "trail.export(")
        case .auditSegmentDropped: .command("audit drop", type: "AuditDropCommand", call: "trail.drop(")
        case .modelInstalled: .command("models add", type: "ModelsAddCommand", call: ".modelInstalled(")
        case .modelRemoved: .command("models remove", type: "ModelsRemoveCommand", call: ".modelRemoved(")
        }
    }

    /// The text of all Swift files of a room, without comments.
    private static func source(_ room: String) throws -> String {
        let folder = root.appending(path: "Sources/\(room)")
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.allObjects as? [URL]
        return try (files ?? []).filter { $0.pathExtension == "swift" }
            .map { try String(contentsOf: $0, encoding: .utf8) }.joined(separator: "\n")
            .split(separator: "\n").filter { !$0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }
            .joined(separator: "\n")
    }

    @Test(arguments: AuditEvent.Name.allCases)
    func `a service or a command of the program causes each event`(_ event: AuditEvent.Name) throws {
        switch Self.cause(of: event) {
        case .service(let call):
            #expect(try Self.source("Pipeline").contains(call), "Pipeline does not call \(call)")
        case .command(let words, let type, let call):
            let all = try Self.source("Kontur")
            let body = try #require(all.components(separatedBy: "\nstruct ").first { $0.hasPrefix("\(type):") })
            #expect(body.contains(call), "\(type) does not call \(call)")
            let parts = words.split(separator: " ")
            #expect(body.contains("commandName: \"\(parts[1])\""))
            let group = try #require(all.components(separatedBy: "\nstruct ").first { $0.contains("\(type).self") })
            #expect(group.contains("commandName: \"\(parts[0])\""), "\(type) is not a part of a command")
        }
    }

    /// Calls the functions that ``cause(of:)`` names one after the other.
    @Test func `the functions that causes name write all events`() async throws {
        try await blocking {
            let clock = WallClock()
            let watched = WatchedCalls()
            let node = try TestNode(calls: watched.calls, now: { clock.now })
            let (journal, trail) = (node.journal, AuditTrail(journal: node.journal))
            var expected = Set(AuditEvent.Name.allCases.map(\.rawValue))
            func caused(_ events: String...) throws {
                let written = try node.events()
                for event in events {
                    #expect(written.contains(event), "\(event) is missing")
                    expected.remove(event)
                }
            }

            try journal.write { try $0.nodeStarted(configuration: Data(), hash: "c0ffee", AuditEvent()) }
            try journal.write { try $0.associationRejected(AuditEvent()) }
            try journal.write { try $0.associationLost(AuditEvent()) }
            try journal.write { try $0.nodeStopped(AuditEvent()) }
            try caused("nodeStarted", "configurationUsed", "associationRejected", "associationLost", "nodeStopped")

            let ids = try ["9.1", "9.2", "9.3"].map { try node.receive($0, Array($0.utf8)).id }
            try journal.write { try $0.own(ids[0], AuditEvent()) }
            try journal.write { try $0.notAnImage(ids[1], AuditEvent()) }
            try journal.quarantine(ids[2], AuditEvent())
            watched.watch(before: { kind, _ in
                if kind == .syncFile { throw SystemCallError(call: "fdatasync", code: EIO) }
            })
            #expect(throws: JournalError.self) { try node.receive("9.4") }
            watched.watch()
            try caused("instancesReceived", "instanceOwn", "instanceNotAnImage", "instanceQuarantined")
            try caused("instancesNeverAcknowledged")

            try node.fill(["1.1"])
            let job = try node.close()
            let held = try node.finish(job, [node.derived("2.25.1", peers: ["a", "b"])], standing: .held)
            try journal.write { try $0.released(held[0], AuditEvent()) }
            try journal.write { try $0.dropped(held[1], AuditEvent()) }
            try journal.write { try $0.pendingAgain(held[0], spent: .zero, AuditEvent()) }
            try journal.write { try $0.dead(held[0], AuditEvent()) }
            try journal.write { try $0.revived(held[0], AuditEvent()) }
            try journal.write { try $0.sent(held[0], status: 0, AuditEvent()) }
            try caused("instancesIndexed", "seriesClosed", "stackRouted", "jobQueued", "jobRunning", "jobDone")
            try caused("deliveryReleased", "deliveryDropped", "deliveryPendingAgain", "deliveryDead")
            try caused("deliveryRevived", "deliverySent")

            try node.fill(["2.1"], series: "1.2.2")
            try node.finish(node.close(), [node.derived("2.25.2")])
            try node.fill(["2.2"], series: "1.2.2")
            let second = try node.close()
            try journal.write { try $0.running(second, run: "r", AuditEvent()) }
            _ = try journal.write { try $0.rescued(AuditEvent()) }
            try journal.write { try $0.running(second, run: "r", AuditEvent()) }
            try journal.write { try $0.queuedAgain(second, charged: true, AuditEvent()) }
            try journal.write { try $0.dead(second, AuditEvent()) }
            try journal.write { try $0.revived(second, AuditEvent()) }
            try node.fill(["2.3"], series: "1.2.2")
            try caused("seriesReopened", "jobRescued", "jobQueuedAgain", "jobDead", "jobRevived", "jobSuperseded")
            try caused("deliverySuperseded")

            let open = try node.openSeries()
            func stack(_ key: String) -> NewStack { NewStack(series: open.id, revision: 3, key: key, instances: []) }
            try journal.write { transaction in
                try transaction.closed(open, AuditEvent())
                try transaction.unmatched(stack("a"), AuditEvent())
                try transaction.undetermined(stack("b"), AuditEvent())
                try transaction.unfit(stack("c"), AuditEvent())
            }
            try caused("stackUnmatched", "stackUndetermined", "stackUnfit")

            try node.index(node.receive("4.1", [1]).id, series: "1.2.3.2", digest: "a")
            try node.index(node.receive("4.1", [2]).id, series: "1.2.3.2", digest: "a", attributes: ["PatientID": "b"])
            try node.index(node.receive("4.1", [3]).id, series: "1.2.3.3", digest: "a")
            try node.index(node.receive("4.1", [4]).id, series: "1.2.3.2", digest: "b")
            while !(try journal.read { try $0.openSeries() }).isEmpty { try node.close() }
            try caused("instancesCorrected", "instancesMoved", "seriesInDoubt")

            try node.fill(["3.1"], series: "1.2.3.1")
            let aside = try node.openSeries().id
            try journal.write { try $0.setAside(aside, AuditEvent()) }
            try journal.write { try $0.resumed(aside, AuditEvent()) }
            try journal.write { try $0.setAside(aside, AuditEvent()) }
            try journal.write { try $0.released(aside, AuditEvent()) }
            try journal.write { try $0.setAside(aside, AuditEvent()) }
            try journal.write { try $0.dropped(aside, AuditEvent()) }
            try caused("seriesSetAside", "seriesResumed", "seriesReleased", "seriesDropped")

            try node.fill(["5.1"], series: "1.2.5")
            let object = try node.finish(node.close(), [node.derived("2.25.5")])[0]
            let event = AuditEvent()
            try node.ask("7.1", about: object)
            try journal.write { try $0.waived(object, event) }
            try node.fill(["5.2"], series: "1.2.6")
            let kept = try node.finish(node.close(), [node.derived("2.25.6")])[0]
            let first = try node.ask("7.2", about: kept)
            _ = try journal.write { try $0.commitmentExpired(first, event) }
            try journal.write { try $0.askedAgain(kept, after: .zero, event) }
            let next = try node.ask("7.3", about: kept)
            try journal.write { transaction in
                try transaction.commitmentAnswered(next, committed: 0, event)
                try transaction.lost(kept, event)
            }
            let last = try node.ask("7.4", about: kept)
            try journal.write { transaction in
                try transaction.commitmentAnswered(last, committed: 1, event)
                try transaction.committed(kept, event)
            }
            try caused("commitmentAsked", "commitmentExpired", "commitmentAnswered", "commitmentWaived")
            try caused("deliveryCommitted", "deliveryLost")

            let report = try node.receiveRequest("8.1", [("1.2", "9.1")])
            try journal.write { transaction in
                try transaction.commitmentRefused(event)
                try transaction.commitmentReportAnswered(report, event)
                try transaction.commitmentReportDelayed(report, dueAfter: .zero, event)
                try transaction.commitmentReported(report, event)
            }
            let lost = try node.receiveRequest("8.2", [("1.2", "9.1")])
            try journal.write { try $0.commitmentReportUndeliverable(lost, event) }
            try caused("commitmentReceived", "commitmentRefused", "commitmentReportAnswered", "commitmentReported")
            try caused("commitmentReportDelayed", "commitmentReportUndeliverable")

            let weights = AuditedWeights(name: "ours", sha256: "feed")
            #expect(try journal.write { try $0.modelInstalled(weights, by: .user("admin")) })
            #expect(try !journal.write { try $0.modelInstalled(weights, by: .user("admin")) })
            try journal.write { try $0.modelRemoved(weights, by: .user("admin")) }
            #expect(try journal.write { try $0.modelInstalled(weights, by: .user("admin")) })
            #expect(try journal.eraseSubject(study: "1.2", AuditEvent(by: .user("admin"))))
            try caused("modelInstalled", "modelRemoved", "subjectErased")

            clock.jump(days: 60)
            try Retention(journal: journal).run()
            try caused("filesDeleted")
            try trail.export(by: .user("admin")) { _ in }
            let exported = try node.events()
            try trail.drop(segment: 1, by: .user("admin"))
            #expect(exported.contains("auditExported"))
            expected.remove("auditExported")
            try caused("auditSegmentDropped")

            let machine = TestClock()
            let other = try TestNode(now: { machine.wall }, sinceBoot: { machine.sinceBoot })
            machine.set(.seconds(86_400))
            try other.journal.noteTime()
            _ = try other.journal.write { try $0.clockConfirmed(wasOff: false, AuditEvent(by: .user("admin"))) }
            machine.set(.seconds(86_400))
            try other.journal.noteTime()
            try machine.pass(other, .seconds(90_000))
            #expect(try other.events() == ["clockJumped", "clockConfirmed", "clockJumped", "clockHoldEnded"])
            expected.subtract(try other.events())

            expected.subtract(try Self.spoolEvents())

            #expect(expected.isEmpty, "not caused: \(expected.sorted())")
            #expect(try trail.verify().isWhole)
        }
    }

    /// The events of starts that find a spool in disorder, and of a copy.
    private static func spoolEvents() throws -> [String] {
        let path = TestNode.temporary()
        defer { for end in ["", ".copy"] { try? FileManager.default.removeItem(atPath: path + end) } }
        do {
            let node = try TestNode(path: path)
            for uid in ["1.1", "1.2"] { try node.receivePart10(uid) }
            let gone = URL(fileURLWithPath: try node.received()[0].path)
            try FileManager.default.removeItem(at: gone)
            let junk = gone.deletingLastPathComponent().appending(path: UUID().uuidString.lowercased() + ".dcm")
            try Data("junk".utf8).write(to: junk)
            let written = node.spool.workPath + "/" + UUID().uuidString
            try Data(TestNode.header("2.25.1") + [1]).write(to: URL(fileURLWithPath: written))
            _ = try node.spool.acceptDerived(written, now: Date())
        }
        var events: [String] = []
        do {
            let node = try TestNode(path: path)
            events += try node.events()
            #expect(events.suffix(3) == ["instancesLost", "fileQuarantined", "objectsAdopted"])
        }
        for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + "/kontur.sqlite" + end) }
        let node = try TestNode(path: path)
        _ = try SpoolBackup(journal: node.journal, to: path + ".copy").run(AuditEvent(by: .user("admin")))
        let found = try node.events()
        #expect(found.first == "databaseBehind" && found.contains("instancesAdopted") && found.last == "spoolCopied")
        return events + found
    }
}
