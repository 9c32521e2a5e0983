// SPDX-License-Identifier: Apache-2.0

public import Platform

/// A C-STORE-RQ (PS3.7 9.3.1.1).
public struct StoreRequest: Sendable {
    /// Affected SOP Class UID; `nil` if the command lacks it or holds other text there.
    public let sopClassUID: String?
    /// Affected SOP Instance UID; `nil` if the command lacks it or holds other text there.
    public let sopInstanceUID: String?
    /// The transfer syntax that was negotiated for the presentation context.
    public let transferSyntaxUID: String
    /// Whether the SOP class is the one that was negotiated for the presentation context.
    public let fitsContext: Bool
    /// Whether the command announces a data set.
    public let hasDataSet: Bool
    let command: CommandSet
    let contextID: UInt8
}

/// A request other than C-STORE.
public struct OtherRequest: Sendable {
    /// Whether the command announces a data set.
    public let hasDataSet: Bool
    /// The status to answer with: success for C-ECHO, otherwise a refusal (PS3.7 annex C).
    public let status: DIMSEStatus
    let command: CommandSet
    let contextID: UInt8
}

/// A request of a peer.
public enum AssociationRequest: Sendable {
    case store(StoreRequest)
    /// C-ECHO, or a service that the node does not provide. The request holds the status to answer with.
    case other(OtherRequest)
}

/// An association that a peer requested, in data transfer (PS3.8 9.2, state 6).
///
/// The association belongs to one thread, and its calls block. Take each request with `nextRequest`, then its data set,
/// if it has one, with `receiveDataSet`, and answer with `respond`. After an error the association is over: call
/// `close`, which sends the peer an A-ABORT if one is due.
public final class AcceptedAssociation {
    /// The configured peer that called.
    public let peer: Peer
    /// The caller's address.
    public let address: IPAddress
    /// The AE title that was called, which is the node's.
    public let calledAETitle: AETitle

    private struct Context {
        var abstractSyntax: String
        var transferSyntax: String
    }

    private let socket: StreamSocket
    private let stream: PDUStream
    private let lingering: LingeringSockets
    private let contexts: [UInt8: Context]
    private let idleLimit: Duration
    /// Bytes of the longest fragment that the peer takes.
    private let fragment: Int
    private var machine: MessageMachine
    /// The fragments of the last PDU that were not handled yet.
    private var values: ArraySlice<PresentationDataValue> = []
    /// The A-ABORT to send when the association is closed.
    private var ending: AssociationAbort?

    init(
        socket: StreamSocket, request: AssociateRequest, accept: AssociateAccept, peer: Peer, idleLimit: Duration,
        lingering: LingeringSockets
    ) throws(AssociationError) {
        self.peer = peer
        self.socket = socket
        self.lingering = lingering
        self.idleLimit = idleLimit
        address = socket.address
        // Negotiation has compared the title with the node's, so the field holds one.
        calledAETitle = request.calledAETitle ?? peer.aeTitle
        stream = PDUStream(socket: socket, maximumLength: PDULimits.ours)
        // Negotiation has rejected a peer that takes no fragment at all.
        fragment = PDULimits.fragment(forMaximum: request.user.maximumLength) ?? 2
        let proposed = Dictionary(uniqueKeysWithValues: request.contexts.map { ($0.id, $0.abstractSyntax ?? "") })
        var contexts: [UInt8: Context] = [:]
        for answer in accept.contexts where answer.result == .acceptance {
            contexts[answer.id] = Context(
                abstractSyntax: proposed[answer.id] ?? "", transferSyntax: answer.transferSyntax)
        }
        self.contexts = contexts
        machine = MessageMachine(contextIDs: Set(contexts.keys))
        socket.begin(.moving(what: "the peer to read A-ASSOCIATE-AC"))
        try socket.send(accept.encoded(answering: request))
    }

    /// Waits for the next request.
    ///
    /// - Returns: `nil` once the peer has released the association.
    /// - Throws: the error that ended the association.
    public func nextRequest() throws(AssociationError) -> AssociationRequest? {
        try rememberingAbort { () throws(AssociationError) in
            // Bytes that arrived after the last request belong to the next one.
            socket.begin(
                values.isEmpty ? .waiting(idleLimit, what: "a request") : .moving(what: "the rest of a request"))
            while let value = try nextValue(began: { socket.begin(.moving(what: "the rest of a request")) }) {
                guard case .command(let command, let contextID) = try machine.receive(value) else { continue }
                guard command.field & CommandField.response == 0 else {
                    throw .aborted(.unexpected("a response came without a request"))
                }
                // A C-CANCEL-RQ has no effect, because the request that it cancels has been answered already.
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

    /// Receives the data set of the last request.
    ///
    /// - Parameter consume: called with each part as it arrives. The bytes are valid only within the call. The time
    ///   that it takes does not count against the peer.
    /// - Throws: the error that ended the association.
    public func receiveDataSet(_ consume: (UnsafeRawBufferPointer) -> Void) throws(AssociationError) {
        try rememberingAbort { () throws(AssociationError) in
            while let value = try nextValue() {
                guard case .dataSet(let bytes, let isLast) = try machine.receive(value) else {
                    preconditionFailure("the message does not have a data set")
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

    /// Sends the C-STORE-RSP.
    public func respond(to request: StoreRequest, _ status: DIMSEStatus) throws(AssociationError) {
        try respond(request.command.response(status), contextID: request.contextID)
    }

    /// Sends the response with the request's own status.
    public func respond(to request: OtherRequest) throws(AssociationError) {
        try respond(request.command.response(request.status), contextID: request.contextID)
    }

    private func respond(_ response: CommandSet, contextID: UInt8) throws(AssociationError) {
        let pdus = PDUStream.pdus(of: response.encoded, contextID: contextID, fragment: fragment)
        try rememberingAbort { () throws(AssociationError) in
            socket.begin(.moving(what: "the peer to read a response"))
            try socket.send(pdus)
            socket.begin(.working)
        }
    }

    /// Waits for the next fragment; `nil` once the peer has released the association.
    private func nextValue(began: () -> Void = {}) throws(AssociationError) -> PresentationDataValue? {
        while values.isEmpty {
            guard let (type, body) = try stream.next(began: began) else {
                throw .connectionLost(reason: "the peer closed the connection without releasing the association")
            }
            switch type {
            case .data:
                values = try PDUStream.values(of: body)[...]
            case .releaseRequest:
                try socket.send(PDUStream.release(.releaseResponse))
                return nil
            case .abort:
                throw .aborted(AssociationAbort(peerSent: body))
            case .associateRequest, .associateAccept, .associateReject, .releaseResponse:
                throw .aborted(.unexpected("a PDU came that is not allowed in data transfer"))
            }
        }
        return values.removeFirst()
    }

    /// Runs `body`, and remembers the A-ABORT that its error asks for.
    private func rememberingAbort<Result>(_ body: () throws(AssociationError) -> Result) throws(AssociationError)
        -> Result
    {
        do {
            return try body()
        } catch {
            switch error {
            case .aborted(let abort) where abort.by == .us: ending = abort
            case .connectionLost where socket.isStopping: ending = AssociationAbort(by: .us, source: 2, reason: 0)
            case .timeout: ending = AssociationAbort(by: .us, source: 2, reason: 0)
            default: break
            }
            throw error
        }
    }

    /// Ends the association, with A-ABORT after an error of the peer, after a time-out or if the node stops.
    public func close() {
        if let ending { socket.writeAvailable(ending.encoded) }
        lingering.add(socket, after: .association)
    }
}
