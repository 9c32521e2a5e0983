// SPDX-License-Identifier: Apache-2.0
//
// What the services of storage commitment read: deliveries that wait for a peer's commitment, requests to peers, and
// requests of peers. An index holds the open ones, so that the time of a call does not grow with the others.

import GRDB

extension ReadTransaction {
    // MARK: - Deliveries without commitment

    private static let uncommitted = """
        SELECT v.id, v.peer, v.commitBy, v.unanswered, v.losses, v.commitmentRequestId, d.sopClassUID, d.sopInstanceUID
        FROM delivery v JOIN derivedInstance d ON d.id = v.derivedInstanceId
        """

    private func uncommitted(_ row: Row) -> UncommittedDelivery {
        let request: Int64? = row["commitmentRequestId"]
        return UncommittedDelivery(
            id: DeliveryID(rawValue: row["id"]), peer: row["peer"], sopClassUID: row["sopClassUID"],
            sopInstanceUID: row["sopInstanceUID"], commitBy: .microseconds(row["commitBy"] as Int64),
            unanswered: row["unanswered"], losses: row["losses"],
            request: request.map { CommitmentRequestID(rawValue: $0) })
    }

    /// The delivery, or `nil` if it does not wait for a peer's commitment.
    public func uncommitted(_ id: DeliveryID) throws -> UncommittedDelivery? {
        try row(Self.uncommitted + " WHERE v.id = ? AND v.state = 'sent' AND v.commitBy IS NOT NULL", [id.rawValue])
            .map(uncommitted)
    }

    /// The deliveries that a request is about and that still wait for the peer's commitment, in the order of their rows.
    public func uncommitted(in request: CommitmentRequestID) throws -> [UncommittedDelivery] {
        try rows(
            Self.uncommitted + """
                 JOIN commitmentReference f ON f.deliveryId = v.id
                WHERE f.requestId = ? AND v.state = 'sent' AND v.commitBy IS NOT NULL ORDER BY v.id
                """, [request.rawValue]
        ).map(uncommitted)
    }

    /// The peers with deliveries that wait for their commitment, in the order of their names.
    public func uncommittedPeers() throws -> [String] {
        // Each step of the recursion jumps to the next peer in the index.
        try rows(
            """
            WITH RECURSIVE waiting (peer) AS (
                SELECT min(peer) FROM delivery INDEXED BY deliveryUncommitted WHERE state = 'sent' AND commitBy IS NOT NULL
                UNION ALL
                SELECT (SELECT min(d.peer) FROM delivery d INDEXED BY deliveryUncommitted
                    WHERE d.state = 'sent' AND d.commitBy IS NOT NULL AND d.peer > waiting.peer)
                FROM waiting WHERE waiting.peer IS NOT NULL)
            SELECT peer FROM waiting WHERE peer IS NOT NULL
            """
        ).map { $0["peer"] }
    }

    /// The deliveries to a peer that wait for its commitment and that no open request is about, in the order in which
    /// they may be asked about.
    ///
    /// - Parameters:
    ///   - peer: name of the peer.
    ///   - time: time lived; `nil` also finds deliveries that may not be asked about yet.
    ///   - limit: the most deliveries.
    /// - Returns: the deliveries.
    /// - Throws: the errors of the database.
    public func deliveriesToAskAbout(_ peer: String, at time: Duration?, limit: Int) throws -> [UncommittedDelivery] {
        try rows(
            Self.uncommitted + """
                 WHERE v.peer = ? AND v.commitmentRequestId IS NULL AND v.askAfter <= ? AND v.state = 'sent'
                AND v.commitBy IS NOT NULL ORDER BY v.askAfter, v.id LIMIT ?
                """, [peer, time?.microseconds ?? .max, limit]
        ).map(uncommitted)
    }

    /// The first deliveries to a peer that wait for its commitment, whether a request is open or not.
    public func uncommittedDeliveries(to peer: String) throws -> [UncommittedDelivery] {
        try rows(
            Self.uncommitted + " WHERE v.peer = ? AND v.state = 'sent' AND v.commitBy IS NOT NULL LIMIT ?",
            [peer, pageSize]
        ).map(uncommitted)
    }

