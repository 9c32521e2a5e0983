// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// A series at one moment.
private struct Place: Equatable {
    var state: SeriesState
    var revision: Int
    var uids: [String]
}

extension TestNode {
    fileprivate func place(_ study: String, _ series: String) throws -> Place? {
        try journal.read { view in
            guard let found = try view.study(study)?.series.first(where: { $0.seriesInstanceUID == series })
            else { return nil }
            return Place(
                state: found.state, revision: found.revision,
                uids: try view.instances(of: found.id).map(\.sopInstanceUID).sorted())
        }
    }

    /// Receives an instance with some content, and indexes it.
    @discardableResult
    fileprivate func send(
        _ uid: String, _ content: UInt8, study: String = "1.2", series: String = "1.2.3", image: String = "image",
        _ attributes: [String: String] = [:]
    ) throws -> Indexing {
        try indexing(
            Self.indexed(
                receive(uid, [content]).id, study: study, series: series, digest: image, attributes: attributes))
    }

    /// Closes every open series with one job each; a series without instances closes without a job.
    fileprivate func closeAll() throws -> [JobID] {
        var jobs: [JobID] = []
        while let series = try journal.read({ try $0.openSeries() }).first {
            if try journal.read({ try $0.instances(of: series.id) }).isEmpty {
                try journal.write { try $0.closed(series, AuditEvent()) }
            } else {
                jobs.append(try close())
            }
        }
        return jobs
    }

    fileprivate func reasons(_ event: String) throws -> [String?] {
        try records().filter { $0.event == event }.map(\.reason)
    }
}

@Suite struct `The newest variant counts` {
    @Test func `an image that has moved on in another encoding is not current in the place that it left`()
        async throws
    {
        try await blocking {
            let node = try TestNode()
            // Received in this order: in study 1.2, then recompressed in study 1.3, then replaced there.
            let ids = try [1, 2, 3].map { try node.receive("1.1", [$0]).id }
            try node.index(ids[1], study: "1.3", digest: "image, compressed")
            try node.index(ids[2], study: "1.3", digest: "another image")
            let first = TestNode.indexed(ids[0], digest: "image")
            let outcome = try node.journal.write { try $0.indexed([first], AuditEvent()) }.outcomes[0]
            guard case .compare(let variants) = outcome else {
                Issue.record("the later variant was not compared")
                return
            }
            #expect(variants.map(\.id) == [ids[1], ids[2]])
            var recoded = first
            (recoded.imageDigest, recoded.otherImages) = ("image, compressed", [ids[2]])
            let second = try node.journal.write { [recoded] in try $0.indexed([recoded], AuditEvent()) }.outcomes[0]
            #expect(second == .older)
            #expect(try node.place("1.2", "1.2.3")?.uids == [])
        }
    }

