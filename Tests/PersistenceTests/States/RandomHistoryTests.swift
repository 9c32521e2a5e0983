// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// Random histories of a journal, compared with a plain model of what must hold.
///
/// Few studies, UIDs, images, encodings and patients make corrections, moves, collisions and repetitions frequent. The
/// node is killed between two calls of the disk, its clocks jump, and its database is lost. `KONTUR_SEEDS` names other
/// seeds, such as `1-2000`, and `KONTUR_STEPS` the length of a history.
@Suite struct `A random history` {
    private static var seeds: ClosedRange<Int> {
        let ends = ProcessInfo.processInfo.environment["KONTUR_SEEDS"]?.split(separator: "-").compactMap { Int($0) }
        guard let ends, ends.count == 2, ends[0] <= ends[1] else { return 1...4 }
        return ends[0]...ends[1]
    }

    private static let length = ProcessInfo.processInfo.environment["KONTUR_STEPS"].flatMap { Int($0) } ?? 200

    @Test(arguments: seeds) func `leaves what the plain model says`(_ seed: Int) async throws {
        try await blocking {
            let history = try RandomHistory(seed: UInt64(seed))
            do {
                for _ in 0..<Self.length { try history.step() }
                try history.settle()
            } catch {
                Issue.record("seed \(seed), after \(history.steps.suffix(60).joined(separator: "; ")): \(error)")
            }
        }
    }
}

/// What does not hold.
private struct Broken: Error, CustomStringConvertible {
    var description: String
}

private func hold(_ isTrue: Bool, _ what: @autoclosure () -> String) throws {
    if !isTrue { throw Broken(description: what()) }
}

/// A journal and its model, with the steps that both take.
private final class RandomHistory {
    private var path = TestNode.temporary()
    private let clock = TestClock()
    private var boots = 1
    private var node: TestNode
    private let watched = WatchedCalls()
    private var model = HistoryModel()
    private var random: SplitMix
    /// Seconds that have really passed.
    private var passed = 0.0
    /// Whether files can be told apart by their time: the wall clock never went back.
    private let losesDatabases: Bool
    /// The series whose doubts a person has settled.
    private var accepted: Set<String> = []
    /// The hash that the journal has for each patient.
    private var patients: [String: String] = [:]
    /// The names of the steps so far.
    private(set) var steps: [String] = []
    private static let keep = SpoolConfiguration.Keep(done: hour, unmatched: hour, quarantined: hour)
    private static let hour = Duration.seconds(3600)
    private static let day = Duration.seconds(86_400)

