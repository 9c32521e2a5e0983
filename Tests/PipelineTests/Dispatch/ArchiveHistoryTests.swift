// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Persistence
import Pipeline
import Platform
import Testing
import TestSupport

/// Random histories of one series between an archive and the node.
///
/// The archive corrects, adds and replaces images while jobs run and objects are on their way. Answers are lost, the node
/// is killed, retention deletes everything, and a person retries what is dead. `KONTUR_SEEDS` names other seeds.
@Suite struct `The newest SEG of an archive` {
    private static var seeds: ClosedRange<Int> {
        let ends = ProcessInfo.processInfo.environment["KONTUR_SEEDS"]?.split(separator: "-").compactMap { Int($0) }
        guard let ends, ends.count == 2, ends[0] <= ends[1] else { return 1...4 }
        return ends[0]...ends[1]
    }

    @Test(arguments: seeds)
    func `names the patient of the archive, refers to all of its images, and replaces all older ones`(
        _ seed: Int
    ) async throws {
        try await withTemporaryFolder { folder in
            try await DedicatedThread.run(name: "test-history") {
                let history = try ArchiveHistory(seed: UInt64(seed), folder: folder)
                do {
                    for _ in 0..<120 { try history.step() }
                    try history.settle()
                } catch {
                    Issue.record("seed \(seed), after \(history.steps.suffix(12)): \(error)")
                }
            }
        }
    }
}

/// An image as the archive holds it.
private struct Image: Hashable {
    var uid: String
    var pixels: Int
    var patient: String
}

/// An object that the archive stores.
private struct StoredObject: Hashable {
    var uid: String
    var bytes: String
    var images: Set<String>
    var patient: String
    var predecessors: [String]
}

private final class ArchiveHistory {
    private let folder: URL
    private var spool: Spool
    private var journal: Journal
    private var random: Numbers
    private(set) var steps: [String] = []
    /// What the archive holds, by SOP Instance UID.
    private var images: [String: Image] = [:]
    /// What the archive still has to send.
    private var outgoing: [Image] = []
    private var objects: [StoredObject] = []
    /// What each file of an object says.
    private var written: [String: StoredObject] = [:]
    private var created: Int64 = 1_700_000_000
    /// The run that a worker is at.
    private var run: (job: Job, work: SegmentationJob, plans: ObjectPlans)?

    init(seed: UInt64, folder: URL) throws {
        self.folder = folder
        random = Numbers(state: seed)
        (spool, journal) = try Self.open(folder)
        for number in 1...3 { correct(Image(uid: "1.\(number)", pixels: 0, patient: "A")) }
    }

    private static func open(_ folder: URL) throws -> (Spool, Journal) {
        let spool = try Spool(
            SpoolConfiguration(
                path: folder.appending(path: "spool").path, minimumFree: 0,
                keep: .init(done: .zero, unmatched: .zero, quarantined: .zero)), access: .node(name: "TEST"))
        return (spool, try Journal(spool: spool, now: { Date() }))
    }

