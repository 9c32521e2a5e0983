// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence

/// A spool and its journal in a temporary folder, which is removed with this object.
final class TestNode: Sendable {
    let path: String
    let spool: Spool
    let journal: Journal
    private let owns: Bool
    /// The wall clock, which also names the folders of received files.
    private let clock: @Sendable () -> Date

    /// Opens the spool at `path`, which stays, or makes one that is removed with this object.
    init(
        path: String? = nil, calls: DurableCalls = .real, minimumFree: Int64 = 0, maxInstance: Int64 = 1 << 20,
        keep: SpoolConfiguration.Keep = .init(), pageSize: Int = 200,
        now: @escaping @Sendable () -> Date = { Date() }, sinceBoot: (@Sendable () -> Duration)? = nil,
        boot: String? = nil
    ) throws {
        self.path = path ?? Self.temporary()
        owns = path == nil
        clock = now
        spool = try Spool(
            SpoolConfiguration(path: self.path, minimumFree: minimumFree, maxInstance: maxInstance, keep: keep),
            access: .node(name: "TEST"), calls: calls)
        journal = try Journal(
            spool: spool, facts: Self.facts, now: now, sinceBoot: sinceBoot, boot: boot, pageSize: pageSize)
    }

    deinit {
        if owns { try? FileManager.default.removeItem(atPath: path) }
    }

    static func temporary() -> String {
        FileManager.default.temporaryDirectory.appending(path: "kontur-spool-\(UUID().uuidString)").path
    }

    static func association(_ aeTitle: String = "ENDO1") -> AssociationFacts {
        AssociationFacts(
            id: UUID(), callingAETitle: aeTitle, calledAETitle: "KONTUR", address: "10.1.0.7", peer: "scope")
    }

    // MARK: - Receiving

    static let explicitLittle = "1.2.840.10008.1.2.1"
    static let mrImage = "1.2.840.10008.5.1.4.1.1.4"

    func file(_ bytes: [UInt8], now: Date? = nil) throws -> IncomingFile {
        let file = try spool.incomingFile(now: now ?? clock())
        try Array("header".utf8).withUnsafeBytes { try file.writeHeader($0) }
        try bytes.withUnsafeBytes { try file.append($0) }
        return file
    }

    /// A Part 10 header in a form of its own: preamble, prefix, and one line per value.
    static func header(_ uid: String, _ transferSyntax: String = explicitLittle) -> [UInt8] {
        [UInt8](repeating: 0, count: 128)
            + Array("DICM\(mrImage)\n\(uid)\n\(transferSyntax)\nENDO1\n\n".utf8)
    }

    /// Reads ``header(_:_:)``.
    static let facts: StoredFileFacts.Reader = { head in
        guard head.count > 132, head[128..<132].elementsEqual("DICM".utf8) else { return nil }
        let lines = String(decoding: head.dropFirst(132), as: UTF8.self).split(separator: "\n")
        guard lines.count >= 4 else { return nil }
        return StoredFileFacts(
            sopClassUID: String(lines[0]), sopInstanceUID: String(lines[1]), transferSyntaxUID: String(lines[2]),
            sourceAETitle: String(lines[3]),
            headerSize: 132 + Int64(lines[..<4].reduce(1) { $0 + $1.utf8.count + 1 }))
    }

    /// The file of an instance with a header that can be sealed.
    func part10(_ uid: String, _ bytes: [UInt8]) throws -> IncomingFile {
        let file = try spool.incomingFile(now: clock())
        try Self.header(uid).withUnsafeBytes { try file.writeHeader($0) }
        try bytes.withUnsafeBytes { try file.append($0) }
        return file
    }

    /// Receives an instance with a header that can be sealed.
    @discardableResult
    func receivePart10(_ uid: String, _ bytes: [UInt8] = [1, 2, 3, 4]) throws -> Reception {
        try journal.commit(
            part10(uid, bytes),
            IncomingInstance(
                sopClassUID: Self.mrImage, sopInstanceUID: uid, transferSyntaxUID: Self.explicitLittle,
                association: Self.association()))
    }

