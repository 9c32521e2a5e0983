// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Testing

/// Each message in each state of the conversation with a sender.
@Suite struct SenderConversationTests {
    typealias State = SenderConversation.State

    /// The messages that lead to each state.
    private static let paths: [(State, [Step])] = {
        let open: [Step] = [.from(.ready), .to(.associate), .from(.accepted)]
        return [
            (.starting, []),
            (.idle, [.from(.ready)]),
            (.preparing, [.from(.ready), .to(.credentials)]),
            (.negotiating, [.from(.ready), .to(.associate)]),
            (.open(isAsked: false), open),
            (.open(isAsked: true), open + [.from(.told)]),
            (.ordered(isAsked: false), open + [.to(.store)]),
            (.ordered(isAsked: true), open + [.to(.store), .from(.told)]),
            (.releasing, open + [.to(.release)]),
        ]
    }()

    private enum Step { case to(Order), from(Reply) }

    enum Order: CaseIterable {
        case credentials, associate, store, ask, report, answer, release, echo

        var message: SenderOrder {
            let commitment = CommitmentRequest(transactionUID: "1.2", references: [])
            return switch self {
            case .credentials: .credentials([])
            case .associate: .associate(.sample)
            case .store: .store(.sample)
            case .ask: .ask(contextID: 1, commitment)
            case .report: .report(contextID: 1, CommitmentResult(transactionUID: "1.2", committed: []))
            case .answer: .answer(.success)
            case .release: .release
            case .echo: .echo(contextID: 1)
            }
        }
    }

    enum Reply: CaseIterable {
        case ready, unusable, ended, accepted, responded, told, failed

        var message: SenderReply {
            switch self {
            case .ready: .ready
            case .unusable: .unusable("")
            case .ended: .ended(AssociationEnd(.released))
            case .accepted: .accepted(.init(maximumLength: 0, contexts: []))
            case .responded: .responded(.success)
            case .told: .told(CommitmentResult(transactionUID: "1.2", committed: []))
            case .failed: .failed("")
            }
        }
    }

    private func conversation(_ path: [Step]) throws -> SenderConversation {
        var conversation = SenderConversation()
        for step in path {
            switch step {
            case .to(let order): try conversation.send(order.message)
            case .from(let reply): _ = try conversation.receive(reply.message)
            }
        }
        return conversation
    }

    /// The state after each order that is in turn.
    private func next(_ state: State, _ order: Order) -> State? {
        switch (state, order) {
        case (.idle, .credentials): .preparing
        case (.idle, .associate): .negotiating
        case (.open(isAsked: false), .store), (.open(isAsked: false), .ask), (.open(isAsked: false), .report),
            (.open(isAsked: false), .echo):
            .ordered(isAsked: false)
        case (.open(isAsked: true), .answer): .open(isAsked: false)
        case (.open, .release): .releasing
        default: nil
        }
    }

    /// The state after each reply that is in turn, and the meaning of the reply.
    private func next(_ state: State, _ reply: Reply) -> (State, SenderConversation.Meaning)? {
        switch (state, reply) {
        case (.starting, .ready), (.preparing, .ready): (.idle, .ready)
        case (.preparing, .unusable): (.idle, .answer)
        case (.negotiating, .accepted): (.open(isAsked: false), .answer)
        case (.ordered(let isAsked), .responded), (.ordered(let isAsked), .failed): (.open(isAsked: isAsked), .answer)
        case (.open(isAsked: false), .told): (.open(isAsked: true), .told)
        case (.ordered(isAsked: false), .told): (.ordered(isAsked: true), .told)
        case (.releasing, .told): (.releasing, .told)
        case (.starting, _), (.idle, _), (.preparing, _): nil
        case (_, .ended): (.starting, .over)
        default: nil
        }
    }

