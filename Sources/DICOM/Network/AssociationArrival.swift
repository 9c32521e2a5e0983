// SPDX-License-Identifier: Apache-2.0

/// Somebody who has asked for an association and waits for the answer (PS3.8 9.2, state 3).
public struct AssociationArrival: Sendable {
    private let socket: StreamSocket
    private let body: [UInt8]
    private let farewell: Farewell

    init(socket: StreamSocket, body: [UInt8], farewell: Farewell) {
        self.socket = socket
        self.body = body
        self.farewell = farewell
    }

    /// Where the call comes from.
    public var address: IPAddress { socket.address }

    /// What is asked for, taken apart.
    ///
    /// - Throws: our abort when the request is malformed; the peer has been told.
    public func parsed() throws(AssociationError) -> PendingAssociation {
        do {
            return PendingAssociation(
                request: try AssociateRequest(parsing: body[...]), socket: socket, farewell: farewell)
        } catch {
            let abort = AssociationAbort.invalid("A-ASSOCIATE-RQ: \(error)")
            try? socket.write(abort.encoded)
            farewell.see(off: socket)
            throw .aborted(abort)
        }
    }

    /// Refuses without looking.
    public func reject(_ rejection: AssociationRejection) {
        try? socket.write(rejection.encoded)
        farewell.see(off: socket)
    }
}

/// A request for an association that can be read.
public struct PendingAssociation: Sendable {
    let request: AssociateRequest
    private let socket: StreamSocket
    private let farewell: Farewell

    init(request: AssociateRequest, socket: StreamSocket, farewell: Farewell) {
        self.request = request
        self.socket = socket
        self.farewell = farewell
    }

    public var address: IPAddress { socket.address }
    /// Nil when the field holds no AE title.
    public var callingAETitle: AETitle? { request.callingAETitle }
    public var calledAETitle: AETitle? { request.calledAETitle }

    /// Whether nothing but Verification is proposed.
    public var isVerificationOnly: Bool {
        request.contexts.allSatisfy { $0.abstractSyntax == SOPClass.verification }
    }

    /// Negotiates, and tells the peer what came of it.
    ///
    /// - Parameters:
    ///   - aeTitle: ours.
    ///   - peer: who calls, as far as we know.
    ///   - hasRoom: asked only when nothing else is in the way; without room the rejection is 2/3/2.
    ///   - idleLimit: how long the peer may take between two requests.
    ///   - interruption: ends the association from another thread.
    /// - Throws: `rejected` with what the peer was told, or what happened on the way.
    public func accept(
        as aeTitle: AETitle, peer: Peer?, idleLimit: Duration, interruption: Interruption, hasRoom: () -> Bool
    ) throws(AssociationError) -> AcceptedAssociation {
        let rejection: AssociationRejection
        switch Negotiation.answer(to: request, aeTitle: aeTitle, peer: peer) {
        case .success(let accept):
            // Whom negotiation lets in, it knows.
            if let peer, hasRoom() {
                interruption.attach(socket)
                return try AcceptedAssociation(
                    socket: socket, request: request, accept: accept, peer: peer, idleLimit: idleLimit,
                    farewell: farewell)
            }
            rejection = .localLimitExceeded
        case .failure(let other):
            rejection = other
        }
        try? socket.write(rejection.encoded)
        farewell.see(off: socket)
        throw .rejected(rejection)
    }
}