    @discardableResult
    func receive(
        _ uid: String, _ bytes: [UInt8] = [1, 2, 3, 4], transferSyntax: String = explicitLittle,
        over association: AssociationFacts = association(), now: Date? = nil
    ) throws -> Reception {
        try journal.commit(
            file(bytes, now: now),
            IncomingInstance(
                sopClassUID: Self.mrImage, sopInstanceUID: uid, transferSyntaxUID: transferSyntax,
                association: association))
    }

    // MARK: - Moving on

    static func indexed(
        _ id: InstanceID, study: String = "1.2", series: String = "1.2.3", digest: String? = nil,
        attributes: [String: String] = [:]
    ) -> IndexedInstance {
        IndexedInstance(
            id: id, studyInstanceUID: study, seriesInstanceUID: series, modality: "MR",
            imageDigest: digest ?? "digest \(id.rawValue)", patientID: "patient", attributes: attributes,
            header: Data("{}".utf8))
    }

    /// Indexes an instance; a variant with another digest counts as another image.
    @discardableResult
    func index(
        _ id: InstanceID, study: String = "1.2", series: String = "1.2.3", digest: String? = nil,
        attributes: [String: String] = [:]
    ) throws -> IndexedOutcome {
        try indexing(Self.indexed(id, study: study, series: series, digest: digest, attributes: attributes)).outcomes[0]
    }

    /// Indexes an instance; a variant with another digest counts as another image.
    func indexing(_ instance: IndexedInstance) throws -> Indexing {
        var instance = instance
        while true {
            let indexing = try journal.write { [instance] in try $0.indexed([instance], AuditEvent()) }
            guard case .compare(let variants) = indexing.outcomes[0] else { return indexing }
            instance.otherImages.formUnion(variants.map(\.id))
        }
    }

    /// Receives and indexes instances of one series.
    @discardableResult
    func fill(_ uids: [String], series: String = "1.2.3") throws -> [InstanceID] {
        try uids.map { uid in
            let id = try receive(uid, Array(uid.utf8)).id
            try index(id, series: series)
            return id
        }
    }

    func openSeries() throws -> OpenSeries {
        try journal.read { try $0.openSeries() }[0]
    }

    /// Closes the first open series with one routed stack of all its instances, and queues its job.
    @discardableResult
    func close() throws -> JobID {
        let series = try openSeries()
        let instances = try journal.read { try $0.instances(of: series.id) }.map(\.id)
        return try journal.write { transaction in
            try transaction.closed(series, AuditEvent())
            let stack = try transaction.routed(
                NewStack(
                    series: series.id, revision: series.revision, key: "stack", instances: instances,
                    route: "left-atrium", segmenter: "left-atrium-compact", configurationHash: "c0ffee"), AuditEvent())
            return try transaction.queued(stack, kind: "segment", payload: Data("work".utf8), AuditEvent())
        }
    }

    /// An object in `derived/`, as a worker and the dispatcher would leave it.
    func derived(_ uid: String, peers: [String] = ["archive"]) throws -> NewDerivedInstance {
        let written = spool.workPath + "/" + UUID().uuidString
        try Data("SEG \(uid)".utf8).write(to: URL(fileURLWithPath: written))
        return NewDerivedInstance(
            sopClassUID: "1.2.840.10008.5.1.4.1.1.66.4", sopInstanceUID: uid, transferSyntaxUID: Self.explicitLittle,
            studyInstanceUID: "1.2", seriesInstanceUID: uid + ".1", kind: "strict",
            path: try spool.acceptDerived(written, now: clock()), sha256: "feed", size: 4, peers: peers)
    }

    /// Runs a queued job to its end.
    @discardableResult
    func finish(
        _ job: JobID, _ outputs: [NewDerivedInstance], standing: JobResult.Standing = .trusted
    ) throws -> [DeliveryID] {
        try journal.write { transaction in
            try transaction.running(job, run: "run", AuditEvent())
            return try transaction.done(
                job, JobResult(outputs: outputs, outcome: "segmented", confidence: 0.9, standing: standing),
                AuditEvent())
        }
    }

    // MARK: - Examining

    func state(_ job: JobID) throws -> JobState? { try journal.read { try $0.job(job)?.state } }

    func delivery(_ id: DeliveryID) throws -> Delivery? { try journal.read { try $0.delivery(id) } }

    /// All records of the trail that meet a filter, in their order.
    func records(_ filter: AuditTrail.Filter = .init()) throws -> [AuditRecord] {
        try AuditTrail(journal: journal).latest(10_000, filter).reversed()
    }

