// SPDX-License-Identifier: Apache-2.0

public import DICOM
import Platform

/// An association that the node requested: the SCU of storage, verification and storage commitment, or the SCP that
/// reports a commitment (PS3.4 annexes A, B and J).
///
/// A `kontur sender` process speaks with the peer. The node keeps a copy of the connection and holds the deadlines. One
/// thread at a time may use the association, and its calls block. If the last reference goes without a `release`, the
/// peer gets an A-ABORT.
public final class RequestedAssociation {
    /// How often the connection is looked at while the peer is waited for.
    private static let look: Duration = .milliseconds(250)
    /// The time of a process to end an association whose connection was shut down.
    private static let farewell: Duration = .seconds(2)
    /// The time of the peer to answer A-RELEASE-RQ.
    private static let releaseLimit: Duration = .seconds(5)

    private let pool: SenderPool
    private let limits: AssociationLimits
    private let interruption: Interruption
    private let proposals: [ContextProposal]
    /// Whether TLS encrypts the connection.
    private let isSecure: Bool
    /// The accepted contexts: their proposals and their answers.
    private var contexts: [(proposal: ContextProposal, answer: SenderReply.Association.Context)] = []
    /// `nil` if the association is over.
    private var open: (process: SenderProcess, connection: StreamSocket)?
    /// The error that ended the association.
    private var ending: AssociationError?
    /// The result that the peer has told, and that was not taken yet.
    private var result: CommitmentResult?
    /// Whether the peer waits for the answer to its result.
    private var isAsked = false

    /// Requests an association.
    ///
    /// - Parameters:
    ///   - connection: connected to the peer.
    ///   - calling: the node's AE title.
    ///   - peer: if it has `tls`, its certificate has to belong to it.
    ///   - proposals: 1 to 128, because IDs are odd and fit a byte (PS3.8 9.3.2.2).
    ///   - limits: the times that the peer may take.
    ///   - pool: the processes that speak with peers.
    ///   - interruption: lets another thread end the association.
    /// - Throws: `timeout`, `rejected`, `aborted` or `connectionLost`.
    init(
        over connection: StreamSocket, calling: AETitle, peer: Peer, proposals: [ContextProposal],
        limits: AssociationLimits, pool: SenderPool, interruption: Interruption
    ) throws(AssociationError) {
        precondition((1...128).contains(proposals.count), "an association proposes 1 to 128 presentation contexts")
        self.pool = pool
        self.limits = limits
        self.interruption = interruption
        self.proposals = proposals
        isSecure = peer.tls
        do throws(SenderFailure) {
            open = (try pool.take(isSecure: peer.tls), connection)
        } catch {
            throw AssociationError(error)
        }
        interruption.attach(connection)
        let request = SenderOrder.Association(
            isSecure: peer.tls, certificateHost: peer.tls ? peer.certificateHost : "", calling: calling,
            called: peer.aeTitle, maximumLength: Self.maximumLength,
            contexts: proposals.enumerated().map { (UInt8(2 * $0 + 1), $1) })
        let start = MonotonicClock.now()
        let reply = try perform(.associate(request), with: connection.descriptor) { [limits] _, now in
            now - start > limits.negotiation ? "the answer to A-ASSOCIATE-RQ" : nil
        }
        guard case .accepted(let accepted) = reply else { return }
        if peer.tls, let rule = peer.certificate, accepted.certificate.map(rule.accepts) != true {
            throw close(.wrongCertificate)
        }
        contexts = accepted.contexts.compactMap { answer in
            guard answer.result == 0, answer.id % 2 == 1, answer.id / 2 < proposals.count else { return nil }
            let proposal = proposals[Int(answer.id) / 2]
            // If the peer answers with a transfer syntax that was not proposed, the context cannot be used.
            guard proposal.transferSyntaxes.contains(answer.transferSyntax) else { return nil }
            return (proposal, answer)
        }
    }

    /// Bytes of the longest PDU that the node takes.
    private static let maximumLength: UInt32 = 131_072

    deinit {
        // The process dies with its last reference, and the connection closes.
        if let (_, connection) = open { sendAbort(connection) }
    }

