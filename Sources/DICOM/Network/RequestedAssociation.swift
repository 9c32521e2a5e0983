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
    /// Longest fragment to send, in bytes.
    ///
    /// The PDU length that the peer accepts is held between ``PDULimits/smallest`` and ``PDULimits/ours``, and the
    /// header of the fragment is subtracted.
    private let maximumPayload: Int
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
    ///   - interruption: lets another thread end the association.
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted` or `connectionLost`.
    init(
        to peer: Peer, calling: AETitle, proposals: [SOPClassAndSyntax], limits: AssociationLimits,
        interruption: Interruption
    ) throws(AssociationError) {
        precondition((1...128).contains(proposals.count), "an association proposes 1 to 128 presentation contexts")
        guard let host = peer.host, let port = peer.port else {
            throw .notConnected(host: peer.name, port: 0, reason: "the peer has no host and port to call")
        }
        let addresses = IPAddress.resolve(host)
        guard !addresses.isEmpty else {
            throw .notConnected(host: host, port: port, reason: "the name is not known")
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
        let accept = try Self.negotiate(request, socket: socket, stream: stream, limit: limits.negotiation)
        var contexts: [SOPClassAndSyntax: UInt8] = [:]
        for answer in accept.contexts where answer.result == .acceptance && answer.id % 2 == 1 {
            let index = Int(answer.id) / 2
            // If the peer answers with a transfer syntax that was not proposed, the context cannot be used.
            guard index < proposals.count, answer.transferSyntax == proposals[index].transferSyntaxUID else { continue }
            contexts[proposals[index]] = answer.id
        }
        self.contexts = contexts
        let theirs = accept.user.maximumLength == 0 ? PDULimits.ours : Int(accept.user.maximumLength)
        // A smaller limit is a mistake of the peer, or an attack that costs one packet per byte. Fragments have an even
        // length.
        maximumPayload = (min(max(theirs, PDULimits.smallest), PDULimits.ours) - 6) & ~1
    }

    private static func negotiate(
        _ request: AssociateRequest, socket: StreamSocket, stream: PDUStream, limit: Duration
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
    ///   - dataSet: a file, and the offset from which its bytes up to the end are the data set.
    /// - Returns: the status of the response.
    /// - Throws: the error that ended the association.
    func perform(
        _ command: CommandSet, contextID: UInt8, dataSet: (file: FileDescriptor, offset: Int)? = nil
    ) throws(AssociationError) -> DIMSEStatus {
        do {
            let bytes = command.encoded
            socket.begin(.moving(what: "the peer to read a request"))
            try socket.send(
                PDUStream.dataHeader(contextID: contextID, isCommand: true, isLast: true, count: bytes.count) + bytes)
            if let dataSet { try send(dataSet.file, from: dataSet.offset, contextID: contextID) }
            return try response(to: command.uint16(.messageID) ?? 0)
        } catch {
            end(after: error)
            throw error
        }
    }

    private func send(_ file: FileDescriptor, from start: Int, contextID: UInt8) throws(AssociationError) {
        let end: Int
        do throws(SystemCallError) {
            end = try file.status().size
        } catch {
            throw .unreadableFile(reason: error.reason)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 12 + maximumPayload, alignment: 16)
        defer { buffer.deallocate() }
        var offset = start
        repeat {
            let count = min(maximumPayload, end - offset)
            let isLast = offset + count >= end
            buffer.copyBytes(
                from: PDUStream.dataHeader(contextID: contextID, isCommand: false, isLast: isLast, count: count))
            let payload = UnsafeMutableRawBufferPointer(rebasing: buffer[12..<(12 + count)])
            let got: Int
            do throws(SystemCallError) {
                got = try file.fill(payload, at: offset)
            } catch {
                throw .unreadableFile(reason: error.reason)
            }
            // The file may shrink while it is sent. Half a data set must not look whole to the peer.
            guard got == count else { throw .unreadableFile(reason: "it was cut off") }
            try socket.send(UnsafeRawBufferPointer(rebasing: buffer[..<(12 + count)]))
            offset += count
        } while offset < end
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
        switch error {
        case .aborted(let abort) where abort.by == .us:
            try? socket.send(abort.encoded)
        case .unreadableFile, .timeout:
            // Half a message was sent. Only an abort can end it.
            try? socket.send(AssociationAbort(by: .us, source: 0, reason: 0).encoded)
        default:
            break
        }
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
        if !isOver { try? socket.send(AssociationAbort(by: .us, source: 0, reason: 0).encoded) }
    }
}
