// SPDX-License-Identifier: Apache-2.0

/// The conversation between the node and one receiver, as `CAssociations.h` describes it.
///
/// This type is a value: it says whether a message is in turn, and the caller sends, waits and kills.
package struct ReceiverConversation: Sendable, Equatable {
    /// What both ends wait for.
    package enum State: Sendable, Hashable, CaseIterable {
        /// The receiver has to say that it is ready.
        case starting
        /// The receiver waits for a connection.
        case idle
        /// The receiver has to say whether it can use the credentials.
        case equipping
        /// The peer has to request an association.
        case requesting
        /// The node has to accept or reject the association.
        case deciding
        /// The receiver has to say that the rejection is sent.
        case rejecting
        /// The peer has to send its next request.
        case waiting
        /// The node has to take or refuse a data set.
        case storing
        /// The peer has to send the rest of the data set.
        case receiving
        /// The node has to answer a request.
        case answering
        /// The receiver has to say that the association is over.
        case aborting

        /// Whether the association is open.
        var isOpen: Bool {
            switch self {
            case .waiting, .storing, .receiving, .answering: true
            case .starting, .idle, .equipping, .requesting, .deciding, .rejecting, .aborting: false
            }
        }
    }

    /// A message that the state does not allow.
    ///
    /// The node kills a receiver whose message is out of turn.
    package struct OutOfTurn: Error, Sendable, Equatable {
        /// What both ends waited for.
        package let state: State
    }

    /// What both ends wait for.
    package private(set) var state = State.starting
    /// Whether a report is on its way to the peer.
    package private(set) var isReporting = false
    /// Whether the receiver ends the association as soon as the peer awaits nothing.
    package private(set) var isStopping = false

    /// The conversation with a receiver that was just started.
    package init() {}

    /// Notes a message that the node is about to send.
    ///
    /// - Throws: `OutOfTurn`; the message must not be sent then.
    package mutating func send(_ order: ReceiverOrder) throws(OutOfTurn) {
        switch (state, order) {
        case (.idle, .credentials): state = .equipping
        case (.idle, .associate): state = .requesting
        case (.deciding, .accept): state = .waiting
        case (.deciding, .reject): state = .rejecting
        case (.storing, .take): state = .receiving
        case (.storing, .refuse): state = .waiting
        case (.answering, .answer): state = .waiting
        // It may cross `whole`, and is of no effect then.
        case (.receiving, .discard): break
        case (_, .report) where state.isOpen && !isReporting: isReporting = true
        case (_, .stop) where state.isOpen && !isStopping: isStopping = true
        case (.requesting, .abort), (.deciding, .abort), (.rejecting, .abort): state = .aborting
        case (_, .abort) where state.isOpen: state = .aborting
        default: throw OutOfTurn(state: state)
        }
    }

    /// Notes a message of the receiver.
    ///
    /// - Returns: false if the message crossed an abort, and is of no interest any more.
    /// - Throws: `OutOfTurn`; the receiver cannot be trusted any more.
    package mutating func receive(_ report: ReceiverReport) throws(OutOfTurn) -> Bool {
        switch (state, report) {
        case (.starting, .ready), (.equipping, .ready), (.equipping, .unusable): state = .idle
        case (.requesting, .requested): state = .deciding
        case (.waiting, .store): state = .storing
        case (.waiting, .asked), (.waiting, .told): state = .answering
        case (.waiting, .served): break
        case (.receiving, .whole): state = .answering
        case (_, .reported) where state.isOpen && isReporting: isReporting = false
        case (.requesting, .ended), (.rejecting, .ended), (.waiting, .ended), (.receiving, .ended),
            (.aborting, .ended):
            self = ReceiverConversation()
        case (.aborting, .requested), (.aborting, .store), (.aborting, .whole), (.aborting, .asked),
            (.aborting, .told), (.aborting, .served), (.aborting, .reported):
            return false
        default: throw OutOfTurn(state: state)
        }
        return true
    }
}
