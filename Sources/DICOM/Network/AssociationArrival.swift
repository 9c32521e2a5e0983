// SPDX-License-Identifier: Apache-2.0

public import Platform

/// A peer that has sent its A-ASSOCIATE-RQ and waits for the answer (PS3.8 9.2, state 3).
///
/// The request is not parsed yet.
public struct AssociationArrival: Sendable {
    private let socket: StreamSocket
    private let body: [UInt8]
    private let lingering: LingeringSockets
    /// Whether the request may be handed on again later; otherwise it has to be answered now.
    public let mayWait: Bool

    /// - Parameters:
    ///   - socket: the connection.
    ///   - body: the variable part of the A-ASSOCIATE-RQ.
    ///   - mayWait: whether the request may be handed on again.
    ///   - lingering: takes the socket after an answer that ends the association.
    init(socket: StreamSocket, body: [UInt8], mayWait: Bool, lingering: LingeringSockets) {
        self.socket = socket
        self.body = body
        self.mayWait = mayWait
        self.lingering = lingering
    }

    /// The caller's AE title, which is read without parsing the request; `nil` if the field does not hold an AE title.
    public var callingAETitle: AETitle? { body.count >= 36 ? AETitle(bytes: Array(body[20..<36])) : nil }

    /// Whether the request is too short for its two AE titles.
    public var isCutOff: Bool { body.count < 36 }

    /// The caller's address.
    public var address: IPAddress { socket.address }

    /// Parses the request.
    ///
    /// - Throws: `aborted` if the request is malformed. In this case the peer has been sent an A-ABORT.
    public func parsed() throws(AssociationError) -> PendingAssociation {
        do {
            return PendingAssociation(
                request: try AssociateRequest(parsing: body[...]), socket: socket, lingering: lingering)
        } catch {
            let abort = AssociationAbort.invalid("A-ASSOCIATE-RQ: \(error)")
            socket.writeAvailable(abort.encoded)
            lingering.add(socket, after: .rejection)
            throw .aborted(abort)
        }
    }

    /// Rejects the association without parsing the request.
    public func reject(_ rejection: AssociationRejection) {
        socket.writeAvailable(rejection.encoded)
        lingering.add(socket, after: .rejection)
    }
}

/// A parsed request for an association that waits for the answer.
public struct PendingAssociation: Sendable {
    private let request: AssociateRequest
    private let socket: StreamSocket
    private let lingering: LingeringSockets

    init(request: AssociateRequest, socket: StreamSocket, lingering: LingeringSockets) {
        self.request = request
        self.socket = socket
        self.lingering = lingering
    }

    /// The caller's address.
    public var address: IPAddress { socket.address }
    /// The caller's AE title; `nil` if the field does not hold an AE title.
    public var callingAETitle: AETitle? { request.callingAETitle }
    /// The AE title that was called; `nil` if the field does not hold an AE title.
    public var calledAETitle: AETitle? { request.calledAETitle }

    /// Whether the peer proposes only Verification.
    public var isVerificationOnly: Bool {
        request.contexts.allSatisfy { $0.abstractSyntax == SOPClass.verification }
    }

    /// Negotiates, and sends the peer the answer.
    ///
    /// - Parameters:
    ///   - aeTitle: the node's own AE title.
    ///   - peer: the configured peer that calls; `nil` for an unknown caller.
    ///   - idleLimit: the time that the peer may take between two requests.
    ///   - interruption: lets another thread end the association.
    ///   - admit: called if negotiation succeeds, before the peer is told. It registers the association, or returns
    ///     the rejection to send.
    /// - Returns: the association, after the peer has been sent the A-ASSOCIATE-AC.
    /// - Throws: `rejected` with the rejection that the peer was sent, or the error that ended the association.
    public func accept(
        as aeTitle: AETitle, peer: Peer?, idleLimit: Duration, interruption: Interruption,
        admit: () -> AssociationRejection?
    ) throws(AssociationError) -> AcceptedAssociation {
        let rejection: AssociationRejection
        switch Negotiation.answer(to: request, aeTitle: aeTitle, peer: peer) {
        case .success(let accept):
            // Negotiation succeeds only for a known peer, so `peer` is set here.
            guard let peer else { preconditionFailure("an unknown caller was accepted") }
            if let refused = admit() {
                rejection = refused
            } else {
                interruption.attach(socket)
                return try AcceptedAssociation(
                    socket: socket, request: request, accept: accept, peer: peer, idleLimit: idleLimit,
                    lingering: lingering)
            }
        case .failure(let other):
            rejection = other
        }
        socket.writeAvailable(rejection.encoded)
        lingering.add(socket, after: .rejection)
        throw .rejected(rejection)
    }
}