    /// The process that speaks with the peer; `nil` if the association is over.
    package var processID: Int32? { open?.process.processID }

    // MARK: Services

    /// Whether the node proposed a context for this SOP class in this transfer syntax.
    public func proposes(_ wanted: SOPClassAndSyntax) -> Bool {
        proposals.contains {
            $0.abstractSyntax == wanted.sopClassUID && $0.transferSyntaxes.contains(wanted.transferSyntaxUID)
        }
    }

    /// Whether the peer accepted a context for storage commitment in which the node can ask.
    public var canAsk: Bool { contextID(for: CommitmentRequest.PushModel.sopClassUID, isUser: true) != nil }

    /// Stores a Part 10 file at the peer.
    ///
    /// The bytes of the data set are sent unchanged, in its own transfer syntax. If the peer takes only Implicit VR
    /// Little Endian, an object in Explicit VR Little Endian is sent in that syntax. Its values and UIDs stay the same.
    ///
    /// - Parameter path: a Part 10 file.
    /// - Returns: the status of the C-STORE response, which may be a refusal.
    /// - Throws: `noPresentationContext`, or `unreadableFile` if the file cannot be read: the association goes on, and
    ///   the next instance may be sent, unless the file was cut off while it was sent. After any other error the
    ///   association is over.
    public func store(path: String) throws(AssociationError) -> DIMSEStatus {
        let file: FileDescriptor
        let size: Int
        do throws(SystemCallError) {
            file = try FileDescriptor(path: path, for: .reading)
            size = try file.status().size
        } catch {
            throw .unreadableFile(reason: error.reason)
        }
        let (meta, offset) = try Self.meta(of: file)
        let wanted = SOPClassAndSyntax(sopClassUID: meta.sopClassUID, transferSyntaxUID: meta.transferSyntaxUID)
        guard let contextID = contextID(for: wanted) ?? wanted.implicit.flatMap(contextID) else {
            throw .noPresentationContext(
                sopClassUID: wanted.sopClassUID, transferSyntaxUID: wanted.transferSyntaxUID)
        }
        let instance = SenderOrder.Instance(
            contextID: contextID, sopClassUID: meta.sopClassUID, sopInstanceUID: meta.sopInstanceUID,
            offset: UInt64(offset), length: UInt64(max(size - offset, 0)),
            transferSyntaxUID: meta.transferSyntaxUID)
        return try request(.store(instance), with: file.number)
    }

    /// Verifies the peer with C-ECHO.
    ///
    /// - Throws: `noPresentationContext`, or the error that ended the association.
    public func echo() throws(AssociationError) -> DIMSEStatus {
        try request(.echo(contextID: try requiredContextID(for: SOPClass.verification, isUser: true)))
    }

    /// Asks the peer to commit to the safekeeping of instances (N-ACTION, PS3.4 J.3.2).
    ///
    /// - Returns: the status of the response. The result comes later, by ``told(within:)`` or on an association that
    ///   the peer requests.
    /// - Throws: `noPresentationContext`, or the error that ended the association.
    public func ask(_ commitment: CommitmentRequest) throws(AssociationError) -> DIMSEStatus {
        let id = try requiredContextID(for: CommitmentRequest.PushModel.sopClassUID, isUser: true)
        return try request(.ask(contextID: id, commitment))
    }

    /// Reports the result of a commitment to the peer (N-EVENT-REPORT, PS3.4 J.3.3).
    ///
    /// - Returns: the status of the response.
    /// - Throws: `noPresentationContext`, also if the peer does not accept the node's role of the SCP, or the error that
    ///   ended the association.
    public func report(_ result: CommitmentResult) throws(AssociationError) -> DIMSEStatus {
        let id = try requiredContextID(for: CommitmentRequest.PushModel.sopClassUID, isUser: false)
        return try request(.report(contextID: id, result))
    }

    /// Waits for the peer to tell the result of a commitment.
    ///
    /// The caller answers each result with ``answer(_:)``.
    ///
    /// - Parameter limit: the longest wait.
    /// - Returns: `nil` if nothing came in this time.
    /// - Throws: the error that ended the association.
    public func told(within limit: Duration) throws(AssociationError) -> CommitmentResult? {
        let deadline = MonotonicClock.now() + limit
        while result == nil, MonotonicClock.now() < deadline {
            _ = try next(until: min(deadline, MonotonicClock.now() + Self.look))
        }
        defer { result = nil }
        return result
    }