    @Test func `an order is in turn where the header says so, and out of turn everywhere else`() throws {
        for (state, path) in Self.paths {
            for order in Order.allCases {
                var conversation = try conversation(path)
                #expect(conversation.state == state)
                guard let expected = next(state, order) else {
                    #expect(throws: SenderConversation.OutOfTurn(state: state)) {
                        try conversation.send(order.message)
                    }
                    continue
                }
                try conversation.send(order.message)
                #expect(conversation.state == expected, "\(order) in \(state)")
            }
        }
    }

    @Test func `a reply is in turn where the header says so, and out of turn everywhere else`() throws {
        for (state, path) in Self.paths {
            for reply in Reply.allCases {
                var conversation = try conversation(path)
                guard let expected = next(state, reply) else {
                    #expect(throws: SenderConversation.OutOfTurn(state: state), "\(reply) in \(state)") {
                        try conversation.receive(reply.message)
                    }
                    continue
                }
                #expect(try conversation.receive(reply.message) == expected.1)
                #expect(conversation.state == expected.0, "\(reply) in \(state)")
            }
        }
    }
}

extension SenderOrder.Association {
    fileprivate static var sample: Self {
        Self(
            calling: AETitle("KONTUR")!, called: AETitle("ARCHIVE")!, maximumLength: 131_072,
            contexts: [(1, .commitment(.scp))])
    }
}

extension SenderOrder.Instance {
    fileprivate static var sample: Self {
        Self(
            contextID: 3, sopClassUID: "1.2", sopInstanceUID: "1.3", offset: 338, length: 1 << 33,
            transferSyntaxUID: "1.4")
    }
}

/// The bytes of the messages.
@Suite struct SenderMessageTests {
    private func text(_ value: String) -> [UInt8] { [UInt8(value.utf8.count), 0] + Array(value.utf8) }

    @Test func `orders are written as the header says`() {
        let association = SenderOrder.associate(.sample).message
        var expected: [UInt8] = [30, 0] + text("") + text("KONTUR") + text("ARCHIVE") + [0, 0, 2, 0, 1, 0]
        expected += [1] + text("1.2.840.10008.1.20.1") + [2, 2, 0]
        expected += text("1.2.840.10008.1.2.1") + text("1.2.840.10008.1.2")
        #expect(association == [UInt8(expected.count), 0, 0, 0] + expected)

        let store = SenderOrder.store(.sample).message
        var instance: [UInt8] = [31, 3] + text("1.2") + text("1.3")
        instance += [0x52, 1, 0, 0, 0, 0, 0, 0]
        instance += [0, 0, 0, 0, 2, 0, 0, 0] + text("1.4")
        #expect(Array(store.dropFirst(4)) == instance)
        #expect(SenderOrder.answer(.processingFailure).message == [3, 0, 0, 0, 34, 0x10, 1])
        #expect(SenderOrder.release.message == [1, 0, 0, 0, 35])
        #expect(SenderOrder.echo(contextID: 5).message == [2, 0, 0, 0, 36, 5])
    }

    @Test func `replies are read as the header says`() throws {
        #expect(try SenderReply([1]) == .ready)
        #expect(try SenderReply([2] + text("no")) == .unusable("no"))
        #expect(
            try SenderReply([3, 1, 2, 3, 4] + text("why"))
                == .ended(AssociationEnd(.rejected, result: 2, source: 3, reason: 4, cause: "why")))
        #expect(try SenderReply([41, 0, 0xA7]) == .responded(.outOfResources))
        #expect(try SenderReply([43] + text("cut off")) == .failed("cut off"))
        let certificate: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        var accepted: [UInt8] = [40, 0, 4, 0, 0] + text("1.9") + text("V1") + certificate
        accepted += [1, 0, 3, 0] + text("1.2") + [2]
        #expect(
            try SenderReply(accepted)
                == .accepted(
                    .init(
                        maximumLength: 1024, implementationClassUID: "1.9", implementationVersionName: "V1",
                        contexts: [.init(id: 3, result: 0, transferSyntax: "1.2", role: .scp)])))
    }

    @Test(
        arguments: [[], [0], [4], [99], [3, 9, 0, 0, 0, 0, 0], [41], [41, 0, 0, 0], [43, 5, 0, 65], [1, 1]] as [[UInt8]]
    )
    func `a reply that is not one is refused`(message: [UInt8]) {
        #expect(throws: MalformedMessage.self) { try SenderReply(message) }
    }
}
