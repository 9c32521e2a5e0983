// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Persistence
import Pipeline
import Platform
import Routing
import Testing
import TestSupport

/// Invariant 16: two objects of different bytes never share a UID.
@Suite struct `Two objects of different bytes never share a UID` {
    /// A journal with one series, whose jobs make objects without a worker.
    private final class Desk: Sendable {
        let journal: Journal
        private let spool: Spool

        init(_ folder: URL) throws {
            spool = try Spool(
                SpoolConfiguration(path: folder.appending(path: "spool").path, minimumFree: 0),
                access: .node(name: "TEST"))
            journal = try Journal(spool: spool, now: { Date() })
        }

        /// Receives one more instance of the series, closes it, and starts the job of its stack.
        func job(_ instance: String, _ work: SegmentationJob) throws -> Job {
            let file = try spool.incomingFile(now: Date())
            try Array("header".utf8).withUnsafeBytes { try file.writeHeader($0) }
            try Array(instance.utf8).withUnsafeBytes { try file.append($0) }
            let received = try journal.commit(
                file,
                IncomingInstance(
                    sopClassUID: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUID: instance,
                    transferSyntaxUID: "1.2.840.10008.1.2.1",
                    association: AssociationFacts(
                        id: UUID(), callingAETitle: "SCANNER", calledAETitle: "KONTUR", address: "10.0.0.1",
                        peer: "scanner")))
            let payload = try work.encoded()
            let id = try journal.write { transaction in
                _ = try transaction.indexed(
                    [
                        IndexedInstance(
                            id: received.id, studyInstanceUID: "1.2", seriesInstanceUID: "1.2.3", modality: "MR",
                            imageDigest: instance, patientID: nil, header: Data("{}".utf8))
                    ], AuditEvent())
                let series = try #require(try transaction.openSeries().first)
                try transaction.closed(series, AuditEvent())
                let stack = try transaction.routed(
                    NewStack(
                        series: series.id, revision: series.revision, key: "stack", instances: [received.id],
                        segmenter: "stub"), AuditEvent())
                let id = try transaction.queued(stack, kind: "segment", payload: payload, AuditEvent())
                try transaction.running(id, run: "run", AuditEvent())
                return id
            }
            return try #require(try journal.read { try $0.job(id) })
        }

        func plans(_ job: Job, _ work: SegmentationJob) throws -> ObjectPlans {
            try journal.read { try ObjectPlans($0, job, work, softwareVersion: "7") }
        }

        /// Ends the job with one object of these bytes, which is sent.
        func finish(
            _ job: Job, _ work: SegmentationJob, _ description: ObjectDescription, bytes: String = "SEG",
            confidence: Double? = 0.9
        ) throws {
            try finish(job, work, [(description, bytes)], confidence: confidence)
        }

        /// Ends the job with objects of these bytes, which are sent.
        func finish(
            _ job: Job, _ work: SegmentationJob, _ objects: [(description: ObjectDescription, bytes: String)],
            confidence: Double? = 0.9
        ) throws {
            let outputs = try objects.map { description, bytes in
                let written = spool.workPath + "/" + UUID().uuidString
                try Data(bytes.utf8).write(to: URL(fileURLWithPath: written))
                let kind = description.kind
                return NewDerivedInstance(
                    sopClassUID: kind.sopClassUID, sopInstanceUID: description.sopInstanceUID,
                    transferSyntaxUID: "1.2.840.10008.1.2.1", studyInstanceUID: "1.2",
                    seriesInstanceUID: description.seriesInstanceUID, kind: kind.rawValue,
                    path: try spool.acceptDerived(written, now: Date()), sha256: bytes, size: 3, peers: ["archive"],
                    description: try JSONEncoder().encode(description),
                    answerKey: kind.holdsAnswer ? work.answerKey : nil)
            }
            try journal.write { transaction in
                let deliveries = try transaction.done(
                    job.id, JobResult(outputs: outputs, outcome: "segmented", confidence: confidence), AuditEvent())
                for delivery in deliveries where try transaction.delivery(delivery)?.state == .pending {
                    try transaction.sent(delivery, status: 0, AuditEvent())
                }
            }
        }

