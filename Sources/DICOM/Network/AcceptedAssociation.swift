// SPDX-License-Identifier: Apache-2.0

/// A C-STORE-RQ (PS3.7 9.3.1.1).
public struct StoreRequest: Sendable {
    /// Nil when the command has none that could be one.
    public let sopClassUID: String?
    public let sopInstanceUID: String?
    /// As negotiated for the presentation context.
    public let transferSyntaxUID: String
    /// Whether the SOP class is the one that the presentation context was negotiated for.
    public let fitsContext: Bool
    public let hasDataSet: Bool
    let command: CommandSet
    let contextID: UInt8
}

/// Any other request.
public struct OtherRequest: Sendable {
    public let hasDataSet: Bool
    /// What the standard answers to it (PS3.7 annex C).
    public let status: DIMSEStatus
    let command: CommandSet
    let contextID: UInt8
}

/// What a peer asks for.
public enum AssociationRequest: Sendable {
    case store(StoreRequest)
    /// C-ECHO, and what we do not do; to be answered with its own status.
    case other(OtherRequest)
}

/// An association that a peer requested, in data transfer (PS3.8 9.2, state 6). Of one thread; its calls block.
///
/// Each request is taken with `nextRequest`, its data set, if it has one, with `receiveDataSet`, and answered with
/// `respond`, in this order. After an error the association is over; `close` tells the peer what there is to tell.
public final class AcceptedAssociation {
    public let peer: Peer
    /// Where the peer calls from.
    public let address: IPAddress
    public let calledAETitle: AETitle
    public let implementationVersionName: String
    private struct Context {
        var abstractSyntax: String
        var transferSyntax: String
    }

    private let socket: StreamSocket
    private let stream: PDUStream
    private let farewell: Farewell
    private let contexts: [UInt8: Context]
    private let idleLimit: Duration
    private var machine: MessageMachine
    /// Of the PDU that was read last, what has not been looked at yet.
    private var values: ArraySlice<PresentationDataValue> = []
    private var ending: AssociationAbort?

    init(
        socket: StreamSocket, request: AssociateRequest, accept: AssociateAccept, peer: Peer, idleLimit: Duration,
        farewell: Farewell
    ) throws(AssociationError) {
        self.peer = peer
        self.socket = socket
        self.farewell = farewell
        self.idleLimit = idleLimit
        address = socket.address
        // Negotiation has compared it with ours.
        calledAETitle = request.calledAETitle ?? peer.aeTitle
        implementationVersionName = request.user.implementationVersionName
        stream = PDUStream(socket: socket, maximumLength: PDULimits.ours)
        let proposed = Dictionary(uniqueKeysWithValues: request.contexts.map { ($0.id, $0.abstractSyntax ?? "") })
        var contexts: [UInt8: Context] = [:]
        for answer in accept.contexts where answer.result == .acceptance {
            contexts[answer.id] = Context(
                abstractSyntax: proposed[answer.id] ?? "", transferSyntax: answer.transferSyntax)
        }
        self.contexts = contexts
        machine = MessageMachine(contextIDs: Set(contexts.keys))
        socket.begin(.moving(what: "the peer to read A-ASSOCIATE-AC"))
        try socket.write(accept.encoded(answering: request))
    }

    /// The next request; nil once the peer has released the association.
    public func nextRequest() throws(AssociationError) -> AssociationRequest? {
        try noting { () throws(AssociationError) in
            // What came behind the last request is part of the next.
            socket.begin(
                values.isEmpty ? .waiting(idleLimit, what: "a request") : .moving(what: "the rest of a request"))
            while let value = try nextValue(began: { socket.begin(.moving(what: "the rest of a request")) }) {
                guard case .command(let command, let contextID) = try machine.receive(value) else { continue }
                guard command.field & CommandField.response == 0 else {
                    throw .aborted(.unexpected("a response came, and nothing was asked"))
                }
                // Whatever it cancels has been answered.
                if command.field == CommandField.cancelRequest { continue }
                socket.begin(command.hasDataSet ? .moving(what: "a data set") : .working)
                return request(command, contextID: contextID)
            }
            return nil
        }
    }

