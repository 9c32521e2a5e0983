// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How long a peer that we call may take.
public struct AssociationLimits: Sendable, Equatable {
    /// For each address of the peer.
    public var connect: Duration
    /// From A-ASSOCIATE-RQ to its answer.
    public var negotiation: Duration
    /// From the last byte of a request to its response.
    public var response: Duration

    public init(
        connect: Duration = .seconds(10), negotiation: Duration = .seconds(30), response: Duration = .seconds(120)
    ) {
        self.connect = connect
        self.negotiation = negotiation
        self.response = response
    }
}

/// An association that we requested, in data transfer (PS3.8 9.2, state 6). Of one thread; its calls block.
final class RequestedAssociation {
    private let socket: StreamSocket
    private let stream: PDUStream
    private let limits: AssociationLimits
    /// By SOP class and transfer syntax.
    private let contexts: [SOPClassAndSyntax: UInt8]
    /// Longest PDV payload the peer takes, at most our own PDU.
    private let maximumPayload: Int
    private var lastMessageID: UInt16 = 0
    private var isOver = false

    /// Connects to `peer` and negotiates one presentation context for each of `proposals`, so that an answer tells
    /// exactly what the peer takes.
    ///
    /// - Parameter proposals: 1 to 128 (PS3.8 9.3.2.2: IDs are odd and fit a byte).
    /// - Throws: `notConnected`, `timeout`, `rejected`, `aborted` or `connectionLost`.
    init(
        to peer: Peer, calling: AETitle, proposals: [SOPClassAndSyntax], limits: AssociationLimits,
        interruption: Interruption
    ) throws(AssociationError) {
        precondition((1...128).contains(proposals.count), "an association proposes 1 to 128 presentation contexts")
        guard let host = peer.host, let port = peer.port else {
            throw .notConnected(host: peer.name, port: 0, reason: "the peer has no host and port to call")
        }
        socket = try StreamSocket(connectingTo: host, port: port, within: limits.connect, interruption: interruption)
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
            // A peer that answers with a syntax that was not proposed has accepted nothing we can send.
            guard index < proposals.count, answer.transferSyntax == proposals[index].transferSyntaxUID else { continue }
            contexts[proposals[index]] = answer.id
        }
        self.contexts = contexts
        let theirs = accept.user.maximumLength == 0 ? PDULimits.ours : Int(accept.user.maximumLength)
        // Below 4,096 a peer is either confused or out to make us send a packet a byte; PDVs are of even length.
        maximumPayload = (min(max(theirs, PDULimits.smallest), PDULimits.ours) - 6) & ~1
    }

    private static func negotiate(
        _ request: AssociateRequest, socket: StreamSocket, stream: PDUStream, limit: Duration
    ) throws(AssociationError) -> AssociateAccept {
        socket.begin(.waiting(limit, what: "the answer to A-ASSOCIATE-RQ"))
        try socket.write(request.encoded)
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

    func contextID(for wanted: SOPClassAndSyntax) throws(AssociationError) -> UInt8 {
        guard let id = contexts[wanted] else {
            throw .noPresentationContext(
                sopClassUID: wanted.sopClassUID, transferSyntaxUID: wanted.transferSyntaxUID)
        }
        return id
    }

    /// A new message ID; IDs only have to differ among messages that are under way, and there is one (PS3.7 E.1).
    func nextMessageID() -> UInt16 {
        lastMessageID = lastMessageID == .max ? 1 : lastMessageID + 1
        return lastMessageID
    }

    /// Sends a command, and behind it the bytes of `descriptor` from `offset` to its end as data set.
    ///
    /// - Returns: the status of the response.
    func perform(
        _ command: CommandSet, contextID: UInt8, dataSet: (descriptor: Int32, offset: Int)? = nil
    ) throws(AssociationError) -> DIMSEStatus {
        do {
            let bytes = command.encoded
            socket.begin(.moving(what: "the peer to read a request"))
            try socket.write(
                PDUStream.dataHeader(contextID: contextID, isCommand: true, isLast: true, count: bytes.count) + bytes)
            if let dataSet { try send(dataSet.descriptor, from: dataSet.offset, contextID: contextID) }
            return try response(to: command.uint16(.messageID) ?? 0)
        } catch {
            end(after: error)
            throw error
        }
    }

    private func send(_ descriptor: Int32, from start: Int, contextID: UInt8) throws(AssociationError) {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { throw .unreadableFile(reason: errorText(errno)) }
        let end = Int(info.st_size)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 12 + maximumPayload, alignment: 16)
        defer { buffer.deallocate() }
        var offset = start
        repeat {
            let count = min(maximumPayload, end - offset)
            let isLast = offset + count >= end
            buffer.copyBytes(
                from: PDUStream.dataHeader(contextID: contextID, isCommand: false, isLast: isLast, count: count))
            let got = pread(descriptor, buffer.baseAddress.map { $0 + 12 }, count, off_t(offset))
            // A file that shrinks under us cannot be sent to its end, and half a data set must not look whole.
            guard got == count else { throw .unreadableFile(reason: got < 0 ? errorText(errno) : "it was cut off") }
            try socket.write(UnsafeRawBufferPointer(rebasing: buffer[..<(12 + count)]))
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
                    else { throw .aborted(.unexpected("the peer answered something else")) }
                    return DIMSEStatus(rawValue: status)
                }
            case .abort:
                throw .aborted(AssociationAbort(peerSent: body))
            default:
                throw .aborted(.unexpected("a PDU of another kind came instead of a response"))
            }
        }
    }

    /// Tells the peer that the association is over, if it does not know.
    private func end(after error: AssociationError) {
        guard !isOver else { return }
        isOver = true
        switch error {
        case .aborted(let abort) where abort.by == .us:
            try? socket.write(abort.encoded)
        case .unreadableFile, .timeout:
            // Half a message is under way; nothing else ends it.
            try? socket.write(AssociationAbort(by: .us, source: 0, reason: 0).encoded)
        default:
            break
        }
    }

    /// A-RELEASE, waiting for the answer no longer than five seconds: everything that matters has been answered.
    func release() {
        guard !isOver else { return }
        isOver = true
        socket.begin(.waiting(.seconds(5), what: "the answer to A-RELEASE-RQ"))
        do {
            try socket.write(PDUStream.release(.releaseRequest))
            while let (type, _) = try stream.next() {
                // Both sides may ask at once (PS3.8 9.2, states 9 to 12); the requestor answers and waits on.
                if type == .releaseRequest { try socket.write(PDUStream.release(.releaseResponse)) } else { return }
            }
        } catch {
            return
        }
    }

    deinit {
        if !isOver { try? socket.write(AssociationAbort(by: .us, source: 0, reason: 0).encoded) }
    }
}