    func events() throws -> [String] { try records().map(\.event) }

    /// Durable instances that wait to be indexed, read page by page.
    func received() throws -> [ReceivedInstance] {
        var found: [ReceivedInstance] = []
        var last: InstanceID?
        repeat {
            let page = try journal.read { try $0.arrivals(after: last) }
            found += page.instances
            last = page.last
        } while last != nil
        return found
    }

    /// Changes the database as somebody else's program would.
    func sql(_ statements: String) throws {
        try DatabaseQueue(path: spool.databasePath).write { try $0.execute(sql: statements) }
    }

    /// The row of an instance.
    struct StoredInstance {
        let why: String?
        /// Relative to the spool.
        let path: String
    }

    /// The instances in one state.
    func instances(_ state: InstanceState) throws -> [StoredInstance] {
        try DatabaseQueue(path: spool.databasePath).read { db in
            try Row.fetchAll(
                db, sql: "SELECT why, folder || '/' || file AS path FROM instance WHERE state = ?",
                arguments: [state.rawValue]
            ).map { StoredInstance(why: $0["why"], path: $0["path"]) }
        }
    }

    /// The stored path of each instance that is not quarantined, relative to the spool.
    func stored() throws -> [Int64: String] {
        try DatabaseQueue(path: spool.databasePath).read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT id, folder || '/' || file AS path FROM instance WHERE state <> 'quarantined'")
            return Dictionary(uniqueKeysWithValues: rows.map { ($0["id"], $0["path"]) })
        }
    }

    /// The instances of a stack, in stack order.
    func instances(of stack: StackID) throws -> [InstanceID] {
        try DatabaseQueue(path: spool.databasePath).read { db in
            try Int64.fetchAll(
                db, sql: "SELECT instanceId FROM stackInstance WHERE stackId = ? ORDER BY position",
                arguments: [stack.rawValue]
            ).map { InstanceID(rawValue: $0) }
        }
    }

    func count(_ state: InstanceState) throws -> Int {
        try journal.status().instances.first { $0.state == state.rawValue }?.count ?? 0
    }

    /// The files below a folder of the spool, relative to it.
    func files(_ folder: String) -> [String] {
        let root = path + "/" + folder
        let all = FileManager.default.enumerator(atPath: root)?.allObjects as? [String] ?? []
        return all.filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: root + "/" + name, isDirectory: &isFolder)
                && !isFolder.boolValue
        }.sorted()
    }
}

// MARK: - Storage commitment

extension TestNode {
    /// Asks a peer about a delivery, which is sent first if necessary.
    @discardableResult
    func ask(_ transaction: String, about delivery: DeliveryID, deadline: Duration = .seconds(3600)) throws
        -> CommitmentRequestID
    {
        try journal.write { view in
            if try view.delivery(delivery)?.state == .pending {
                try view.sent(delivery, status: 0, commitBy: .seconds(72 * 3600), AuditEvent())
            }
            let peer = try view.uncommitted(delivery)?.peer ?? "none"
            let asked = try view.commitmentAsked(
                transaction, of: peer, [delivery], deadline: deadline, AuditEvent(by: AuditActor(aeTitle: "ARCHIVE")))
            guard let (id, _) = asked else { throw StateError.unknown("uncommitted delivery", delivery.rawValue) }
            return id
        }
    }

    /// Takes a request of the peer "scope" about instances.
    func request(
        _ transaction: String, _ items: [(sopClassUID: String, sopInstanceUID: String)], mostOpen: Int = 10
    ) throws -> CommitmentReception {
        try journal.write {
            try $0.commitmentReceived(
                transaction, from: "scope",
                items.map { CommitmentItem(sopClassUID: $0.sopClassUID, sopInstanceUID: $0.sopInstanceUID) },
                mostOpen: mostOpen, dueAfter: .seconds(1), giveUpAfter: .seconds(100), AuditEvent())
        }
    }

    /// The report for a new request of the peer "scope".
    func receiveRequest(
        _ transaction: String, _ items: [(sopClassUID: String, sopInstanceUID: String)]
    ) throws -> CommitmentReportID {
        guard case .received(let id) = try request(transaction, items) else {
            throw StateError.unknown("commitmentReport", 0)
        }
        return id
    }
}
