// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Platform

/// A C-STORE-RQ (PS3.7 9.3.1.1).
package struct StoreRequest: Sendable, Equatable {
    /// Affected SOP Class UID; `nil` if the command lacks it or holds other text there.
    package let sopClassUID: String?
    /// Affected SOP Instance UID; `nil` if the command lacks it or holds other text there.
    package let sopInstanceUID: String?
    /// The transfer syntax that was negotiated for the presentation context.
    package let transferSyntaxUID: String
    /// Whether the SOP class is the one that was negotiated for the presentation context.
    package let fitsContext: Bool
    /// Whether the command announces a data set.
    package let hasDataSet: Bool
}

/// An association that a peer requested: a receiver speaks with the peer, and the node decides.
///
/// It belongs to one thread, and its calls block. The node's copy of the connection tells whether the peer keeps up. Take
/// each request with ``nextRequest(idleLimit:)`` and answer it. After an error the association is over. ``close()`` must
/// follow in any case.
package final class ReceivedAssociation {
    /// A request of a peer that the node has to answer.
    package enum Request: Sendable, Equatable {
        /// To be answered with `take` and `answer`, or with `refuse`.
        case store(StoreRequest)
        /// The peer asks for storage commitment; to be answered with `answer`.
        case asked(CommitmentRequest)
        /// The peer tells the result of the node's own request; to be answered with `answer`.
        case told(CommitmentResult)
    }

    /// How often the node looks at the connection while it waits.
    private static let tick: Duration = .milliseconds(250)
    /// How often the node looks while it waits for a handshake, to which others may have to give way.
    private static let shortTick: Duration = .milliseconds(50)
    /// The time of a receiver to end an association.
    private static let farewell: Duration = .seconds(1)

    /// The caller's address.
    package var address: IPAddress { arrival.address }
    /// Takes N-EVENT-REPORTs for the peer, from any thread.
    package let reports = CommitmentReports()
    /// What became of the receiver, if it cannot be used any more.
    package private(set) var fault: ReceiverFault?

    private let arrival: AssociationArrival
    private let receiver: ReceiverProcess
    private let interruption: AssociationInterruption
    private var contexts: [UInt8: (abstractSyntax: String, transferSyntax: String)] = [:]
    private var isAccepted = false
    /// Whether the receiver has ended the association.
    private var isOver = false

    /// - Parameters:
    ///   - arrival: the connection.
    ///   - receiver: a process that is ready; the caller gives it back to its pool after `close`.
    ///   - interruption: lets other threads end the association.
    package init(
        _ arrival: AssociationArrival, receiver: ReceiverProcess, interruption: AssociationInterruption
    ) {
        self.arrival = arrival
        self.receiver = receiver
        self.interruption = interruption
    }

    // MARK: Negotiation

    /// Hands the connection to the receiver, and waits for the peer's request.
    ///
    /// - Parameters:
    ///   - limit: the time from the connection to the end of the request.
    ///   - givesWay: called several times per second. A secure connection is given up once it returns true.
    /// - Returns: the request, which `accept` or `reject` has to answer.
    /// - Throws: the error that ended the association; `aborted` for a request that is malformed.
    package func proposal(
        within limit: Duration, givesWay: () -> Bool = { false }
    ) throws(AssociationError) -> AssociationProposal {
        let start = MonotonicClock.now()
        let order = ReceiverOrder.associate(
            maximumLength: Negotiation.maximumLength, isSecure: arrival.isSecure, received: arrival.request)
        try send(order, with: arrival.socket.descriptor)
        // A request that is whole already is read at once, unless the receiver hangs.
        let deadline = max(arrival.acceptedAt + limit, start + .seconds(2))
        let isSecure = arrival.isSecure
        let report = try next(every: isSecure ? Self.shortTick : Self.tick) { now in
            guard now >= deadline || isSecure && givesWay() else { return nil }
            return .tooSlow(waitingFor: isSecure ? "the TLS handshake" : "a request")
        }
        switch report {
        case .requested(let proposal): return proposal
        case .ended(let end): throw Self.error(end, isStopping: false)
        default: preconditionFailure("the conversation does not allow this message")
        }
    }

    /// Accepts the association with the answers to the contexts of the proposal.
    package func accept(_ answers: [ContextAnswer], of proposal: AssociationProposal) throws(AssociationError) {
        let proposed = Dictionary(
            proposal.contexts.map { ($0.id, $0.abstractSyntax) }, uniquingKeysWith: { first, _ in first })
        for answer in answers where answer.result == .acceptance {
            contexts[answer.id] = (proposed[answer.id] ?? "", answer.transferSyntax)
        }
        isAccepted = true
        try send(.accept(answers))
    }

    /// Rejects the association.
    package func reject(_ rejection: AssociationRejection) throws(AssociationError) {
        try send(.reject(rejection))
        let deadline = MonotonicClock.now() + Self.farewell
        _ = try next { now in now < deadline ? nil : .receiverHangs }
    }

    // MARK: Requests

    /// Waits for the next request.
    ///
    /// - Parameter idleLimit: the time that the peer may take until the request begins.
    /// - Returns: `nil` once the peer has released the association.
    /// - Throws: the error that ended the association.
    package func nextRequest(idleLimit: Duration) throws(AssociationError) -> Request? {
        while true {
            // A peer that never pauses has to notice that the node stops, too.
            try look()
            switch try next(pace: idleLimit, "the rest of a request") {
            case .store(let store): return .store(request(store))
            case .asked(let request): return .asked(request)
            case .told(let result): return .told(result)
            case .served: continue
            case .ended(let end) where end.how == .released: return nil
            case .ended(let end): throw Self.error(end, isStopping: interruption.demand != .none)
            default: preconditionFailure("the conversation does not allow this message")
            }
        }
    }

    private func request(_ store: ReceiverReport.Store) -> StoreRequest {
        let context = contexts[store.contextID]
        let sopClass = UID(padded: Array(store.sopClassUID.utf8))?.text
        return StoreRequest(
            sopClassUID: sopClass, sopInstanceUID: UID(padded: Array(store.sopInstanceUID.utf8))?.text,
            transferSyntaxUID: context?.transferSyntax ?? "",
            fitsContext: sopClass != nil && sopClass == context?.abstractSyntax, hasDataSet: store.hasDataSet)
    }

    /// Has the receiver append the data set of the last request to a file.
    ///
    /// - Parameters:
    ///   - file: a descriptor for writing. The receiver gets a copy.
    ///   - limit: the most bytes of the data set.
    ///   - isFull: called several times per second while the data set comes. From the time at which it returns true,
    ///     the rest is discarded.
    /// - Returns: the size and the digest of the data set, or the error of the write that failed.
    /// - Throws: the error that ended the association.
    package func take(
        into file: Int32, limit: UInt64, isFull: () -> Bool
    ) throws(AssociationError) -> ReceivedDataSet {
        try send(.take(limit: limit), with: file)
        var isDiscarding = false
        let report = try next(pace: nil, "a data set") { () throws(AssociationError) in
            guard !isDiscarding, isFull() else { return }
            isDiscarding = true
            try self.send(.discard(code: SystemCallError.noSpace))
        }
        switch report {
        case .whole(let dataSet): return dataSet
        case .ended(let end): throw Self.error(end, isStopping: interruption.demand != .none)
        default: preconditionFailure("the conversation does not allow this message")
        }
    }

    /// Refuses the data set of the last request with a status; what comes of it is discarded.
    package func refuse(_ status: DIMSEStatus) throws(AssociationError) { try send(.refuse(status)) }

    /// Answers the last request.
    package func answer(_ status: DIMSEStatus) throws(AssociationError) { try send(.answer(status)) }

    // MARK: The end

    /// Ends the association, and lets go of the connection.
    ///
    /// If the receiver is gone, the peer of a plain connection gets an A-ABORT. On a secure connection the node cannot
    /// send one, and closes it.
    package func close() {
        reports.close()
        if !isOver, fault == nil { _ = giveUp(.connectionLost(reason: "the node ended the association")) }
        if fault != nil, !arrival.isSecure { arrival.socket.writeAvailable(AssociationAbort.byProvider.encoded) }
        arrival.lingering.add(arrival.socket, after: isAccepted ? .association : .rejection)
    }

    /// Ends the association with an A-ABORT, and kills the receiver if it does not do that in time.
    private func giveUp(_ error: AssociationError) -> AssociationError {
        do throws(ReceiverFault) {
            try receiver.send(.abort(source: AssociationAbort.byProvider.source, reason: 0))
            let deadline = MonotonicClock.now() + Self.farewell
            while let report = try receiver.next(until: deadline) {
                if case .ended = report {
                    isOver = true
                    return error
                }
            }
            throw receiver.fail(.hung(waitingFor: "the end of an association"))
        } catch {
            fault = error
        }
        return error
    }

    private static func error(_ end: AssociationEnd, isStopping: Bool) -> AssociationError {
        switch end.how {
        case .released: .connectionLost(reason: "the peer released the association within a request")
        case .rejected: .rejected(.init(result: end.result, source: end.source, reason: end.reason))
        case .abortedByPeer: .aborted(.init(by: .peer, source: end.source, reason: end.reason))
        case .abortedByChild where isStopping: .connectionLost(reason: "the node is stopping")
        case .abortedByChild: .aborted(.init(by: .us, source: end.source, reason: end.reason, cause: end.cause))
        case .lost: .connectionLost(reason: end.cause)
        }
    }

    // MARK: The conversation

    private func send(_ order: ReceiverOrder, with descriptor: Int32 = -1) throws(AssociationError) {
        do throws(ReceiverFault) {
            try receiver.send(order, with: descriptor)
        } catch {
            throw lost(error)
        }
    }

    private func lost(_ fault: ReceiverFault) -> AssociationError {
        self.fault = fault
        return .connectionLost(reason: "\(fault)")
    }

    /// Waits for a message while the peer keeps up.
    ///
    /// The connection is looked at only if the message does not come at once.
    private func next(
        pace idleLimit: Duration?, _ transfer: String, onTick: () throws(AssociationError) -> Void = {}
    ) throws(AssociationError) -> ReceiverReport {
        var pace: PeerPace?
        return try next(onTick: onTick) { now in
            let socket = self.arrival.socket
            let look = PeerPace.Look(received: socket.transferCounts.received, unread: socket.unreadBytes)
            if pace == nil { pace = PeerPace(idleLimit: idleLimit, transfer: transfer, look: look, now: now) }
            return pace?.judge(look, now: now)
        }
    }

    /// Waits for a message, and asks `judge` several times per second whether to go on.
    private func next(
        every tick: Duration = tick, onTick: () throws(AssociationError) -> Void = {},
        _ judge: (_ now: Duration) -> PeerPace.Verdict?
    ) throws(AssociationError) -> ReceiverReport {
        while true {
            let report: ReceiverReport?
            do throws(ReceiverFault) {
                report = try receiver.next(until: MonotonicClock.now() + tick)
            } catch {
                throw lost(error)
            }
            switch report {
            case .reported(let status)?: reports.answered(status)
            case let report?:
                if case .ended = report { isOver = true }
                return report
            case nil:
                try look()
                try onTick()
                switch judge(MonotonicClock.now()) {
                case nil: continue
                case .tooSlow(let event)?: throw giveUp(.timeout(waitingFor: event))
                case .receiverHangs?:
                    throw giveUp(.connectionLost(reason: "the receiver process did not read what the peer sent"))
                }
            }
        }
    }

    /// Obeys the interruption, and sends a report that waits.
    private func look() throws(AssociationError) {
        switch interruption.demand {
        case .none: break
        case .whenIdle:
            if receiver.conversation.state.isOpen, !receiver.conversation.isStopping { try send(.stop) }
        case .now: throw giveUp(.connectionLost(reason: "the node is stopping"))
        }
        let conversation = receiver.conversation
        guard conversation.state.isOpen, !conversation.isReporting, let result = reports.take() else { return }
        try send(.report(result))
    }
}