/// The lengths of PDUs that we agree to (PS3.8 annex D.1).
enum PDULimits {
    static let smallest = 4096
    static let ours = 131_072
}

/// What one presentation context is for.
public struct SOPClassAndSyntax: Hashable, Sendable {
    public var sopClassUID: String
    public var transferSyntaxUID: String

    public init(sopClassUID: String, transferSyntaxUID: String) {
        self.sopClassUID = sopClassUID
        self.transferSyntaxUID = transferSyntaxUID
    }
}

extension StreamSocket {
    /// Connects to the first address of `host` that answers.
    convenience init(
        connectingTo host: String, port: UInt16, within limit: Duration, interruption: Interruption
    ) throws(AssociationError) {
        let addresses = IPAddress.resolve(host)
        var reason = "the name is not known"
        for address in addresses {
            let descriptor = socket(
                address.bytes.count == 4 ? AF_INET : AF_INET6,
                Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else {
                reason = errorText(errno)
                continue
            }
            let code = Self.connect(descriptor, to: address, port: port, within: limit, interruption: interruption)
            if code == 0 {
                self.init(adopting: descriptor, address: address)
                return
            }
            close(descriptor)
            reason = errorText(code)
        }
        throw .notConnected(host: host, port: port, reason: reason)
    }

    /// - Returns: 0, or the error number.
    private static func connect(
        _ descriptor: Int32, to address: IPAddress, port: UInt16, within limit: Duration, interruption: Interruption
    ) -> Int32 {
        let code = address.withSocketAddress(port: port) { Glibc.connect(descriptor, $0, $1) }
        if code == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        let deadline = SuspendingClock.now + limit
        while SuspendingClock.now < deadline, !interruption.isStopped {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, 100) > 0 else { continue }
            var result: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result, &length)
            return result
        }
        return interruption.isStopped ? ECANCELED : ETIMEDOUT
    }
}

extension IPAddress {
    /// The address with a port as the socket calls take it.
    func withSocketAddress<Result>(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if bytes.count == 4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}
