// SPDX-License-Identifier: Apache-2.0

/// The conversation between the node and one sender, as `CAssociations.h` describes it.
///
/// This type is a value: it says whether a message is in turn, and the caller sends, waits and kills.
package struct SenderConversation: Sendable, Equatable {
    /// What both ends wait for.
    package enum State: Sendable, Hashable {
        /// The sender has to say that it is ready.
        case starting
        /// The sender waits for a request.
        case idle
        /// The sender has to say whether it can use new credentials.
        case preparing
        /// The peer has to accept or reject the association.
        case negotiating
        /// The association is open. `isAsked`: the peer awaits the answer to its commitment result.
        case open(isAsked: Bool)
        /// The association is open, and an order is on its way.
        case ordered(isAsked: Bool)
        /// The peer has to answer the release.
        case releasing
    }

    /// A message that the state does not allow.
    ///
    /// The node kills a sender whose message is out of turn.
    package struct OutOfTurn: Error, Sendable, Equatable {
        /// What both ends waited for.
        package let state: State

        package init(state: State) { self.state = state }
    }

    /// What a message of the sender is for the node.
    package enum Meaning: Sendable, Hashable {
        /// The sender can be given an association.
        case ready
        /// The answer to the node's last message.
        case answer
        /// The peer told the result of a commitment. The node has to answer while no order is on its way.
        case told
        /// The association is over, or did not come about.
        case over
    }

    /// What both ends wait for.
    package private(set) var state = State.starting

    /// The conversation with a sender that was just started.
    package init() {}

    /// Notes a message that the node is about to send.
    ///
    /// - Throws: `OutOfTurn`; the message must not be sent then.
    package mutating func send(_ order: SenderOrder) throws(OutOfTurn) {
        switch (state, order) {
        case (.idle, .credentials): state = .preparing
        case (.idle, .associate): state = .negotiating
        case (.open(let isAsked), .store), (.open(let isAsked), .ask), (.open(let isAsked), .report),
            (.open(let isAsked), .echo):
            // The peer's request is answered first.
            guard !isAsked else { throw OutOfTurn(state: state) }
            state = .ordered(isAsked: false)
        case (.open(isAsked: true), .answer): state = .open(isAsked: false)
        case (.open, .release): state = .releasing
        default: throw OutOfTurn(state: state)
        }
    }

    /// Notes a message of the sender.
    ///
    /// - Throws: `OutOfTurn`; the sender cannot be trusted any more.
    package mutating func receive(_ reply: SenderReply) throws(OutOfTurn) -> Meaning {
        switch (state, reply) {
        case (.starting, .ready), (.preparing, .ready):
            state = .idle
            return .ready
        case (.preparing, .unusable):
            state = .idle
            return .answer
        case (.negotiating, .accepted):
            state = .open(isAsked: false)
            return .answer
        case (.ordered(let isAsked), .responded), (.ordered(let isAsked), .failed):
            state = .open(isAsked: isAsked)
            return .answer
        case (.open(isAsked: false), .told):
            state = .open(isAsked: true)
            return .told
        case (.ordered(isAsked: false), .told):
            state = .ordered(isAsked: true)
            return .told
        // The result crossed the release. The peer will tell it again on an association of its own.
        case (.releasing, .told): return .told
        case (.negotiating, .ended), (.open, .ended), (.ordered, .ended), (.releasing, .ended):
            state = .starting
            return .over
        default: throw OutOfTurn(state: state)
        }
    }
}