    @Test func `a corrected instance is current before its series closes`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, ["PatientID": "wrong", "Modality": "MR"])
            let second = try node.send("1.1", 2, ["PatientID": "right", "Modality": "MR"])
            let series = try node.openSeries()
            #expect(second.outcomes == [.joined(series.id, revision: 1)])
            let current = try node.journal.read { try $0.instances(of: series.id) }
            #expect(current.map(\.id.rawValue) == [2])
            #expect(current[0].attributes?.keys.sorted() == ["Modality", "PatientID"])
            #expect(try node.reasons("instancesCorrected") == ["other values of PatientID"])
        }
    }

    @Test func `a corrected instance opens a closed series, and the record names the attributes`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, ["PatientID": "wrong", "StudyDescription": "x"])
            let jobs = try node.closeAll()
            let outcome = try node.send("1.1", 2, ["PatientID": "right", "AccessionNumber": "y"]).outcomes[0]
            let series = try node.openSeries()
            #expect(outcome == .reopened(series.id, revision: 2, superseded: jobs))
            let reason = "an instance came again with other values of AccessionNumber, PatientID, StudyDescription"
            #expect(try node.reasons("seriesReopened") == [reason])
        }
    }

    @Test func `the same image with the same attributes is nothing new, open or closed`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, ["PatientID": "a"])
            #expect(try node.send("1.1", 2, ["PatientID": "a"]).outcomes == [.sameImage])
            let jobs = try node.closeAll()
            #expect(try node.send("1.1", 3, ["PatientID": "a"]).outcomes == [.sameImage])
            #expect(try node.state(jobs[0]) == .queued)
        }
    }

    @Test func `a correction that is undone makes the first data set current again`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, ["PatientID": "a"])
            try node.send("1.1", 2, ["PatientID": "b"])
            try node.send("1.1", 1, ["PatientID": "a"])
            let series = try node.openSeries()
            #expect(try node.journal.read { try $0.instances(of: series.id) }.map(\.id.rawValue) == [3])
        }
    }

    @Test func `no value of an attribute is in the database`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, ["PatientID": "a digest that could be guessed"])
            let hashes = try #require(
                try node.journal.read { try $0.instances(of: SeriesID(rawValue: 1)) }.first?.attributes)
            #expect(hashes["PatientID"]?.count == 16)
            let other = try TestNode()
            try other.send("1.1", 1, ["PatientID": "a digest that could be guessed"])
            let others = try other.journal.read { try $0.instances(of: SeriesID(rawValue: 1)) }.first?.attributes
            #expect(others?["PatientID"] != hashes["PatientID"])
        }
    }

    @Test func `an instance that an older version indexed counts as changed when it comes again`() async throws {
        try await blocking {
            let old = try OldSpool(schema: 2)
            let node = try TestNode(path: old.path)
            let outcome = try node.send("1.1", 9, image: "digest 1").outcomes[0]
            #expect(outcome == .reopened(SeriesID(rawValue: 1), revision: 2, superseded: []))
        }
    }
}

@Suite struct `A moved instance` {
    @Test func `leaves its closed series, which opens without it, and joins the other`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, image: "a")
            try node.send("1.2", 2, image: "b")
            let jobs = try node.closeAll()
            let moved = try node.send("1.1", 3, study: "9", series: "9.1", image: "a")
            #expect(moved.outcomes == [.joined(SeriesID(rawValue: 2), revision: 1)])
            #expect(moved.others.map(\.id) == [SeriesID(rawValue: 1)] && moved.others[0].hasLost)
            #expect(moved.others[0].superseded == jobs)
            #expect(try node.place("1.2", "1.2.3") == Place(state: .open, revision: 2, uids: ["1.2"]))
            #expect(try node.place("9", "9.1") == Place(state: .open, revision: 1, uids: ["1.1"]))
            #expect(try node.reasons("instancesMoved") == ["now in series 9.1 of study 9"])
            let record = try #require(try node.records().first { $0.event == "instancesMoved" })
            #expect(record.study == "1.2" && record.series == "1.2.3" && record.instancesIn == "1.1")
        }
    }

    @Test func `leaves an empty series, which closes without a job and is deleted in time`() async throws {
        try await blocking {
            let keep = SpoolConfiguration.Keep(done: .zero, unmatched: .zero, quarantined: .zero)
            let node = try TestNode(keep: keep)
            try node.send("1.1", 1)
            _ = try node.closeAll()
            try node.send("1.1", 2, study: "9", series: "9.1")
            let jobs = try node.closeAll()
            #expect(jobs.count == 1)
            #expect(try node.place("1.2", "1.2.3") == Place(state: .closed, revision: 2, uids: []))
            try node.journal.write { try $0.dead(jobs[0], AuditEvent()) }
            try Retention(journal: node.journal).run()
            #expect(node.files("instances").isEmpty)
            #expect(try node.journal.read { try $0.study("1.2") } == nil)
        }
    }

    @Test func `is in one series whatever the order, also after it moved back`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1)
            try node.send("1.1", 2, study: "9", series: "9.1")
            #expect(try node.place("1.2", "1.2.3")?.uids == [])
            try node.send("1.1", 1)
            #expect(try node.place("1.2", "1.2.3")?.uids == ["1.1"])
            #expect(try node.place("9", "9.1")?.uids == [])
            let early = try node.receive("1.2", [1]).id
            let late = try node.receive("1.2", [2]).id
            try node.index(late, study: "9", series: "9.1", digest: "b")
            #expect(try node.index(early, digest: "b") == .older)
            #expect(try node.place("9", "9.1")?.uids == ["1.2"])
            #expect(try node.place("1.2", "1.2.3")?.uids == ["1.1"])
        }
    }

    @Test func `is looked for with another study and the same Series UID, which is another series`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1)
            try node.send("1.1", 2, study: "9", series: "1.2.3")
            #expect(try node.place("1.2", "1.2.3")?.uids == [])
            #expect(try node.place("9", "1.2.3")?.uids == ["1.1"])
        }
    }

    @Test func `has a series that was set aside looked at again`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, image: "a")
            try node.send("1.2", 2, image: "b")
            let series = try node.openSeries().id
            try node.journal.write { try $0.setAside(series, AuditEvent(reason: "two patients")) }
            try node.send("1.2", 3, study: "9", series: "9.1", image: "b")
            #expect(try node.place("1.2", "1.2.3") == Place(state: .open, revision: 1, uids: ["1.1"]))
        }
    }

    @Test func `leaving while somebody decides makes the closing fail`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1)
            let read = try node.openSeries()
            try node.send("1.1", 2, study: "9", series: "9.1")
            #expect(throws: StateError.seriesChanged(read.id)) {
                try node.journal.write { try $0.closed(read, AuditEvent()) }
            }
        }
    }
}