    // MARK: - Requests to peers

    private func request(_ row: Row) throws -> StoredCommitmentRequest {
        let id = CommitmentRequestID(rawValue: row["id"])
        return StoredCommitmentRequest(
            id: id, transactionUID: row["transactionUID"], peer: row["peer"], state: try state(row),
            deliveries: try uncommitted(in: id))
    }

    /// The request to a peer with a Transaction UID; `nil` if the node did not make it.
    public func commitmentRequest(_ transactionUID: String, to peer: String) throws -> StoredCommitmentRequest? {
        try row("SELECT * FROM commitmentRequest WHERE transactionUID = ? AND peer = ?", [transactionUID, peer])
            .map(request)
    }

    /// The first requests whose deadline is over at a time lived.
    public func overdueRequests(at time: Duration) throws -> [StoredCommitmentRequest] {
        try rows(
            "SELECT * FROM commitmentRequest WHERE state = 'asked' AND deadline <= ? ORDER BY deadline LIMIT ?",
            [time.microseconds, pageSize]
        ).map(request)
    }

    /// The first open requests that the peers may not have, because the node ended before they took them.
    public func unconfirmedRequests() throws -> [StoredCommitmentRequest] {
        try rows(
            "SELECT * FROM commitmentRequest WHERE state = 'asked' AND confirmed = 0 ORDER BY id LIMIT ?", [pageSize]
        ).map(request)
    }

    // MARK: - Requests of peers

    private func report(_ row: Row) throws -> CommitmentReport {
        CommitmentReport(
            id: CommitmentReportID(rawValue: row["id"]), transactionUID: row["transactionUID"], peer: row["peer"],
            state: try state(row), attempts: row["attempts"], dueAfter: .microseconds(row["dueAfter"] as Int64),
            giveUpAfter: .microseconds(row["giveUpAfter"] as Int64))
    }

    /// The report, or `nil` if it does not exist.
    public func commitmentReport(_ id: CommitmentReportID) throws -> CommitmentReport? {
        try row("SELECT * FROM commitmentReport WHERE id = ?", [id.rawValue]).map(report)
    }

    /// The peers to which reports have to be delivered, in the order of their names.
    public func peersAwaitingReports() throws -> [String] {
        try rows("SELECT DISTINCT peer FROM commitmentReport WHERE state IN ('received', 'answered') ORDER BY peer")
            .map { $0["peer"] }
    }

    /// The first reports that have to be delivered to a peer, in the order in which they are due; some may be due later.
    public func openCommitmentReports(to peer: String) throws -> [CommitmentReport] {
        try rows(
            """
            SELECT * FROM commitmentReport WHERE state IN ('received', 'answered') AND peer = ?
            ORDER BY dueAfter, id LIMIT ?
            """, [peer, pageSize]
        ).map(report)
    }

    /// The next page of a report's instances, by position.
    public func commitmentItems(
        of report: CommitmentReportID, after position: Int? = nil
    ) throws -> [(position: Int, item: CommitmentItem)] {
        try rows(
            """
            SELECT * FROM commitmentReportItem WHERE reportId = ? AND position > ? ORDER BY position LIMIT ?
            """, [report.rawValue, position ?? -1, pageSize]
        ).map { row in
            (
                row["position"],
                CommitmentItem(
                    sopClassUID: row["sopClassUID"], sopInstanceUID: row["sopInstanceUID"], failure: row["failure"])
            )
        }
    }

    /// The newest instance with this SOP Instance UID; `nil` if the node does not have it.
    public func keptInstance(_ sopInstanceUID: String) throws -> KeptInstance? {
        try row("SELECT * FROM instance WHERE sopInstanceUID = ? ORDER BY id DESC LIMIT 1", [sopInstanceUID]).map {
            KeptInstance(
                id: InstanceID(rawValue: $0["id"]), sopClassUID: $0["sopClassUID"], state: try state($0),
                path: path($0),
                size: $0["size"], isDurable: !isUnsettled($0["id"]))
        }
    }
}
