// SPDX-License-Identifier: Apache-2.0
//
// Arrows of deliveries that a peer has to commit itself to, and of the node's requests to peers.

import GRDB

extension WriteTransaction {
    // MARK: - Requests

    /// New request -> asked, about deliveries that are sent and that no open request is about.
    ///
    /// The row is written before the request is sent, so that the node knows any result of the peer. A crash before the
    /// peer has taken the request leaves a request that is not confirmed.
    ///
    /// - Parameters:
    ///   - transactionUID: the Transaction UID, which no request had before.
    ///   - peer: name of the peer.
    ///   - deliveries: the deliveries.
    ///   - deadline: time lived after which the request expires.
    ///   - event: the cause.
    /// - Returns: the request, and the deliveries that it is about: those that wait for a request, and that the database
    ///   lets change. `nil` if there are none.
    /// - Throws: the errors of the database.
    public func commitmentAsked(
        _ transactionUID: String, of peer: String, _ deliveries: [DeliveryID], deadline: Duration, _ event: AuditEvent
    ) throws -> (CommitmentRequestID, [UncommittedDelivery])? {
        let found = try deliveries.compactMap { try uncommitted($0) }.filter { $0.peer == peer && $0.request == nil }
        if found.isEmpty { return nil }
        try execute(
            """
            INSERT INTO commitmentRequest (transactionUID, peer, state, deadline, askedAt, changedAt)
            VALUES (?, ?, 'asked', ?, ?, ?)
            """, [transactionUID, peer, deadline.microseconds, now, now])
        let id = CommitmentRequestID(rawValue: db.lastInsertedRowID)
        let wanted = try found.filter { delivery in
            try attempt {
                try execute(
                    "INSERT INTO commitmentReference (requestId, deliveryId) VALUES (?, ?)",
                    [id.rawValue, delivery.id.rawValue])
                try execute(
                    "UPDATE delivery SET commitmentRequestId = ? WHERE id = ?", [id.rawValue, delivery.id.rawValue])
            }
        }
        if wanted.isEmpty {
            try execute("DELETE FROM commitmentRequest WHERE id = ?", [id.rawValue])
            return nil
        }
        try record(
            .commitmentAsked, event.about(transactionUID),
            AuditSubject(instancesOut: wanted.map(\.sopInstanceUID), count: Int64(wanted.count)))
        return (id, wanted)
    }

    /// asked -> asked: the peer has taken the request.
    ///
    /// The state does not change, so the trail does not get a record. A request that the peer has answered or that has
    /// expired meanwhile stays as it is.
    public func commitmentConfirmed(_ id: CommitmentRequestID) throws {
        try execute("UPDATE commitmentRequest SET confirmed = 1 WHERE id = ? AND state = 'asked'", [id.rawValue])
    }

    /// asked or expired -> answered: the peer has said which of the objects it keeps.
    ///
    /// The arrows of the deliveries follow in the same transaction. A delivery that the answer leaves out is asked about
    /// again: ``askedAgain(_:after:)``.
    ///
    /// - Parameters:
    ///   - id: the request.
    ///   - committed: number of objects that the peer keeps.
    ///   - event: the cause.
    /// - Throws: ``StateError``.
    public func commitmentAnswered(_ id: CommitmentRequestID, committed: Int, _ event: AuditEvent) throws {
        try move(
            "commitmentRequest", id.rawValue,
            from: [CommitmentRequestState.asked.rawValue, CommitmentRequestState.expired.rawValue],
            to: CommitmentRequestState.answered.rawValue, why: event.reason)
        try record(
            .commitmentAnswered, event.about(try transaction(of: id)), AuditSubject(count: Int64(committed)))
    }

    /// asked -> expired: the peer did not take the request, or did not answer it in time.
    ///
    /// A new request with another Transaction UID follows for each delivery, unless it is given up in the same
    /// transaction.
    ///
    /// - Parameters:
    ///   - id: the request.
    ///   - event: the cause.
    /// - Returns: the deliveries that the request was the newest one of.
    /// - Throws: ``StateError``.
    public func commitmentExpired(_ id: CommitmentRequestID, _ event: AuditEvent) throws -> [UncommittedDelivery] {
        try move(
            "commitmentRequest", id.rawValue, from: [CommitmentRequestState.asked.rawValue],
            to: CommitmentRequestState.expired.rawValue, why: event.reason)
        let deliveries = try uncommitted(in: id).filter { $0.request == id }
        try record(
            .commitmentExpired, event.about(try transaction(of: id)),
            AuditSubject(instancesOut: deliveries.map(\.sopInstanceUID), count: Int64(deliveries.count)))
        return deliveries
    }