    /// Answers the result that ``told(within:)`` returned.
    public func answer(_ status: DIMSEStatus) throws(AssociationError) {
        guard isAsked else { return }
        isAsked = false
        result = nil
        try send(.answer(status))
    }

    /// Releases the association, and waits at most five seconds for the answer.
    public func release() {
        guard open != nil else { return }
        let deadline = MonotonicClock.now() + Self.releaseLimit
        do throws(AssociationError) {
            try send(.release)
            while open != nil, MonotonicClock.now() < deadline {
                _ = try next(until: min(deadline, MonotonicClock.now() + Self.look))
            }
        } catch {
            return
        }
        if open != nil { close(.timeout(waitingFor: "the answer to A-RELEASE-RQ")) }
    }

    // MARK: Contexts

    /// Reads the File Meta Information, which the first 16 KiB of a file hold.
    private static func meta(of file: FileDescriptor) throws(AssociationError) -> (meta: FileMeta, dataSetOffset: Int) {
        var head = [UInt8](repeating: 0, count: 16 << 10)
        let filled = head.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemCallError) in try file.fill(buffer, at: 0) }
        }
        switch filled {
        case .success(let count): head.removeLast(head.count - count)
        case .failure(let error): throw .unreadableFile(reason: error.reason)
        }
        let read = head.withUnsafeBytes { bytes in
            Result { () throws(DataSetError) in try FileMeta.read(bytes) }
        }
        do { return try read.get() } catch { throw .unreadableFile(reason: "\(error)") }
    }

    private func contextID(for wanted: SOPClassAndSyntax) -> UInt8? {
        contexts.first {
            $0.proposal.abstractSyntax == wanted.sopClassUID && $0.answer.transferSyntax == wanted.transferSyntaxUID
        }?.answer.id
    }

    /// The accepted context in which the node has the role of the SCU, or of the SCP.
    private func contextID(for sopClassUID: String, isUser: Bool) -> UInt8? {
        contexts.first {
            guard $0.proposal.abstractSyntax == sopClassUID else { return false }
            return switch $0.answer.role {
            // A peer that does not answer the proposed role leaves the requestor the role of the SCU.
            case .default: isUser && $0.proposal.role != .scp
            case .scu: isUser
            case .scp: !isUser
            case .both: true
            }
        }?.answer.id
    }

    private func requiredContextID(for sopClassUID: String, isUser: Bool) throws(AssociationError) -> UInt8 {
        guard let id = contextID(for: sopClassUID, isUser: isUser) else {
            throw .noPresentationContext(
                sopClassUID: sopClassUID, transferSyntaxUID: TransferSyntax.implicitVRLittleEndian.rawValue)
        }
        return id
    }

    // MARK: Conversation

    /// Sends a request, and waits for the status of its response.
    private func request(_ order: SenderOrder, with descriptor: Int32 = -1) throws(AssociationError) -> DIMSEStatus {
        // Nobody waits for this result here. The peer tells it again.
        if isAsked { try answer(.processingFailure) }
        var patience = PeerPatience(
            response: limits.response, counts: open?.connection.transferCounts ?? TransferCounts(),
            now: MonotonicClock.now())
        switch try perform(order, with: descriptor, judge: { patience.judge($0, now: $1) }) {
        case .responded(let status): return status
        case .failed(let reason): throw .unreadableFile(reason: reason)
        default: throw ending ?? .connectionLost(reason: "the sending process gave another answer")
        }
    }

    /// Sends an order, and waits for its answer.
    ///
    /// `judge` gets what the connection has moved, and the time. It returns the event that the peer did not bring about
    /// in its time.
    private func perform(
        _ order: SenderOrder, with descriptor: Int32, judge: (TransferCounts, Duration) -> String?
    ) throws(AssociationError) -> SenderReply {
        try send(order, with: descriptor)
        while true {
            if let answer = try next(until: MonotonicClock.now() + Self.look) { return answer }
            guard let connection = open?.connection else { continue }
            if let event = judge(connection.transferCounts, MonotonicClock.now()) {
                throw close(.timeout(waitingFor: event))
            }
        }
    }

    private func send(_ order: SenderOrder, with descriptor: Int32 = -1) throws(AssociationError) {
        // The peer may have ended the association meanwhile.
        while open?.process.isSpent == true { _ = try next(until: MonotonicClock.now() + Self.look) }
        guard open != nil else { throw ending ?? .connectionLost(reason: "the association is over") }
        do throws(SenderFailure) {
            try open?.process.send(order, with: descriptor)
        } catch {
            throw lose(error)
        }
    }

    /// Takes the next message of the process.
    ///
    /// - Returns: the answer to the last order; `nil` if something else came, or nothing in time.
    /// - Throws: the error that ended the association.
    private func next(until deadline: Duration) throws(AssociationError) -> SenderReply? {
        guard var process = open?.process else {
            throw ending ?? .connectionLost(reason: "the association is over")
        }
        let isReleasing = process.conversation.state == .releasing
        let received: (meaning: SenderConversation.Meaning, reply: SenderReply)
        do throws(SenderFailure) {
            received = try process.receive(until: deadline)
        } catch .timeout {
            if interruption.isStopped { throw close(Self.stopping) }
            return nil
        } catch {
            throw lose(error)
        }
        open?.process = process
        switch received {
        case (.answer, let reply): return reply
        case (.told, .told(let told)): (result, isAsked) = (told, true)
        case (.over, .ended(let end)):
            open = nil
            returnToPool(process)
            let error = interruption.isStopped ? Self.stopping : AssociationError(end)
            ending = error
            if !isReleasing { throw error }
        default: break
        }
        return nil
    }

    private static let stopping = AssociationError.connectionLost(reason: "the node is stopping")

    // MARK: Ends

    /// Ends the association because its process is gone.
    private func lose(_ failure: SenderFailure) -> AssociationError {
        let error = interruption.isStopped ? Self.stopping : AssociationError(failure)
        if let connection = open?.connection {
            sendAbort(connection)
            connection.shutDown()
        }
        open = nil
        ending = error
        return error
    }

    /// Ends the association from this side: the peer gets an A-ABORT, and the process its end of the connection.
    @discardableResult
    private func close(_ error: AssociationError) -> AssociationError {
        ending = error
        guard let (process, connection) = open else { return error }
        open = nil
        sendAbort(connection)
        connection.shutDown()
        returnToPool(process)
        return error
    }

    /// Waits until a process whose association is over waits for the next one.
    ///
    /// A process that does not is killed.
    private func returnToPool(_ process: SenderProcess) {
        var process = process
        let deadline = MonotonicClock.now() + Self.farewell
        while process.conversation.state != .idle {
            do { _ = try process.receive(until: deadline) } catch { return }
        }
        pool.give(process)
    }

    /// Sends A-ABORT (PS3.8 9.3.8), unless a PDU may lie half in the connection, or the process alone can encrypt it.
    private func sendAbort(_ connection: StreamSocket) {
        guard !isSecure, connection.transferCounts.queued == 0 else { return }
        connection.writeAvailable([7, 0, 0, 0, 0, 4, 0, 0, 0, 0])
    }
}

extension AssociationError {
    /// The meaning of the end of an association.
    fileprivate init(_ end: AssociationEnd) {
        self =
            switch end.how {
            case .released: .connectionLost(reason: "the peer released the association")
            case .rejected:
                .rejected(AssociationRejection(result: end.result, source: end.source, reason: end.reason))
            case .abortedByPeer: .aborted(AssociationAbort(by: .peer, source: end.source, reason: end.reason))
            case .abortedByChild:
                .aborted(AssociationAbort(by: .us, source: end.source, reason: end.reason, cause: end.cause))
            case .lost: .connectionLost(reason: end.cause)
            }
    }

    fileprivate init(_ failure: SenderFailure) {
        switch failure {
        case .timeout: self = .connectionLost(reason: "the sending process did not start in time")
        case .gone(let reason): self = .connectionLost(reason: reason)
        }
    }
}