    func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<8: correctAll()
        case 8..<12: correctSome()
        case 12..<40: try named("receive") { try receive() }
        case 40..<55: try named("close") { try close() }
        case 55..<72: try named("work") { try workOn() }
        case 72..<90: try named("send") { try send() }
        case 90..<93: try named("retry") { try retry() }
        case 93..<96: try named("kill") { try kill() }
        default: try named("retain") { try retain() }
        }
    }

    private func named(_ name: String, _ body: () throws -> Void) rethrows {
        steps.append(name)
        try body()
    }

    /// Lets everything end, and compares the archive with what must hold.
    func settle() throws {
        // A correction that reached only a part of the images is completed at last.
        let patient = images.values.map(\.patient).max() ?? ""
        for image in images.values.sorted(by: { $0.uid < $1.uid }) where image.patient != patient {
            correct(Image(uid: image.uid, pixels: image.pixels, patient: patient))
        }
        for _ in 0..<100 {
            while !outgoing.isEmpty { try receive() }
            try close()
            try workOn()
            try send(always: true)
            try retry()
        }
        steps.append("settle")
        #expect(run == nil)
        #expect(try journal.read { try $0.openSeries() }.isEmpty)
        let all = Set(images.values.map { "\($0.uid) \($0.pixels)" })
        let newest = try #require(objects.last)
        #expect(newest.images == all, "\(steps)")
        #expect(newest.patient == patient, "\(steps)")
        var before: [String] = []
        for object in objects {
            #expect(Set(object.predecessors).isSubset(of: before), "a predecessor is not in the archive: \(steps)")
            before.append(object.uid)
        }
        #expect(Set(newest.predecessors) == Set(before.dropLast()), "\(steps)")
    }

    // MARK: - The archive

    private func correct(_ image: Image) {
        images[image.uid] = image
        outgoing.append(image)
    }

    private func correctAll() {
        steps.append("correct all")
        let patient = ["A", "B", "C"].randomElement(using: &random) ?? ""
        for image in images.values.sorted(by: { $0.uid < $1.uid }) {
            correct(Image(uid: image.uid, pixels: image.pixels, patient: patient))
        }
    }

    /// Replaces an image or adds one, of the patient of another one.
    private func correctSome() {
        steps.append("correct some")
        let patient = images["1.1"]?.patient ?? ""
        correct(
            Image(
                uid: "1.\(Int.random(in: 1...5, using: &random))", pixels: Int.random(in: 0...1, using: &random),
                patient: patient))
        // The archive forgets nothing: a study that the node may have forgotten is sent as a whole.
        for image in images.values.sorted(by: { $0.uid < $1.uid }) { outgoing.append(image) }
    }

    // MARK: - The node

    private func receive() throws {
        if outgoing.isEmpty { return }
        let image = outgoing.removeFirst()
        let file = try spool.incomingFile(now: Date())
        try Array("header".utf8).withUnsafeBytes { try file.writeHeader($0) }
        try Array("\(image)".utf8).withUnsafeBytes { try file.append($0) }
        let reception = try journal.commit(
            file,
            IncomingInstance(
                sopClassUID: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUID: image.uid,
                transferSyntaxUID: "1.2.840.10008.1.2.1",
                association: AssociationFacts(
                    id: UUID(), callingAETitle: "ARCHIVE", calledAETitle: "KONTUR", address: "10.0.0.1",
                    peer: "archive")))
        if case .duplicate = reception { return }
        var instance = IndexedInstance(
            id: reception.id, studyInstanceUID: "1.2", seriesInstanceUID: "1.2.3", modality: "MR",
            imageDigest: "\(image.uid) \(image.pixels)", patientID: image.patient,
            attributes: ["PatientID": image.patient], header: Data("{}".utf8))
        while true {
            let outcome = try journal.write { [instance] in try $0.indexed([instance], AuditEvent()) }.outcomes[0]
            switch outcome {
            case .compare(let variants): instance.otherImages.formUnion(variants.map(\.id))
            case .reopened(_, _, let superseded):
                // The dispatcher stops the run; the worker may have ended just before.
                if let running = run, superseded.contains(running.job.id), Bool.random(using: &random) { run = nil }
                return
            default: return
            }
        }
    }

    private func close() throws {
        guard let series = try journal.read({ try $0.openSeries() }).first else { return }
        let instances = try journal.read { try $0.instances(of: series.id) }
        let patients = Set(instances.map { $0.attributes?["PatientID"] })
        guard patients.count == 1 else {
            return try journal.write { try $0.setAside(series, AuditEvent(reason: "two patients")) }
        }
        let newest = instances.indices.max { instances[$0].id < instances[$1].id } ?? 0
        created += 1
        let work = SegmentationJob(
            segmenter: .stub, type: .binary, gaps: .refuse,
            sources: instances.map {
                .init(
                    path: String($0.path.dropFirst(spool.path.count + 1)), sopInstanceUID: $0.sopInstanceUID,
                    imageDigest: $0.imageDigest, copied: "c")
            }, newestSource: newest, copiedFromNewest: instances[newest].attributes?["PatientID"],
            outputs: [.init(.segmentation(.strict), peers: ["archive"])], created: created, localOffsetFromUTC: 0,
            notes: [])
        try journal.write { transaction in
            try transaction.closed(series, AuditEvent())
            let stack = try transaction.routed(
                NewStack(
                    series: series.id, revision: series.revision, key: "stack", instances: instances.map(\.id),
                    segmenter: "stub"), AuditEvent())
            _ = try transaction.queued(stack, kind: SegmentationJob.kind, payload: work.encoded(), AuditEvent())
        }
    }

    /// Starts the next run, or ends the present one.
    private func workOn() throws {
        guard let (job, work, plans) = run else {
            guard let id = try journal.read({ try $0.queuedJobs() }).first else { return }
            let job = try #require(try journal.read { try $0.job(id) })
            let work = try SegmentationJob.decoded(job.payload)
            run = (
                job, work,
                try journal.write { transaction in
                    try transaction.running(id, run: "run", AuditEvent())
                    return try ObjectPlans(transaction, job, work, softwareVersion: "7")
                }
            )
            return
        }
        run = nil
        let plan = plans.plans[0]
        let output = try plan.stored.map { stored(try #require($0.path), $0, plan) } ?? write(plan, work)
        do {
            _ = try journal.write {
                try $0.done(job.id, JobResult(outputs: [output], outcome: "segmented", confidence: 0.9), AuditEvent())
            }
        } catch let error as StateError {
            // The job was superseded.
            guard case .wrongState = error else { throw error }
            if plan.stored == nil { spool.discard(output.path) }
        }
    }

    private func stored(_ path: String, _ object: DerivedInstance, _ plan: ObjectPlan) -> NewDerivedInstance {
        NewDerivedInstance(
            sopClassUID: object.sopClassUID, sopInstanceUID: object.sopInstanceUID,
            transferSyntaxUID: object.transferSyntaxUID, studyInstanceUID: "1.2",
            seriesInstanceUID: plan.storedSeriesInstanceUID ?? "", kind: "strict",
            path: String(path.dropFirst(spool.path.count + 1)), sha256: object.sha256, size: object.size,
            peers: ["archive"])
    }

    /// Writes an object as a worker does: one that was written before gets its UID only if the bytes are the same.
    private func write(_ plan: ObjectPlan, _ work: SegmentationJob) throws -> NewDerivedInstance {
        func object(_ description: ObjectDescription) throws -> StoredObject {
            let source = work.sources[work.newestSource]
            let file = try String(contentsOfFile: "\(spool.path)/\(source.path)", encoding: .utf8)
            let patient = try #require(["A", "B", "C"].first { file.contains("patient: \"\($0)\"") })
            let uids = description.predecessors.map(\.sopInstanceUID)
            let images = work.sources.map(\.imageDigest)
            return StoredObject(
                uid: description.sopInstanceUID,
                bytes: "\(description.sopInstanceUID) \(description.created) \(images) \(patient) \(uids)",
                images: Set(images), patient: patient, predecessors: uids)
        }
        var (description, made) = (plan.description, try object(plan.description))
        if let repetition = plan.repetition, repetition.sha256 != made.bytes {
            (description, made) = (repetition.otherwise, try object(repetition.otherwise))
        }
        let path = spool.workPath + "/" + UUID().uuidString + "-strict.dcm"
        try Data(made.bytes.utf8).write(to: URL(fileURLWithPath: path))
        written[made.bytes] = made
        return NewDerivedInstance(
            sopClassUID: SOPClass.segmentation, sopInstanceUID: made.uid, transferSyntaxUID: "1.2.840.10008.1.2.1",
            studyInstanceUID: "1.2", seriesInstanceUID: description.seriesInstanceUID, kind: "strict",
            path: try spool.acceptDerived(path, now: Date()), sha256: made.bytes, size: 3, peers: ["archive"],
            predecessors: made.predecessors, description: try JSONEncoder().encode(description),
            answerKey: work.answerKey)
    }

    // MARK: - Sending

    /// Offers an object; the archive may refuse it, or its answer may get lost.
    private func send(always: Bool = false) throws {
        guard let delivery = try journal.read({ try $0.pendingDeliveries() }).first else { return }
        guard try journal.write({ try $0.offered(delivery.id) }) else { return }
        let chance = always ? 0 : Int.random(in: 0..<10, using: &random)
        if chance >= 8 {
            try journal.write { transaction in
                if chance == 8 {
                    try transaction.pendingAgain(delivery.id, spent: .seconds(1), AuditEvent(reason: "refused"))
                } else {
                    try transaction.dead(delivery.id, status: 0xC000, AuditEvent(reason: "refused"))
                }
            }
            return
        }
        let path = try #require(delivery.object.path)
        let object = try #require(written[try String(contentsOfFile: path, encoding: .utf8)])
        if let known = objects.first(where: { $0.uid == object.uid }) {
            #expect(known == object, "two objects of one UID")
        } else {
            objects.append(object)
        }
        switch chance {
        case 5:
            // The answer comes after the next corrections.
            try receive()
            try receive()
            try close()
            try workOn()
            try journal.write { try $0.sent(delivery.id, status: 0, AuditEvent()) }
        case 6:
            try journal.write {
                try $0.pendingAgain(
                    delivery.id, spent: .seconds(1), mayHaveArrived: true, AuditEvent(reason: "the connection broke"))
            }
        case 7: try kill()
        default: try journal.write { try $0.sent(delivery.id, status: 0, AuditEvent()) }
        }
    }

    /// A person retries what is dead, and the series that are set aside.
    private func retry() throws {
        let jobs = try journal.read { try $0.jobs() }
        for delivery in jobs.flatMap(\.deliveries) where delivery.state == .dead {
            do {
                try journal.write { try $0.revived(delivery.id, AuditEvent()) }
            } catch StateError.outdated(_) {}
        }
        for series in try journal.read({ try $0.seriesToReview() }) where series.state == .setAside {
            try journal.write { try $0.resumed(series.id, AuditEvent()) }
        }
    }

    // MARK: - Ends and retention

    /// The node ends without a stop, and starts again.
    private func kill() throws {
        run = nil
        let other = folder.appending(path: "other")
        (spool, journal) = try Self.open(other)
        (spool, journal) = try Self.open(folder)
        try FileManager.default.removeItem(at: other)
        _ = try journal.write { try $0.rescued(AuditEvent()) }
    }

    private func retain() throws {
        try Retention(journal: journal).run()
        // The archive sends a study that the node has forgotten as a whole.
        guard try journal.read({ try $0.study("1.2") }) == nil else { return }
        outgoing = images.values.sorted { $0.uid < $1.uid }
    }
}

/// A seeded generator: SplitMix64.
private struct Numbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
