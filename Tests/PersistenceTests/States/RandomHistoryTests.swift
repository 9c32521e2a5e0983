// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// Random histories of a journal, compared with a plain model of what must hold.
///
/// Few studies, UIDs, images and patients make corrections, moves, collisions and repetitions frequent.
@Suite struct `A random history` {
    @Test(arguments: 1...4) func `leaves what the plain model says`(_ seed: Int) async throws {
        try await blocking {
            let history = try RandomHistory(seed: UInt64(seed))
            for _ in 0..<500 { try history.step() }
            try history.settle()
        }
    }
}

/// A data set that a peer sends.
private struct Sending: Hashable {
    var uid: String
    var study: String
    var series: String
    var image: String
    var patient: String

    var place: String { study + " " + series }
    var bytes: [UInt8] { Array("\(self)".utf8) }
}

/// The model: everything that was received, in its order.
private struct Model {
    struct Received {
        var id: InstanceID
        var sending: Sending
        var isIndexed = false
        /// Whether a variant replaced this one that retention has deleted since.
        var isReplaced = false
    }

    var received: [Received] = []
    /// The instances of each closed series when it was closed.
    var closed: [String: [Sending]] = [:]

    /// The current instances by place: no later variant of the UID has the same place or the same image.
    var current: [String: [Sending]] {
        var found: [String: [Sending]] = [:]
        let indexed = received.filter(\.isIndexed)
        for one in indexed {
            found[one.sending.place, default: []] += []
            if !isReplaced(one, among: indexed) { found[one.sending.place, default: []].append(one.sending) }
        }
        return found.mapValues { $0.sorted { $0.uid < $1.uid } }
    }

    private func isReplaced(_ one: Received, among others: [Received]) -> Bool {
        one.isReplaced
            || others.contains {
                one.id < $0.id && one.sending.uid == $0.sending.uid
                    && (one.sending.place == $0.sending.place || one.sending.image == $0.sending.image)
            }
    }

    /// Forgets the indexed variants of places that retention has deleted.
    mutating func keep(_ places: Set<String>) {
        let indexed = received.filter(\.isIndexed)
        for index in received.indices where received[index].isIndexed {
            received[index].isReplaced = isReplaced(received[index], among: indexed)
        }
        received.removeAll { $0.isIndexed && !places.contains($0.sending.place) }
    }
}

/// A journal and its model, with the steps that both take.
private final class RandomHistory {
    private let path = TestNode.temporary()
    private var node: TestNode
    private var model = Model()
    private var random: SplitMix
    /// The hash that the journal has for each patient.
    private var patients: [String: String] = [:]
    private let keep = SpoolConfiguration.Keep(done: .zero, unmatched: .zero, quarantined: .zero)

