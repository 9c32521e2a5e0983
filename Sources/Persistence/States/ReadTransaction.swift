// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Platform

/// One consistent view of the journal, valid only inside ``Journal/read(_:)`` or ``Journal/write(_:)``.
///
/// A list is read in pages, so that a transaction does not stay open for long. A method that takes `after` returns the
/// next page, and an empty page at the end of the list.
public class ReadTransaction {
    let db: Database
    let spool: Spool
    /// Number of rows in one page.
    let pageSize: Int
    private let unsettled: UnsettledInstances

    init(db: Database, spool: Spool, unsettled: UnsettledInstances, pageSize: Int) {
        self.db = db
        self.spool = spool
        self.pageSize = pageSize
        self.unsettled = unsettled
    }

    /// The rows of a query.
    func rows(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws -> [Row] {
        try Row.fetchAll(db.cachedStatement(sql: sql), arguments: arguments)
    }

    /// The first row of a query.
    func row(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws -> Row? {
        try Row.fetchOne(db.cachedStatement(sql: sql), arguments: arguments)
    }

    // MARK: - Instances

    /// A page of instances that wait to be indexed.
    public struct Arrivals: Sendable {
        /// The durable instances of the page, in the order of receipt.
        public let instances: [ReceivedInstance]
        /// The last row of the page, after which the next page begins; `nil` at the end of the list.
        public let last: InstanceID?
        /// The first row that was left out, because its file is not durable yet.
        ///
        /// The instance arrives later, although its number is lower than the numbers of other instances in the page.
        public let firstUnsettled: InstanceID?
    }

    /// The next page of instances that wait to be indexed, in the order of receipt.
    public func arrivals(after: InstanceID? = nil) throws -> Arrivals {
        let page = try rows(Self.receivedInstances, [after?.rawValue ?? 0, pageSize])
        var settled: [ReceivedInstance] = []
        var firstUnsettled: InstanceID?
        for row in page {
            let id = InstanceID(rawValue: row["id"])
            if unsettled.contains(id.rawValue) {
                firstUnsettled = firstUnsettled ?? id
            } else {
                settled.append(received(row))
            }
        }
        return Arrivals(
            instances: settled, last: page.last.map { InstanceID(rawValue: $0["id"]) }, firstUnsettled: firstUnsettled)
    }

    private static let receivedInstances = """
        SELECT i.id, i.folder, i.file, i.sopClassUID, i.sopInstanceUID, i.transferSyntaxUID, i.receivedAt,
            a.uuid, a.callingAETitle, a.address
        FROM instance i JOIN association a ON a.id = i.associationId
        WHERE i.state = 'received' AND i.id > ? ORDER BY i.id LIMIT ?
        """

    private func received(_ row: Row) -> ReceivedInstance {
        ReceivedInstance(
            id: InstanceID(rawValue: row["id"]), path: path(row), sopClassUID: row["sopClassUID"],
            sopInstanceUID: row["sopInstanceUID"], transferSyntaxUID: row["transferSyntaxUID"],
            association: UUID(uuidString: row["uuid"]), callingAETitle: row["callingAETitle"],
            peerAddress: row["address"], receivedAt: Date(microseconds: row["receivedAt"]))
    }

    /// Whether the file of an instance is not durable, so that readers must not see its row.
    func isUnsettled(_ id: Int64) -> Bool { unsettled.contains(id) }

    /// Whether Kontur made the object with this SOP Instance UID.
    public func isOurs(_ sopInstanceUID: String) throws -> Bool {
        try row("SELECT 1 FROM derivedInstance WHERE sopInstanceUID = ?", [sopInstanceUID]) != nil
    }

    /// Absolute path of an instance's file.
    func path(_ row: Row) -> String {
        let folder: String = row["folder"]
        let file: String = row["file"]
        return spool.absolute(folder + "/" + file)
    }

    // MARK: - Series and stacks

    private static let openSeries = "SELECT s.* FROM series s"

    /// The next page of series that take instances, in the order of their numbers.
    public func openSeries(after: SeriesID? = nil) throws -> [OpenSeries] {
        try rows(
            Self.openSeries + " WHERE s.state = 'open' AND s.id > ? ORDER BY s.id LIMIT ?",
            [after?.rawValue ?? 0, pageSize]
        ).map(openSeries)
    }

    /// The series, or `nil` if it is not open.
    public func openSeries(_ id: SeriesID) throws -> OpenSeries? {
        try row(Self.openSeries + " WHERE s.state = 'open' AND s.id = ?", [id.rawValue]).map(openSeries)
    }

    /// The first page of open series that a person sent back to the assembler.
    public func recalledSeries() throws -> [OpenSeries] {
        try rows(Self.openSeries + " WHERE s.recalled = 1 AND s.state = 'open' ORDER BY s.id LIMIT ?", [pageSize])
            .map(openSeries)
    }

    private func openSeries(_ row: Row) -> OpenSeries {
        let accepted: Int? = row["accepted"]
        return OpenSeries(
            id: SeriesID(rawValue: row["id"]), studyInstanceUID: row["studyInstanceUID"],
            seriesInstanceUID: row["seriesInstanceUID"], modality: row["modality"], revision: row["revision"],
            received: row["received"], lastInstance: InstanceID(rawValue: row["lastInstanceId"]),
            isAccepted: accepted == row["received"])
    }

    private static let seriesInstance = """
        SELECT i.id, i.folder, i.file, i.sopClassUID, i.sopInstanceUID, i.transferSyntaxUID, i.imageDigest, i.sha256,
            a.callingAETitle, h.header, h.attributes
        FROM instance i JOIN association a ON a.id = i.associationId JOIN instanceHeader h ON h.instanceId = i.id
        """

    /// All current instances of a series, in the order of receipt.
    public func instances(of series: SeriesID) throws -> [SeriesInstance] {
        try rows(
            Self.seriesInstance + " WHERE i.seriesId = ? AND i.isCurrent AND i.state = 'indexed' ORDER BY i.id",
            [series.rawValue]
        ).map(seriesInstance)
    }

    private func seriesInstance(_ row: Row) -> SeriesInstance {
        SeriesInstance(
            id: InstanceID(rawValue: row["id"]), path: path(row), sopClassUID: row["sopClassUID"],
            sopInstanceUID: row["sopInstanceUID"], transferSyntaxUID: row["transferSyntaxUID"],
            imageDigest: row["imageDigest"] ?? "", sha256: (row["sha256"] as Data).hexadecimal,
            attributes: AttributeHashes.decode(row["attributes"]), callingAETitle: row["callingAETitle"],
            header: row["header"])
    }

    // MARK: - Jobs

    private static let job = """
        SELECT j.*, p.payload, k.seriesId, k.revision, k.key, k.route, k.segmenter, k.configurationHash,
            s.studyInstanceUID, s.seriesInstanceUID
        FROM job j JOIN jobPayload p ON p.jobId = j.id JOIN stack k ON k.id = j.stackId JOIN series s ON s.id = k.seriesId
        """

    /// The next page of jobs that wait for a worker, oldest first.
    public func queuedJobs(after: JobID? = nil) throws -> [JobID] {
        try rows(
            "SELECT id FROM job WHERE state = 'queued' AND id > ? ORDER BY id LIMIT ?",
            [after?.rawValue ?? 0, pageSize]
        ).map { JobID(rawValue: $0["id"]) }
    }

    /// The job, or `nil` if it does not exist.
    public func job(_ id: JobID) throws -> Job? {
        try row(Self.job + " WHERE j.id = ?", [id.rawValue]).map(job)
    }

    private func job(_ row: Row) throws -> Job {
        Job(
            id: JobID(rawValue: row["id"]), kind: row["kind"], state: try state(row), payload: row["payload"],
            stack: StackID(rawValue: row["stackId"]), stackKey: row["key"], series: SeriesID(rawValue: row["seriesId"]),
            revision: row["revision"], studyInstanceUID: row["studyInstanceUID"],
            seriesInstanceUID: row["seriesInstanceUID"], route: row["route"], segmenter: row["segmenter"],
            configurationHash: row["configurationHash"], attempts: row["attempts"], why: row["why"])
    }

    /// The study, series, route and segmenter of a job, for a record; `nil` if the job does not exist.
    ///
    /// A job whose stack or series is missing has a subject without them.
    func jobSubject(_ id: JobID) throws -> AuditSubject? {
        try row(
            """
            SELECT k.revision, k.route, k.segmenter, k.configurationHash, s.studyInstanceUID, s.seriesInstanceUID
            FROM job j LEFT JOIN stack k ON k.id = j.stackId LEFT JOIN series s ON s.id = k.seriesId WHERE j.id = ?
            """, [id.rawValue]
        ).map { row in
            AuditSubject(
                study: row["studyInstanceUID"], series: row["seriesInstanceUID"], revision: row["revision"],
                job: id.rawValue, route: row["route"], segmenter: row["segmenter"],
                configurationHash: row["configurationHash"])
        }
    }

    /// The state of a row.
    ///
    /// - Throws: ``StateError/wrongState(_:_:found:)`` for a text that is not a state.
    func state<State: RawRepresentable<String>>(_ row: Row) throws -> State {
        let text: String = row["state"]
        guard let state = State(rawValue: text) else { throw StateError.wrongState("row", row["id"], found: text) }
        return state
    }

    /// The stored paths of the instances of a stack at this moment, by SOP Instance UID.
    ///
    /// The path of an instance changes if its file was lost and arrives again.
    public func storedPaths(of stack: StackID) throws -> [String: String] {
        let rows = try rows(
            """
            SELECT i.sopInstanceUID, i.folder || '/' || i.file AS path
            FROM stackInstance m JOIN instance i ON i.id = m.instanceId WHERE m.stackId = ?
            """, [stack.rawValue])
        return Dictionary(rows.map { ($0["sopInstanceUID"], $0["path"]) }) { first, _ in first }
    }

    // MARK: - Derived instances and deliveries

    private static let derived = """
        SELECT d.id AS objectId, d.sopClassUID, d.sopInstanceUID, d.transferSyntaxUID, d.studyInstanceUID,
            d.seriesInstanceUID, d.kind, d.path, d.sha256, d.size, d.revision, d.isSent, d.confidence
        """

    /// With the description and the open offers, which lists of deliveries do without.
    private static let described =
        derived + """
            , d.description, EXISTS (
                SELECT 1 FROM delivery o WHERE o.derivedInstanceId = d.id AND o.offeredAt IS NOT NULL) AS isOffered
            """

    /// Kontur's own object with this SOP Instance UID, whether it was sent or not.
    public func derivedInstance(_ sopInstanceUID: String) throws -> DerivedInstance? {
        try row(Self.described + " FROM derivedInstance d WHERE d.sopInstanceUID = ?", [sopInstanceUID]).map(derived)
    }

    /// The confidence of the job that made an object last (0...1), and whether it was low.
    public func judgement(of sopInstanceUID: String) throws -> (confidence: Double?, isLow: Bool)? {
        try row(
            """
            SELECT coalesce(j.confidence, d.confidence) AS confidence, coalesce(j.lowConfidence, 0) AS isLow
            FROM derivedInstance d LEFT JOIN job j ON j.id = d.jobId
            WHERE d.sopInstanceUID = ? AND (j.id IS NOT NULL OR d.confidence IS NOT NULL)
            """, [sopInstanceUID]
        ).map { ($0["confidence"], $0["isLow"] == 1) }
    }

    /// The objects that were made before for the stack and the segmenter of a job, the latest first.
    ///
    /// They are found by study, series, key of the stack and segmenter, so that they are found after retention has
    /// deleted their jobs, too. A stack with another key is the same stack if both share a source.
    public func objects(before job: JobID) throws -> [DerivedInstance] {
        try rows(
            Self.described + """
                 FROM job new JOIN stack ns ON ns.id = new.stackId JOIN series s ON s.id = ns.seriesId
                JOIN derivedInstance d ON d.sourceSeriesInstanceUID = s.seriesInstanceUID
                    AND d.studyInstanceUID = s.studyInstanceUID AND d.segmenter IS ns.segmenter
                WHERE new.id = ? AND (d.stackKey = ns.key OR EXISTS (
                    SELECT 1 FROM stackInstance n JOIN instance ni ON ni.id = n.instanceId
                    JOIN instance oi ON oi.sopInstanceUID = ni.sopInstanceUID
                    JOIN stackInstance o ON o.instanceId = oi.id JOIN job old ON old.stackId = o.stackId
                    WHERE n.stackId = ns.id AND old.id = d.jobId))
                ORDER BY d.id DESC
                """, [job.rawValue]
        ).map(derived)
    }

    /// The objects that were made of a series, the latest first, also those whose files and jobs retention has deleted.
    public func formerObjects(of series: OpenSeries) throws -> [FormerObject] {
        try rows(
            """
            SELECT stackKey, segmenter, description FROM derivedInstance
            WHERE sourceSeriesInstanceUID = ? AND studyInstanceUID = ? AND stackKey IS NOT NULL ORDER BY id DESC
            """, [series.seriesInstanceUID, series.studyInstanceUID]
        ).map { FormerObject(stackKey: $0["stackKey"], segmenter: $0["segmenter"], description: $0["description"]) }
    }

    /// The objects that the job's objects will replace: those of ``objects(before:)`` that a peer has, or may have.
    public func predecessors(of job: JobID) throws -> [DerivedInstance] {
        try objects(before: job).filter(\.mayBeSent)
    }

    /// The latest stored object of an answer whose confidence is known; `nil` if none has its file.
    public func object(ofAnswer key: String) throws -> DerivedInstance? {
        try row(
            Self.described + """
                 FROM derivedInstance d
                WHERE d.answerKey = ? AND d.path IS NOT NULL AND d.confidence IS NOT NULL ORDER BY d.id DESC LIMIT 1
                """, [key]
        ).map(derived)
    }

    private func derived(_ row: Row) -> DerivedInstance {
        let path: String? = row["path"]
        let (isSent, isOffered): (Bool, Bool?) = (row["isSent"], row["isOffered"])
        return DerivedInstance(
            id: row["objectId"], sopClassUID: row["sopClassUID"], sopInstanceUID: row["sopInstanceUID"],
            transferSyntaxUID: row["transferSyntaxUID"], studyInstanceUID: row["studyInstanceUID"],
            seriesInstanceUID: row["seriesInstanceUID"], kind: row["kind"],
            path: path.map(spool.absolute), sha256: row["sha256"], size: row["size"], revision: row["revision"],
            isSent: isSent, mayBeSent: isSent || isOffered == true, description: row["description"],
            confidence: row["confidence"])
    }

    private static let delivery =
        derived + """
            , v.id, v.jobId, v.peer, v.state, v.attempts, v.tried, v.memory, v.why
            FROM delivery v JOIN derivedInstance d ON d.id = v.derivedInstanceId
            """

    /// The next page of deliveries that wait to be sent, oldest first.
    public func pendingDeliveries(after: DeliveryID? = nil) throws -> [Delivery] {
        try rows(
            Self.delivery + " WHERE v.state = 'pending' AND v.id > ? ORDER BY v.id LIMIT ?",
            [after?.rawValue ?? 0, pageSize]
        ).map(delivery)
    }

    /// The next page of deliveries that wait to be sent to a peer, oldest first.
    public func pendingDeliveries(to peer: String, after: DeliveryID? = nil) throws -> [Delivery] {
        try rows(
            Self.delivery + " WHERE v.state = 'pending' AND v.peer = ? AND v.id > ? ORDER BY v.id LIMIT ?",
            [peer, after?.rawValue ?? 0, pageSize]
        ).map(delivery)
    }

    /// The deliveries among these that wait to be sent; at most some thousand are looked up.
    public func pendingDeliveries(among ids: [DeliveryID]) throws -> [Delivery] {
        if ids.isEmpty { return [] }
        let list = "[\(ids.map { "\($0.rawValue)" }.joined(separator: ","))]"
        return try rows(
            Self.delivery + " WHERE v.id IN (SELECT value FROM json_each(?)) AND v.state = 'pending' ORDER BY v.id",
            [list]
        ).map(delivery)
    }

    /// The peers with deliveries that wait to be sent, in the order of their names.
    ///
    /// The time of the call does not grow with the number of deliveries.
    public func waitingPeers() throws -> [WaitingPeer] {
        // Each step of the recursion jumps to the next peer in the index.
        try rows(
            """
            WITH RECURSIVE waiting (peer) AS (
                SELECT min(peer) FROM delivery INDEXED BY deliveryPending WHERE state = 'pending'
                UNION ALL
                SELECT (SELECT min(d.peer) FROM delivery d INDEXED BY deliveryPending
                    WHERE d.state = 'pending' AND d.peer > waiting.peer)
                FROM waiting WHERE waiting.peer IS NOT NULL)
            SELECT peer, (SELECT max(v.id) FROM delivery v INDEXED BY deliveryPending
                WHERE v.state = 'pending' AND v.peer = waiting.peer) AS newest
            FROM waiting WHERE peer IS NOT NULL
            """
        ).map { WaitingPeer(name: $0["peer"], newest: DeliveryID(rawValue: $0["newest"])) }
    }

    /// The delivery, or `nil` if it does not exist.
    public func delivery(_ id: DeliveryID) throws -> Delivery? {
        try row(Self.delivery + " WHERE v.id = ?", [id.rawValue]).map(delivery)
    }

    private func delivery(_ row: Row) throws -> Delivery {
        let tried: Double = row["tried"]
        return Delivery(
            id: DeliveryID(rawValue: row["id"]), job: JobID(rawValue: row["jobId"]), peer: row["peer"],
            state: try state(row), object: derived(row), attempts: row["attempts"], tried: .seconds(tried),
            memory: row["memory"], why: row["why"])
    }
}

extension Date {
    /// The time of a row; `microseconds` counts from 1970-01-01T00:00:00Z.
    init(microseconds: Int64) { self.init(timeIntervalSince1970: Double(microseconds) / 1e6) }
    /// Microseconds since 1970-01-01T00:00:00Z, as rows store a time.
    var microseconds: Int64 { Int64((timeIntervalSince1970 * 1e6).rounded()) }
}