        /// Takes the file of every object away, or of the objects of one kind, as retention does.
        func forget(_ kind: ObjectKind? = nil) async throws {
            let condition = kind.map { " WHERE kind = '\($0.rawValue)'" } ?? ""
            let statement = "UPDATE derivedInstance SET path = NULL" + condition
            let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
            let result = try await runExternal("python3", ["-c", script, spool.databasePath, statement])
            #expect(result.status == 0, "\(result.tail)")
        }
    }

    /// The work on one image of one patient.
    private static func work(
        patient: String, created: Int64 = 1_700_000_000, report: Bool = false
    ) -> SegmentationJob {
        let kinds: [ObjectKind] = [.segmentation(.strict)] + (report ? [.report(.strict)] : [])
        return SegmentationJob(
            segmenter: .stub, type: .binary, gaps: .refuse,
            sources: [.init(path: "a", sopInstanceUID: "1.1", imageDigest: "d", copied: "c")], newestSource: 0,
            copiedFromNewest: patient, outputs: kinds.map { .init($0, peers: ["archive"]) },
            created: created, localOffsetFromUTC: 0, notes: [])
    }

    private static func with(_ body: (Desk) async throws -> Void) async throws {
        try await withTemporaryFolder { try await body(Desk($0)) }
    }

    @Test func `the same work sends the stored object unchanged`() async throws {
        try await Self.with { desk in
            let first = Self.work(patient: "A")
            let job = try desk.job("1.1", first)
            let plan = try #require(try desk.plans(job, first).plans.first)
            #expect(plan.stored == nil && plan.repetition == nil && plan.description.predecessors.isEmpty)
            try desk.finish(job, first, plan.description)
            let again = Self.work(patient: "A", created: 1_800_000_000)
            let next = try desk.plans(try desk.job("1.9", again), again)
            #expect(next.missing.isEmpty)
            #expect(next.plans[0].stored?.sopInstanceUID == plan.description.sopInstanceUID)
            #expect(next.confidence == 0.9)
        }
    }