    private func transaction(of id: CommitmentRequestID) throws -> String {
        try row("SELECT transactionUID FROM commitmentRequest WHERE id = ?", [id.rawValue])?["transactionUID"] ?? ""
    }

    // MARK: - Deliveries

    /// sent -> sent: a request about the object has to be made, because the last one did not lead to an answer.
    ///
    /// The request has its own record. `after` is the time lived before which the node does not ask again.
    public func askedAgain(_ id: DeliveryID, after: Duration, _ event: AuditEvent) throws {
        _ = try awaiting(id)
        try execute(
            """
            UPDATE delivery SET commitmentRequestId = NULL, askAfter = ?, unanswered = unanswered + 1, why = ?
            WHERE id = ?
            """, [after.microseconds, event.reason, id.rawValue])
    }

    /// sent -> committed: the peer committed itself to keep the object.
    ///
    /// - Throws: ``StateError``, also if the delivery does not wait for the peer's commitment.
    public func committed(_ id: DeliveryID, _ event: AuditEvent) throws {
        _ = try awaiting(id)
        try move(
            "delivery", id.rawValue, from: [DeliveryState.sent.rawValue], to: DeliveryState.committed.rawValue,
            why: event.reason)
        try settle(id, "committedAt = ?", [now])
        try record(.deliveryCommitted, event, try subject(of: id))
    }

    /// sent -> pending, because the peer says that it does not have the object: the object is sent again.
    ///
    /// An object of an older revision is not sent again, and its delivery is superseded.
    ///
    /// - Throws: ``StateError``, also if the delivery does not wait for the peer's commitment.
    public func lost(_ id: DeliveryID, _ event: AuditEvent) throws {
        _ = try awaiting(id)
        guard let found = try delivery(id), let job = try job(found.job) else {
            throw StateError.unknown("delivery", id.rawValue)
        }
        let isCurrent = try revision(of: job.series) == job.revision
        try move(
            "delivery", id.rawValue, from: [DeliveryState.sent.rawValue],
            to: (isCurrent ? DeliveryState.pending : .superseded).rawValue, why: event.reason)
        try settle(id, "sentAt = NULL, tried = 0, losses = losses + 1")
        // A late result of an older request is about the object that the peer has lost.
        try execute("DELETE FROM commitmentReference WHERE deliveryId = ?", [id.rawValue])
        try record(.deliveryLost, event, try subject(of: id))
    }

    /// sent -> dead: the peer does not commit itself to keep the object; its file stays.
    ///
    /// - Throws: ``StateError``, also if the delivery does not wait for the peer's commitment.
    public func notCommitted(_ id: DeliveryID, _ event: AuditEvent) throws {
        _ = try awaiting(id)
        try move(
            "delivery", id.rawValue, from: [DeliveryState.sent.rawValue], to: DeliveryState.dead.rawValue,
            why: event.reason)
        try settle(id, "sentAt = NULL")
        try execute("DELETE FROM commitmentReference WHERE deliveryId = ?", [id.rawValue])
        try record(.deliveryDead, event, try subject(of: id))
    }

    /// sent -> sent, closed: the configuration does not ask the peer for commitment any more.
    ///
    /// - Throws: ``StateError``, also if the delivery does not wait for the peer's commitment.
    public func waived(_ id: DeliveryID, _ event: AuditEvent) throws {
        _ = try awaiting(id)
        try move(
            "delivery", id.rawValue, from: [DeliveryState.sent.rawValue], to: DeliveryState.sent.rawValue,
            why: event.reason)
        try settle(id, "unanswered = 0")
        try record(.commitmentWaived, event, try subject(of: id))
    }

    /// Ends the wait of a delivery for commitment.
    private func settle(_ id: DeliveryID, _ change: String, _ arguments: StatementArguments = []) throws {
        try execute(
            "UPDATE delivery SET commitBy = NULL, commitmentRequestId = NULL, unanswered = 0, \(change) WHERE id = ?",
            arguments + [id.rawValue])
    }

    private func awaiting(_ id: DeliveryID) throws -> UncommittedDelivery {
        if let found = try uncommitted(id) { return found }
        guard let found = try delivery(id) else { throw StateError.unknown("delivery", id.rawValue) }
        throw StateError.wrongState("delivery", id.rawValue, found: found.state.rawValue)
    }
}

extension AuditEvent {
    /// The event with the Transaction UID of a commitment in front of its reason.
    func about(_ transactionUID: String) -> AuditEvent {
        var event = self
        event.reason = AuditEvent.clean(
            "transaction \(AuditWriter.uid(transactionUID))" + (reason.map { ": \($0)" } ?? ""))
        return event
    }
}
