// SPDX-License-Identifier: Apache-2.0

import Platform

/// An association that the node requested, in data transfer (PS3.8 9.2, state 6).
///
/// The association belongs to one thread, and its calls block.
final class RequestedAssociation {
    private let socket: StreamSocket
    private let stream: PDUStream
    private let limits: AssociationLimits
    /// The accepted presentation contexts: their IDs by SOP class and transfer syntax.
    private let contexts: [SOPClassAndSyntax: UInt8]
    /// Bytes of the longest fragment that the peer takes.
    private let fragment: Int
    private var lastMessageID: UInt16 = 0
    private var isOver = false

    /// Connects to a peer and negotiates one presentation context for each proposal.
    ///
    /// With one transfer syntax per context, the answer says for each pair whether the peer accepts it.
    ///
    /// - Parameters:
    ///   - peer: has a host and a port; otherwise the call throws `notConnected`.
    ///   - calling: the node's AE title.
    ///   - proposals: 1 to 128, because IDs are odd and fit a byte (PS3.8 9.3.2.2).
    ///   - limits: the times that the peer may take.
    ///   - resolver: finds the addresses of the peer's host.
    ///   - interruption: lets another thread end the association.
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted` or `connectionLost`.
    init(
        to peer: Peer, calling: AETitle, proposals: [SOPClassAndSyntax], limits: AssociationLimits,
        resolver: HostResolver, interruption: Interruption
    ) throws(AssociationError) {
        precondition((1...128).contains(proposals.count), "an association proposes 1 to 128 presentation contexts")
        guard let host = peer.host, let port = peer.port else {
            throw .notConnected(host: peer.name, port: 0, reason: "the peer has no host and port to call")
        }
        let addresses: [IPAddress]
        switch resolver.addresses(of: host, within: limits.connect, isStopped: { interruption.isStopped }) {
        case .addresses(let found): addresses = found
        case .unknownName: throw .notConnected(host: host, port: port, reason: "the name is not known")
        case .noAnswer:
            throw .notConnected(host: host, port: port, reason: "the resolver did not answer for the name")
        }
        do throws(SystemCallError) {
            socket = try StreamSocket(
                connectingTo: addresses, port: port, within: limits.connect, isStopped: { interruption.isStopped })
        } catch {
            throw .notConnected(host: host, port: port, reason: error.reason)
        }
        interruption.attach(socket)
        stream = PDUStream(socket: socket, maximumLength: PDULimits.ours)
        self.limits = limits
        let proposed = proposals.enumerated().map { index, proposal in
            ProposedContext(
                id: UInt8(2 * index + 1), abstractSyntax: proposal.sopClassUID,
                transferSyntaxes: [proposal.transferSyntaxUID])
        }
        let request = AssociateRequest(
            called: peer.aeTitle, calling: calling, contexts: proposed,
            user: UserInformation(maximumLength: UInt32(PDULimits.ours)))
        let (accept, fragment) = try Self.negotiate(request, socket: socket, stream: stream, limit: limits.negotiation)
        var contexts: [SOPClassAndSyntax: UInt8] = [:]
        for answer in accept.contexts where answer.result == .acceptance && answer.id % 2 == 1 {
            let index = Int(answer.id) / 2
            // If the peer answers with a transfer syntax that was not proposed, the context cannot be used.
            guard index < proposals.count, answer.transferSyntax == proposals[index].transferSyntaxUID else { continue }
            contexts[proposals[index]] = answer.id
        }
        self.contexts = contexts
        self.fragment = fragment
    }

    /// Requests the association.
    ///
    /// - Returns: the peer's answer, and the length of the longest fragment that the peer takes. After an error that
    ///   the peer does not know of, the peer has been sent an A-ABORT.
    private static func negotiate(
        _ request: AssociateRequest, socket: StreamSocket, stream: PDUStream, limit: Duration
    ) throws(AssociationError) -> (AssociateAccept, fragment: Int) {
        do throws(AssociationError) {
            let accept = try answer(to: request, socket: socket, stream: stream, limit: limit)
            guard let fragment = PDULimits.fragment(forMaximum: accept.user.maximumLength) else {
                throw AssociationError.aborted(
                    .invalid(
                        "the peer takes PDUs of at most \(accept.user.maximumLength) bytes, too short for any data"))
            }
            return (accept, fragment)
        } catch {
            if let abort = error.abort { socket.writeAvailable(abort.encoded) }
            throw error
        }
    }

    private static func answer(
        to request: AssociateRequest, socket: StreamSocket, stream: PDUStream, limit: Duration
    ) throws(AssociationError) -> AssociateAccept {
        socket.begin(.waiting(limit, what: "the answer to A-ASSOCIATE-RQ"))
        try socket.send(request.encoded)
        guard let (type, body) = try stream.next() else {
            throw .connectionLost(reason: "the peer closed the connection instead of answering A-ASSOCIATE-RQ")
        }
        socket.begin(.working)
        switch type {
        case .associateAccept:
            do {
                return try AssociateAccept(parsing: Array(body)[...])
            } catch {
                throw .aborted(.invalid("A-ASSOCIATE-AC: \(error)"))
            }
        case .associateReject where body.count >= 4:
            throw .rejected(AssociationRejection(result: body[1], source: body[2], reason: body[3]))
        case .abort:
            throw .aborted(AssociationAbort(peerSent: body))
        default:
            throw .aborted(.unexpected("the answer to A-ASSOCIATE-RQ is neither acceptance nor rejection"))
        }
    }

    /// The ID of the presentation context, if the peer accepted it.
    func acceptedContextID(for wanted: SOPClassAndSyntax) -> UInt8? { contexts[wanted] }

    /// The ID of the accepted presentation context.
    ///
    /// - Throws: `noPresentationContext`.
    func contextID(for wanted: SOPClassAndSyntax) throws(AssociationError) -> UInt8 {
        guard let id = contexts[wanted] else {
            throw .noPresentationContext(
                sopClassUID: wanted.sopClassUID, transferSyntaxUID: wanted.transferSyntaxUID)
        }
        return id
    }

    /// A new message ID.
    ///
    /// The ID has to differ only from the IDs of unanswered messages (PS3.7 E.1), and at most one message is
    /// unanswered.
    func nextMessageID() -> UInt16 {
        lastMessageID = lastMessageID == .max ? 1 : lastMessageID + 1
        return lastMessageID
    }

    /// Sends a command, with a data set if there is one, and waits for the response.
    ///
    /// - Parameters:
    ///   - command: a request with a message ID of its own.
    ///   - contextID: an accepted presentation context.
    ///   - dataSet: the data set that follows the command.
    /// - Returns: the status of the response.
    /// - Throws: the error that ended the association.
    func perform(
        _ command: CommandSet, contextID: UInt8, dataSet: OutgoingDataSet? = nil
    ) throws(AssociationError) -> DIMSEStatus {
        do {
            socket.begin(.moving(what: "the peer to read a request"))
            try socket.send(PDUStream.pdus(of: command.encoded, contextID: contextID, fragment: fragment))
            if let dataSet { try dataSet.send(over: DataSetSender(socket, contextID: contextID, fragment: fragment)) }
            return try response(to: command.uint16(.messageID) ?? 0)
        } catch {
            end(after: error)
            throw error
        }
    }

    private func response(to messageID: UInt16) throws(AssociationError) -> DIMSEStatus {
        var machine = MessageMachine(contextIDs: Set(contexts.values))
        socket.begin(.waiting(limits.response, what: "a response"))
        defer { socket.begin(.working) }
        while true {
            guard let (type, body) = try stream.next() else {
                throw .connectionLost(reason: "the peer closed the connection instead of responding")
            }
            switch type {
            case .data:
                for value in try PDUStream.values(of: body) {
                    guard case .command(let command, _) = try machine.receive(value) else { continue }
                    guard command.field & CommandField.response != 0,
                        command.uint16(.messageIDBeingRespondedTo) == messageID, let status = command.uint16(.status)
                    else { throw .aborted(.unexpected("the message is not the response to the request")) }
                    return DIMSEStatus(rawValue: status)
                }
            case .abort:
                throw .aborted(AssociationAbort(peerSent: body))
            default:
                throw .aborted(.unexpected("another kind of PDU came instead of a response"))
            }
        }
    }

    /// Sends A-ABORT after an error that the peer does not know of.
    private func end(after error: AssociationError) {
        guard !isOver else { return }
        isOver = true
        if let abort = error.abort { socket.writeAvailable(abort.encoded) }
    }

    /// Releases the association, and waits at most five seconds for the answer.
    ///
    /// All requests were answered before.
    func release() {
        guard !isOver else { return }
        isOver = true
        socket.begin(.waiting(.seconds(5), what: "the answer to A-RELEASE-RQ"))
        do {
            try socket.send(PDUStream.release(.releaseRequest))
            while let (type, _) = try stream.next() {
                // Both sides may request the release at once (PS3.8 9.2, states 9 to 12). The requestor answers and
                // waits on.
                if type == .releaseRequest { try socket.send(PDUStream.release(.releaseResponse)) } else { return }
            }
        } catch {
            return
        }
    }

    deinit {
        if !isOver { socket.writeAvailable(AssociationAbort(by: .us, source: 0, reason: 0).encoded) }
    }
}

/// A data set in a file that is sent to a peer.
struct OutgoingDataSet {
    /// A Part 10 file.
    let file: FileDescriptor
    /// Where its data set begins, in bytes.
    let offset: Int
    /// Whether the data set, which is in Explicit VR Little Endian, is sent in Implicit VR Little Endian.
    let asImplicitVR: Bool

    func send(over sender: DataSetSender) throws(AssociationError) {
        let end: Int
        do throws(SystemCallError) {
            end = try file.status().size
        } catch {
            throw .unreadableFile(reason: error.reason)
        }
        if asImplicitVR {
            try ImplicitVRDataSet.send(file, from: offset, to: end, over: sender)
        } else {
            try sendUnchanged(to: end, over: sender)
        }
        try sender.finish()
    }

    private func sendUnchanged(to end: Int, over sender: DataSetSender) throws(AssociationError) {
        let part = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
        defer { part.deallocate() }
        var offset = offset
        while offset < end {
            let wanted = UnsafeMutableRawBufferPointer(rebasing: part[..<min(part.count, end - offset)])
            let count: Int
            do throws(SystemCallError) {
                count = try file.fill(wanted, at: offset)
            } catch {
                throw .unreadableFile(reason: error.reason)
            }
            // The file may shrink while it is sent. Half a data set must not look whole to the peer.
            guard count == wanted.count else { throw .unreadableFile(reason: "it was cut off") }
            try sender.append(UnsafeRawBufferPointer(wanted))
            offset += count
        }
    }
}

extension AssociationError {
    /// The A-ABORT that the requestor owes the peer after this error.
    fileprivate var abort: AssociationAbort? {
        switch self {
        case .aborted(let abort) where abort.by == .us: abort
        // Half a message may have been sent. Only an abort can end it.
        case .unreadableFile, .timeout: AssociationAbort(by: .us, source: 0, reason: 0)
        default: nil
        }
    }
}
