// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Testing

/// Every message of both ends in every state.
@Suite struct ReceiverConversationTests {
    private typealias State = ReceiverConversation.State

    private static let orders: [String: ReceiverOrder] = [
        "credentials": .credentials([]), "associate": .associate(maximumLength: 0, isSecure: false, received: []),
        "accept": .accept([]), "reject": .reject(.localLimitExceeded), "take": .take(limit: 1),
        "refuse": .refuse(.outOfResources), "answer": .answer(.success),
        "report": .report(CommitmentResult(transactionUID: "1.2", committed: [], failed: [])), "stop": .stop,
        "discard": .discard(code: 28), "abort": .abort(source: 2, reason: 0),
    ]

    private static let messages: [String: ReceiverReport] = [
        "ready": .ready, "unusable": .unusable(""), "ended": .ended(AssociationEnd(.released)),
        "requested": .requested(AssociationProposal(calling: "A", called: "B", contexts: [])),
        "store": .store(.init(contextID: 1, sopClassUID: "1.2", sopInstanceUID: "1.3", hasDataSet: true)),
        "whole": .whole(ReceivedDataSet(bytes: 0, sha256: [])),
        "asked": .asked(CommitmentRequest(transactionUID: "1.2", references: [])),
        "told": .told(CommitmentResult(transactionUID: "1.2", committed: [], failed: [])),
        "reported": .reported(.success), "served": .served(commandField: 0x30),
    ]

    /// The messages that lead to each state; orders begin with `>`.
    private static let ways: [State: [String]] = [
        .starting: [], .idle: ["ready"], .equipping: ["ready", ">credentials"], .requesting: ["ready", ">associate"],
        .deciding: ["ready", ">associate", "requested"],
        .rejecting: ["ready", ">associate", "requested", ">reject"],
        .waiting: ["ready", ">associate", "requested", ">accept"],
        .storing: ["ready", ">associate", "requested", ">accept", "store"],
        .receiving: ["ready", ">associate", "requested", ">accept", "store", ">take"],
        .answering: ["ready", ">associate", "requested", ">accept", "store", ">take", "whole"],
        .aborting: ["ready", ">associate", "requested", ">accept", ">abort"],
    ]

    /// The messages that each state allows, and the state after each.
    private static let allowed: [State: [String: State]] = [
        .starting: ["ready": .idle],
        .idle: [">credentials": .equipping, ">associate": .requesting],
        .equipping: ["ready": .idle, "unusable": .idle],
        .requesting: ["requested": .deciding, "ended": .starting, ">abort": .aborting],
        .deciding: [">accept": .waiting, ">reject": .rejecting, ">abort": .aborting],
        .rejecting: ["ended": .starting, ">abort": .aborting],
        .waiting: [
            "store": .storing, "asked": .answering, "told": .answering, "served": .waiting, "ended": .starting,
            ">report": .waiting, ">stop": .waiting, ">abort": .aborting,
        ],
        .storing: [
            ">take": .receiving, ">refuse": .waiting, ">report": .storing, ">stop": .storing, ">abort": .aborting,
        ],
        .receiving: [
            "whole": .answering, "ended": .starting, ">discard": .receiving, ">report": .receiving,
            ">stop": .receiving, ">abort": .aborting,
        ],
        .answering: [">answer": .waiting, ">report": .answering, ">stop": .answering, ">abort": .aborting],
        .aborting: [
            "ended": .starting, "requested": .aborting, "store": .aborting, "whole": .aborting, "asked": .aborting,
            "told": .aborting, "served": .aborting, "reported": .aborting,
        ],
    ]

    /// Takes a message; false if it is out of turn.
    private static func step(_ conversation: inout ReceiverConversation, _ name: String) throws -> Bool {
        do {
            if name.hasPrefix(">") {
                try conversation.send(try #require(orders[String(name.dropFirst())]))
            } else {
                _ = try conversation.receive(try #require(messages[name]))
            }
            return true
        } catch let error as ReceiverConversation.OutOfTurn {
            #expect(error.state == conversation.state)
            return false
        }
    }

    private static func conversation(in state: State) throws -> ReceiverConversation {
        var conversation = ReceiverConversation()
        for name in try #require(ways[state]) {
            let isInTurn = try step(&conversation, name)
            #expect(isInTurn)
        }
        #expect(conversation.state == state)
        return conversation
    }

    @Test(arguments: ReceiverConversation.State.allCases)
    func `a state allows its messages, and every other message is out of turn`(
        state: ReceiverConversation.State
    ) throws {
        let allowed = try #require(Self.allowed[state])
        for name in Self.orders.keys.map({ ">" + $0 }) + Self.messages.keys {
            var conversation = try Self.conversation(in: state)
            let isInTurn = try Self.step(&conversation, name)
            #expect(isInTurn == (allowed[name] != nil), "\(name)")
            #expect(conversation.state == allowed[name] ?? state, "\(name)")
        }
    }

    @Test(arguments: [ReceiverConversation.State.waiting, .storing, .receiving, .answering])
    func `one report at a time is on its way`(state: ReceiverConversation.State) throws {
        var conversation = try Self.conversation(in: state)
        for (name, isInTurn) in [(">report", true), (">report", false), ("reported", true), ("reported", false)] {
            #expect(try Self.step(&conversation, name) == isInTurn)
        }
        #expect(conversation.state == state)
    }

    @Test func `a message that crossed an abort is dropped`() throws {
        var conversation = try Self.conversation(in: .aborting)
        #expect(try !conversation.receive(try #require(Self.messages["store"])))
        #expect(try conversation.receive(.ended(AssociationEnd(.abortedByChild))))
        #expect(conversation == ReceiverConversation())
    }
}