    init(seed: UInt64) throws {
        random = SplitMix(state: seed)
        node = try TestNode(path: path, keep: keep)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45: try send()
        case 45..<80: try index()
        case 80..<90: try close()
        case 90..<95: try finish()
        case 95..<98: try decide()
        case 98: try restart()
        default: try retain()
        }
        try check()
    }

    /// Indexes and closes everything, after which nothing is open.
    func settle() throws {
        while model.received.contains(where: { !$0.isIndexed }) { try index() }
        while try close() {}
        try check()
        #expect(try node.journal.read { try $0.openSeries() }.isEmpty)
    }

    // MARK: - Steps

    private func send() throws {
        func one(_ of: [String]) -> String { of.randomElement(using: &random) ?? "" }
        let sending = Sending(
            uid: one(["1.1", "1.2", "1.3", "1.4"]), study: one(["2.1", "2.2"]), series: one(["3.1", "3.2"]),
            image: one(["a", "a", "a", "b"]), patient: one(["p", "p", "q"]))
        let reception = try node.receive(sending.uid, sending.bytes)
        if case .duplicate = reception {
            // Only the newest data set of a UID is not stored again, unless retention deleted a newer one.
            let newest = model.received.last { $0.sending.uid == sending.uid }
            #expect(newest?.sending == sending && newest?.isReplaced == false)
        } else {
            model.received.append(Model.Received(id: reception.id, sending: sending))
        }
    }

    /// Indexes one of the instances that wait, in any order.
    private func index() throws {
        guard let next = model.received.indices.filter({ !model.received[$0].isIndexed }).randomElement(using: &random)
        else { return }
        let sending = model.received[next].sending
        try node.index(
            model.received[next].id, study: sending.study, series: sending.series, digest: sending.image,
            attributes: ["PatientID": sending.patient])
        model.received[next].isIndexed = true
        let current = model.current
        for (place, instances) in model.closed where current[place] != instances { model.closed[place] = nil }
    }

    /// Closes the first open series, or sets it aside if it names two patients.
    @discardableResult
    private func close() throws -> Bool {
        guard let series = try node.journal.read({ try $0.openSeries() }).first else { return false }
        let place = series.studyInstanceUID + " " + series.seriesInstanceUID
        let instances = model.current[place] ?? []
        if Set(instances.map(\.patient)).count > 1 {
            try node.journal.write { try $0.setAside(series, AuditEvent(reason: "two patients")) }
            return true
        }
        if instances.isEmpty {
            try node.journal.write { try $0.closed(series, AuditEvent()) }
        } else {
            try node.close()
        }
        model.closed[place] = instances
        return true
    }

    private func finish() throws {
        guard let job = try node.journal.read({ try $0.queuedJobs() }).first else { return }
        try node.finish(job, [])
    }

    private func decide() throws {
        guard let series = try node.journal.read({ try $0.seriesToReview() }).first(where: { $0.state == .setAside })
        else { return }
        if Bool.random(using: &random) {
            try node.journal.write { try $0.resumed(series.id, AuditEvent()) }
        } else {
            try node.journal.write { try $0.dropped(series.id, AuditEvent()) }
            let place = series.studyInstanceUID + " " + series.seriesInstanceUID
            model.closed[place] = model.current[place]
        }
    }

    private func restart() throws {
        // The folder has one node at a time.
        node = try TestNode()
        node = try TestNode(path: path, keep: keep)
    }

    /// Deletes what is finished; the keep times of this spool are zero.
    private func retain() throws {
        let before = try places()
        try Retention(journal: node.journal).run()
        let after = try places()
        for (place, series) in before where after[place] == nil {
            #expect(series.state == .closed, "\(place) was \(series.state)")
            model.closed[place] = nil
        }
        model.keep(Set(after.keys))
        let waiting = try Set(node.received().map(\.id))
        for one in model.received where !one.isIndexed { #expect(waiting.contains(one.id)) }
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
        #expect(Set(found.keys) == Set(current.keys))
        var images: [String: [String: [String]]] = [:]
        for (place, series) in found {
            let expected = current[place] ?? []
            let instances = try node.journal.read { try $0.instances(of: series.id) }
                .sorted { $0.sopInstanceUID < $1.sopInstanceUID }
            #expect(instances.map(\.sopInstanceUID) == expected.map(\.uid), "\(place)")
            #expect(instances.map(\.imageDigest) == expected.map(\.image), "\(place)")
            for (instance, sending) in zip(instances, expected) {
                let hash = instance.attributes?["PatientID"]
                #expect(hash == patients[sending.patient] ?? hash)
                patients[sending.patient] = hash
                #expect(FileManager.default.fileExists(atPath: instance.path))
                images[instance.sopInstanceUID, default: [:]][instance.imageDigest, default: []].append(place)
            }
            // A series that has changed since it was closed is open, and its jobs are those of its revision.
            #expect((series.state == .closed) == (model.closed[place] != nil), "\(place)")
            if series.state == .closed { #expect(model.closed[place] == expected) }
            let jobs = try node.journal.read { try $0.jobs(states: [.queued, .running]) }
                .filter { $0.studyInstanceUID + " " + $0.seriesInstanceUID == place }
            #expect(jobs.allSatisfy { series.state == .closed && $0.revision == series.revision })
        }
        for (uid, places) in images {
            #expect(places.values.allSatisfy { $0.count == 1 }, "the image of \(uid) is in two series")
            guard places.count > 1 else { continue }
            for place in places.values.joined() { #expect(found[place]?.doubt != nil, "\(uid) \(place)") }
        }
    }
}

/// A seeded generator: SplitMix64.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