    @Test func `an object whose file is gone is written as it was, or with a UID of its own`() async throws {
        try await Self.with { desk in
            let first = Self.work(patient: "A")
            let job = try desk.job("1.1", first)
            let before = try desk.plans(job, first).plans[0].description
            try desk.finish(job, first, before, bytes: "SEG 1")
            try await desk.forget()
            let again = Self.work(patient: "A", created: 1_800_000_000)
            let next = try desk.job("1.9", again)
            let plan = try desk.plans(next, again).plans[0]
            #expect(plan.stored == nil)
            #expect(plan.description == before)
            let repetition = try #require(plan.repetition)
            #expect(repetition.sha256 == "SEG 1")
            #expect(repetition.otherwise.sopInstanceUID != before.sopInstanceUID)
            #expect(repetition.otherwise.created == 1_800_000_000)
            #expect(repetition.otherwise.predecessors.map(\.sopInstanceUID) == [before.sopInstanceUID])
            // The journal itself refuses other bytes under the UID.
            #expect(throws: StateError.otherBytes(before.sopInstanceUID)) {
                try desk.finish(next, again, before, bytes: "SEG 2")
            }
            try desk.finish(next, again, repetition.otherwise, bytes: "SEG 2")
            let third = try desk.plans(try desk.job("1.10", again), again).plans[0]
            #expect(third.stored?.sopInstanceUID == repetition.otherwise.sopInstanceUID)
        }
    }

    @Test func `another patient gets another object, which replaces the first, and so does the first patient again`()
        async throws
    {
        try await Self.with { desk in
            var uids: [String] = []
            for (number, patient) in ["A", "B", "A", "B"].enumerated() {
                let work = Self.work(patient: patient)
                let job = try desk.job("1.\(number + 1)", work)
                let plans = try desk.plans(job, work)
                let plan = plans.plans[0]
                #expect(plan.stored == nil && plan.repetition == nil)
                #expect(plan.description.predecessors.map(\.sopInstanceUID) == uids.reversed())
                // The answer is the same, so that no segmenter runs for a corrected patient.
                #expect((plans.answer != nil) == (number > 0))
                uids.append(plan.description.sopInstanceUID)
                try desk.finish(job, work, plan.description, bytes: "SEG \(number)")
                #expect(Set(uids).count == number + 1)
            }
        }
    }

    @Test func `an object of unknown confidence does not pass a review rule`() async throws {
        try await Self.with { desk in
            var work = Self.work(patient: "A")
            let job = try desk.job("1.1", work)
            try desk.finish(job, work, try desk.plans(job, work).plans[0].description, confidence: nil)
            let next = try desk.job("1.9", work)
            #expect(try desk.plans(next, work).plans[0].stored != nil)
            work.review = ReviewRule(below: 0.5, action: .send)
            #expect(try desk.plans(next, work).plans[0].stored == nil)
        }
    }

    // MARK: - Objects that refer to a SEG

    @Test func `a report refers to the SEG of its job, and is sent unchanged with it`() async throws {
        try await Self.with { desk in
            let work = Self.work(patient: "A", report: true)
            let job = try desk.job("1.1", work)
            let plans = try desk.plans(job, work).plans
            #expect(plans.map(\.output.kind) == [.segmentation(.strict), .report(.strict)])
            #expect(plans[1].description.segmentation?.sopInstanceUID == plans[0].description.sopInstanceUID)
            try desk.finish(job, work, plans.map { ($0.description, $0.output.kind.rawValue) })
            let next = try desk.plans(try desk.job("1.9", work), work)
            #expect(next.missing.isEmpty)
            #expect(next.used([]).map { $0.stored?.sopInstanceUID } == plans.map(\.description.sopInstanceUID))
            // The answer is read back from the SEG.
            #expect(next.answer?.sha256 == "strict")
        }
    }

    @Test func `a report is made for each UID that the SEG may get, and the one that the SEG got counts`() async throws
    {
        try await Self.with { desk in
            let work = Self.work(patient: "A", report: true)
            let job = try desk.job("1.1", work)
            let first = try desk.plans(job, work).plans
            try desk.finish(job, work, first.map { ($0.description, $0.output.kind.rawValue) })
            try await desk.forget(.segmentation(.strict))
            let plans = try desk.plans(try desk.job("1.9", work), work)
            let segmentation = try #require(plans.plans.first)
            let otherwise = try #require(segmentation.repetition?.otherwise)
            #expect(plans.plans.count == 3 && plans.missing.count == 2)
            let same = plans.used([segmentation.description.sopInstanceUID])
            #expect(same.count == 2 && same[1].stored?.sopInstanceUID == first[1].description.sopInstanceUID)
            let other = plans.used([otherwise.sopInstanceUID])
            #expect(other.count == 2 && other[1].stored == nil)
            #expect(other[1].description.segmentation?.sopInstanceUID == otherwise.sopInstanceUID)
            #expect(other[1].description.sopInstanceUID != first[1].description.sopInstanceUID)
            #expect(
                other[1].description.predecessors.map(\.sopInstanceUID) == [first[1].description.sopInstanceUID])
            // Nothing is found any more: there is no SEG, and one report says so.
            #expect(plans.used([]).count == 2)
        }
    }

    @Test func `the report of a corrected patient replaces the older report, not the SEG`() async throws {
        try await Self.with { desk in
            var reports: [String] = []
            for (number, patient) in ["A", "B", "A"].enumerated() {
                let work = Self.work(patient: patient, report: true)
                let job = try desk.job("1.\(number + 1)", work)
                let plans = try desk.plans(job, work).plans
                #expect(plans.count == 2 && plans.allSatisfy { $0.stored == nil })
                #expect(plans[1].description.predecessors.map(\.sopInstanceUID) == reports.reversed())
                reports.append(plans[1].description.sopInstanceUID)
                try desk.finish(job, work, plans.map { ($0.description, "\($0.output.kind.rawValue) \(number)") })
            }
            #expect(Set(reports).count == 3)
        }
    }
}