@Suite struct `Two images with one SOP Instance UID` {
    @Test func `are both current in their series, and both series are in doubt`() async throws {
        try await blocking {
            for isClosed in [false, true] {
                let node = try TestNode()
                try node.send("1.1", 1, image: "a")
                try node.send("1.2", 2, image: "b")
                let jobs = isClosed ? try node.closeAll() : []
                try node.send("1.2", 3, study: "9", series: "9.1", image: "c")
                #expect(try node.place("1.2", "1.2.3")?.uids == ["1.1", "1.2"])
                #expect(try node.place("1.2", "1.2.3")?.revision == 1)
                #expect(try node.place("9", "9.1")?.uids == ["1.2"])
                for job in jobs { #expect(try node.state(job) == .queued) }
                #expect(try node.records().filter { $0.event == "seriesInDoubt" }.map(\.series) == ["1.2.3", "9.1"])
                #expect(try node.journal.status().inDoubt == 2)
                let listed = try node.journal.read { try $0.seriesToReview() }
                #expect(listed.map(\.seriesInstanceUID) == ["1.2.3", "9.1"] && listed.allSatisfy { $0.doubt != nil })
                try node.journal.write { try $0.released(listed[0].id, AuditEvent(by: .user("admin"))) }
                #expect(try node.journal.status().inDoubt == 1)
            }
        }
    }

    @Test func `have to be compared before one of them is indexed`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.send("1.1", 1, image: "a")
            var second = TestNode.indexed(try node.receive("1.1", [2]).id, digest: "b")
            let outcome = try node.journal.write { [second] in try $0.indexed([second], AuditEvent()).outcomes[0] }
            guard case .compare(let variants) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(variants.map(\.imageDigest) == ["a"] && FileManager.default.fileExists(atPath: variants[0].path))
            #expect(try node.received().map(\.id) == [second.id])
            second.imageDigest = "a"
            second.isRecoded = true
            #expect(try node.indexing(second).outcomes == [.sameImage])
            #expect(try node.reasons("instancesIndexed").last == "1 of them are other encodings of the same images")
        }
    }
}