    private func request(_ command: CommandSet, contextID: UInt8) -> AssociationRequest {
        let context = contexts[contextID]
        if command.field == CommandField.storeRequest {
            let sopClass = command.text(.affectedSOPClassUID)
            return .store(
                StoreRequest(
                    sopClassUID: sopClass, sopInstanceUID: command.text(.affectedSOPInstanceUID),
                    transferSyntaxUID: context?.transferSyntax ?? "", fitsContext: sopClass == context?.abstractSyntax,
                    hasDataSet: command.hasDataSet, command: command, contextID: contextID))
        }
        let isEcho = command.field == CommandField.echoRequest
        let status: DIMSEStatus =
            isEcho
            ? (context?.abstractSyntax == SOPClass.verification ? .success : .sopClassNotSupported)
            : .unrecognizedOperation
        return .other(
            OtherRequest(hasDataSet: command.hasDataSet, status: status, command: command, contextID: contextID))
    }

    /// Hands on the data set of the request before, in parts as they arrive; each is valid only within the call.
    ///
    /// The time that `consume` takes is ours, not the peer's.
    public func receiveDataSet(_ consume: (UnsafeRawBufferPointer) -> Void) throws(AssociationError) {
        try noting { () throws(AssociationError) in
            while let value = try nextValue() {
                guard case .dataSet(let bytes, let isLast) = try machine.receive(value) else {
                    preconditionFailure("a message without a data set has none to receive")
                }
                if !bytes.isEmpty { socket.pausing { consume(bytes) } }
                if isLast {
                    socket.begin(.working)
                    return
                }
            }
            throw .connectionLost(reason: "the peer released the association within a data set")
        }
    }

    public func respond(to request: StoreRequest, _ status: DIMSEStatus) throws(AssociationError) {
        try respond(request.command.response(status), contextID: request.contextID)
    }

    public func respond(to request: OtherRequest) throws(AssociationError) {
        try respond(request.command.response(request.status), contextID: request.contextID)
    }

    /// One PDU in one write: two would wait for the peer's delayed ACK wherever Nagle's algorithm is on.
    private func respond(_ response: CommandSet, contextID: UInt8) throws(AssociationError) {
        let bytes = response.encoded
        let header = PDUStream.dataHeader(contextID: contextID, isCommand: true, isLast: true, count: bytes.count)
        try noting { () throws(AssociationError) in
            socket.begin(.moving(what: "the peer to read a response"))
            try socket.write(header + bytes)
            socket.begin(.working)
        }
    }

    /// The next fragment; nil once the peer has released the association.
    private func nextValue(began: () -> Void = {}) throws(AssociationError) -> PresentationDataValue? {
        while values.isEmpty {
            guard let (type, body) = try stream.next(began: began) else {
                throw .connectionLost(reason: "the peer closed the connection without releasing the association")
            }
            switch type {
            case .data:
                values = try PDUStream.values(of: body)[...]
            case .releaseRequest:
                try socket.write(PDUStream.release(.releaseResponse))
                return nil
            case .abort:
                throw .aborted(AssociationAbort(peerSent: body))
            case .associateRequest, .associateAccept, .associateReject, .releaseResponse:
                throw .aborted(.unexpected("a PDU came that has no place in data transfer"))
            }
        }
        return values.removeFirst()
    }

    /// Keeps what has to be told to the peer when the association is closed.
    private func noting<Result>(_ body: () throws(AssociationError) -> Result) throws(AssociationError) -> Result {
        do {
            return try body()
        } catch {
            switch error {
            case .aborted(let abort) where abort.by == .us: ending = abort
            case .connectionLost where socket.isStopping: ending = AssociationAbort(by: .us, source: 2, reason: 0)
            default: break
            }
            throw error
        }
    }

    /// Ends the association: with A-ABORT after an error of the peer's, else as it is.
    public func close() {
        if let ending { try? socket.write(ending.encoded) }
        farewell.see(off: socket)
    }
}

extension AssociationAbort {
    /// - Parameter body: of the peer's A-ABORT.
    init(peerSent body: UnsafeRawBufferPointer) {
        self.init(by: .peer, source: body.dropFirst(2).first ?? 0, reason: body.dropFirst(3).first ?? 0)
    }
}