    init(seed: UInt64) throws {
        random = SplitMix(state: seed)
        losesDatabases = seed % 2 == 0
        node = try Self.start(path, watched, clock, boots)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private static func start(
        _ path: String, _ watched: WatchedCalls, _ clock: TestClock, _ boots: Int
    ) throws -> TestNode {
        try TestNode(
            path: path, calls: watched.calls, keep: keep, now: { clock.wall }, sinceBoot: { clock.sinceBoot },
            boot: "\(boots)")
    }

    func step() throws {
        let chance = Int.random(in: 0..<100, using: &random)
        switch chance {
        case 0..<40: try named("send") { try send() }
        case 40..<68: try named("index") { try index() }
        case 68..<76: try named("close") { try close() }
        case 76..<80: try named("finish") { try finish() }
        case 80..<84: try named("decide") { try decide() }
        case 84..<89: try named("kill") { try kill() }
        case 89..<92: try named("pass") { try pass(.seconds(Int.random(in: 1...4000, using: &random))) }
        case 92: try named("jump") { try jump() }
        case 93: try named("stop") { try stop() }
        case 94: try named("confirm") { try confirm() }
        case 95: try named("lose") { try loseDatabase() }
        default: try named("retain") { try retain() }
        }
        try check()
    }

    private func named(_ name: String, _ body: () throws -> Void) rethrows {
        steps.append(name)
        try body()
    }

    /// Indexes and closes everything, after which nothing is open; a month later everything is deleted.
    func settle() throws {
        steps.append("settle")
        while model.received.contains(where: { !$0.isIndexed }) { try index() }
        while try node.journal.read({ try !$0.openSeries().isEmpty }) { try close() }
        try check()
        while let series = try setAside() {
            try node.journal.write { try $0.dropped(series.id, AuditEvent()) }
        }
        while let job = try node.journal.read({ try $0.queuedJobs() }).first { try node.finish(job, []) }
        try confirm()
        // After the wall clock was set back, it shows the times of some rows again, and these rows are kept then.
        try pass(Self.day * 30)
        try Retention(journal: node.journal).run()
        try hold(node.stored().isEmpty && node.files("instances").isEmpty, "a month later files are left")
        try hold(places().isEmpty, "a month later series are left")
    }

    // MARK: - Sending and indexing

    private func one(_ of: [String]) -> String { of.randomElement(using: &random) ?? "" }

    private func send() throws {
        let sending = Sending(
            uid: one(["1.1", "1.2", "1.3", "1.4"]), study: one(["2.1", "2.2"]), series: one(["3.1", "3.2"]),
            image: one(["a", "a", "a", "b"]), encoding: one(["plain", "plain", "rle"]), patient: one(["p", "p", "q"]))
        steps.append("\(sending.known + [sending.place, sending.encoding])")
        // No two files are received in one microsecond.
        try pass(.milliseconds(1))
        switch try node.receivePart10(sending.uid, sending.bytes) {
        case .duplicate(let id):
            // Only the newest data set of a UID is not stored again, unless retention deleted a newer one.
            let newest = model.received.last { $0.sending.uid == sending.uid }
            try hold(
                newest?.sending == sending && newest?.isReplaced == false && newest?.id == id.rawValue,
                "\(sending) was taken for a repetition")
            model.renew(id.rawValue, at: passed)
        case let reception:
            model.received.append(.init(id: reception.id.rawValue, sending: sending, acknowledged: passed))
        }
    }

    /// Indexes one of the instances that wait, in any order.
    private func index() throws {
        guard let next = model.received.filter({ !$0.isIndexed }).randomElement(using: &random) else { return }
        steps.append("\(next.id)")
        try record(next)
        model.index(next.id)
    }

    /// Does what the indexer and its worker do, which compares decoded images.
    private func record(_ next: HistoryModel.Received) throws {
        let sending = next.sending
        var instance = TestNode.indexed(
            InstanceID(rawValue: next.id), study: sending.study, series: sending.series, digest: sending.digest,
            attributes: ["PatientID": sending.patient])
        while true {
            let outcome = try node.journal.write { [instance] in try $0.indexed([instance], AuditEvent()) }.outcomes[0]
            guard case .compare(let variants) = outcome else { return }
            for variant in variants where variant.imageDigest != instance.imageDigest {
                if variant.imageDigest.first == sending.image.first, !instance.isRecoded {
                    instance.imageDigest = variant.imageDigest
                    instance.isRecoded = true
                } else {
                    instance.otherImages.insert(variant.id)
                }
            }
        }
    }

    // MARK: - Closing and deciding

    /// Closes the first open series, or sets it aside if it names two patients.
    private func close() throws {
        guard let series = try node.journal.read({ try $0.openSeries() }).first else { return }
        let place = series.studyInstanceUID + " " + series.seriesInstanceUID
        let instances = model.current[place] ?? []
        if Set(instances.map(\.patient)).count > 1, !series.isAccepted {
            try node.journal.write { try $0.setAside(series, AuditEvent(reason: "two patients")) }
            return
        }
        if instances.isEmpty {
            try node.journal.write { try $0.closed(series, AuditEvent()) }
        } else {
            try node.close()
        }
        model.closed[place] = instances
    }

    private func finish() throws {
        guard let job = try node.journal.read({ try $0.queuedJobs() }).first else { return }
        try node.finish(job, [])
    }

    private func setAside() throws -> SeriesSummary? {
        try node.journal.read { try $0.seriesToReview() }.first { $0.state == .setAside }
    }

    /// A person retries, releases or drops a series.
    private func decide() throws {
        guard let series = try setAside() else { return }
        let place = series.studyInstanceUID + " " + series.seriesInstanceUID
        switch Int.random(in: 0..<3, using: &random) {
        case 0: try node.journal.write { try $0.resumed(series.id, AuditEvent()) }
        case 1:
            try node.journal.write { try $0.released(series.id, AuditEvent()) }
            accepted.insert(place)
        default:
            try node.journal.write { try $0.dropped(series.id, AuditEvent()) }
            model.closed[place] = model.current[place]
        }
    }

    // MARK: - Time

    private func pass(_ time: Duration) throws {
        try clock.pass(node, time)
        passed += time / .seconds(1)
    }

    /// Somebody sets the wall clock of the running node.
    private func jump() throws {
        let jumps = losesDatabases ? [2, 24 * 40] : [2, 24 * 40, -2, -72]
        clock.set(Self.hour * (jumps.randomElement(using: &random) ?? 0))
    }

    private func confirm() throws {
        try node.journal.noteTime()
        _ = try node.journal.write { try $0.clockConfirmed(wasOff: false, AuditEvent()) }
        try node.journal.noteTime()
    }

    /// Stops the node, and starts it later; the machine may start anew with another clock meanwhile.
    private func stop() throws {
        let off = Duration.seconds(Int.random(in: 1...90_000, using: &random))
        // The folder has one node at a time.
        node.journal.checkpoint()
        node = try TestNode()
        if Bool.random(using: &random) {
            boots += 1
            clock.boot()
            // A clock that is wrong by less than a week is taken for time off, as nobody can tell the two apart.
            let jumps = losesDatabases ? [0, 24 * 40, 24 * 365] : [0, 24 * 40, 24 * 365, -72, -24 * 2190]
            clock.set(Self.hour * (jumps.randomElement(using: &random) ?? 0))
        }
        clock.sleep(off)
        passed += off / .seconds(1)
        node = try Self.start(path, watched, clock, boots)
    }

    // MARK: - Ends without a stop

    /// Kills the node before one of the next calls of the disk, during a step or after it.
    private func kill() throws {
        let copy = TestNode.temporary()
        let number = Int.random(in: 0..<14, using: &random)
        let original = path
        watched.forget()
        watched.watch(before: { _, index in if index == number { snapshot(original, copy) } })
        let before = model
        switch Int.random(in: 0..<4, using: &random) {
        case 0: try named("send, killed") { try send() }
        case 1: try named("index, killed") { try index() }
        case 2: try named("close, killed") { try close() }
        default: try named("retain, killed") { try retain() }
        }
        watched.watch()
        let isOver = watched.begun.count <= number
        if isOver { snapshot(original, copy) }
        node = try TestNode()
        try? FileManager.default.removeItem(atPath: original)
        path = copy
        node = try Self.start(path, watched, clock, boots)
        if isOver { return }
        let after = model
        model = before
        try learn(after)
    }

    /// Finds out how much of the last step was done before the kill; the step itself was not acknowledged.
    private func learn(_ after: HistoryModel) throws {
        let (stored, waiting) = (Set(try node.stored().keys), Set(try node.received().map(\.id.rawValue)))
        for one in model.received where !stored.contains(one.id) {
            try hold(!after.received.contains { $0.id == one.id }, "\(one) is lost")
        }
        model.keep(stored.intersection(model.received.map(\.id)))
        for place in Set(model.closed.keys).subtracting(model.current.keys) { model.closed[place] = nil }
        for one in after.received where !model.received.contains(where: { $0.id == one.id }) {
            guard stored.contains(one.id) else { continue }
            model.received.append(.init(id: one.id, sending: one.sending))
        }
        for one in after.received where one.isIndexed && stored.contains(one.id) && !waiting.contains(one.id) {
            if model.received.contains(where: { $0.id == one.id && !$0.isIndexed }) { model.index(one.id) }
        }
        let found = try places()
        for (place, instances) in after.closed where found[place]?.state == .closed { model.closed[place] = instances }
    }

    /// The database is lost, and the node finds its files.
    private func loseDatabase() throws {
        guard losesDatabases else { return }
        node = try TestNode()
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: "\(path)/kontur.sqlite\(suffix)")
        }
        node = try Self.start(path, watched, clock, boots)
        model.loseDatabase()
        let found = try node.received()
        try hold(
            found.map(\.sopInstanceUID) == model.received.map(\.sending.uid),
            "found \(found.map(\.sopInstanceUID)) instead of \(model.received)")
        for (index, instance) in zip(model.received.indices, found) {
            model.received[index].id = instance.id.rawValue
            let bytes = try Data(contentsOf: URL(fileURLWithPath: instance.path))
            let sent = Data(model.received[index].sending.bytes)
            try hold(bytes.suffix(sent.count) == sent, "\(instance.id) is not \(model.received[index])")
        }
    }

    // MARK: - Retention

    /// Deletes what is finished and older than an hour.
    private func retain() throws {
        let before = try places()
        let open = Set(before.filter { $0.value.state != .closed }.keys)
        try Retention(journal: node.journal).run()
        let stored = Set(try node.stored().keys)
        for one in model.received where !stored.contains(one.id) {
            try hold(one.isIndexed && !open.contains(one.sending.place), "\(one) went while its series was not closed")
            let age = passed - (one.acknowledged ?? -.infinity)
            try hold(age > Self.hour / .seconds(1) - 2, "\(one) was deleted after \(age) s")
        }
        model.keep(stored)
        for place in Set(model.closed.keys).subtracting(model.current.keys) { model.closed[place] = nil }
    }

    // MARK: - Comparison

    private func places() throws -> [String: StudySummary.Series] {
        var places: [String: StudySummary.Series] = [:]
        for study in ["2.1", "2.2"] {
            for series in try node.journal.read({ try $0.study(study) })?.series ?? [] {
                places[study + " " + series.seriesInstanceUID] = series
            }
        }
        return places
    }

    private func check() throws {
        let (found, current) = (try places(), model.current)
        let stored = try node.stored()
        try hold(
            Set(stored.keys) == Set(model.received.map(\.id)),
            "rows \(stored.keys.sorted()) instead of \(model.received.map(\.id))")
        for (id, file) in stored {
            try hold(FileManager.default.fileExists(atPath: "\(path)/\(file)"), "the file of \(id) is missing")
        }
        try hold(
            Set(found.keys) == Set(current.keys), "series \(found.keys.sorted()) instead of \(current.keys.sorted())")
        var shared: [String: [String: [String]]] = [:]
        for (place, series) in found {
            let expected = current[place] ?? []
            let instances = try node.journal.read { try $0.instances(of: series.id) }
                .sorted { $0.sopInstanceUID < $1.sopInstanceUID }
            let images = instances.map { "\($0.sopInstanceUID) \($0.imageDigest.prefix(1))" }
            let shown = expected.map { "\($0.uid) \($0.image)" }
            try hold(images == shown, "\(place) holds \(images) instead of \(shown)")
            for (instance, sending) in zip(instances, expected) {
                let hash = instance.attributes?["PatientID"]
                try hold(hash == patients[sending.patient] ?? hash, "\(sending) has another patient")
                patients[sending.patient] = hash
                shared[instance.sopInstanceUID, default: [:]][sending.image, default: []].append(place)
            }
            // A series that has changed since it was closed is open, and its jobs are those of its revision.
            try hold((series.state == .closed) == (model.closed[place] != nil), "\(place) is \(series.state)")
            if series.state == .closed {
                try hold(model.closed[place]?.map(\.known) == expected.map(\.known), "\(place) was closed with others")
            }
            let jobs = try node.journal.read { try $0.jobs(states: [.queued, .running]) }
                .filter { $0.studyInstanceUID + " " + $0.seriesInstanceUID == place }
            try hold(
                jobs.allSatisfy { series.state == .closed && $0.revision == series.revision },
                "jobs of \(place): \(jobs)")
        }
        for (uid, places) in shared {
            try hold(places.values.allSatisfy { $0.count == 1 }, "the image of \(uid) is in two series")
            guard places.count > 1 else { continue }
            for place in places.values.joined() where !accepted.contains(place) {
                try hold(found[place]?.doubt != nil, "\(place) is not in doubt about \(uid)")
            }
        }
    }
}
