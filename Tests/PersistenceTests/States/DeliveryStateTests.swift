// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `A delivery` {
    private func pending() throws -> (TestNode, DeliveryID) {
        let node = try TestNode()
        try node.fill(["1.1"])
        return (node, try node.finish(node.close(), [node.derived("2.25.1")])[0])
    }

    @Test func `that the peer has is sent`() async throws {
        try await blocking {
            let (node, id) = try pending()
            try node.journal.write {
                try $0.sent(id, status: 0xB006, AuditEvent(by: AuditActor(aeTitle: "ORTHANC", address: "127.0.0.1")))
            }
            #expect(try node.delivery(id)?.state == .sent)
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "deliverySent" && record.aeTitle == "ORTHANC" && record.instancesOut == "2.25.1")
            let summary = try node.journal.read { try $0.jobs() }[0].deliveries[0]
            #expect(summary.status == 0xB006 && summary.sentAt != nil)
        }
    }

    @Test func `that fails is pending again, and remembers for how long it was tried`() async throws {
        try await blocking {
            let (node, id) = try pending()
            for attempt in 1...3 {
                try node.journal.write {
                    try $0.pendingAgain(
                        id, spent: .seconds(10), memory: Data([UInt8(attempt)]), AuditEvent(reason: "no connection"))
                }
            }
            let found = try #require(try node.delivery(id))
            #expect(found.state == .pending && found.attempts == 3 && found.tried == .seconds(30))
            #expect(found.memory == Data([3]) && found.why == "no connection")
        }
    }

    @Test func `that is dead keeps its file until an operator revives it`() async throws {
        try await blocking {
            let (node, id) = try pending()
            try node.journal.write { try $0.dead(id, status: 0xC000, AuditEvent(reason: "status C000")) }
            #expect(try node.journal.read { try $0.pendingDeliveries() }.isEmpty)
            #expect(node.files("derived").count == 1)
            try node.journal.write { try $0.revived(id, AuditEvent(by: .user("admin"))) }
            let found = try #require(try node.journal.read { try $0.pendingDeliveries() }.first)
            #expect(found.attempts == 0 && found.tried == .zero)
        }
    }

    @Test func `that was superseded under way is sent all the same`() async throws {
        try await blocking {
            let (node, id) = try pending()
            try node.fill(["1.2"])
            #expect(try node.delivery(id)?.state == .superseded)
            try node.journal.write { try $0.sent(id, status: 0, AuditEvent()) }
            #expect(try node.delivery(id)?.state == .sent)
        }
    }

    @Test func `that is dead is superseded by a newer revision, so that nobody sends the older object after it`()
        async throws
    {
        try await blocking {
            let (node, id) = try pending()
            try node.journal.write { try $0.dead(id, AuditEvent()) }
            try node.fill(["1.2"])
            #expect(try node.delivery(id)?.state == .superseded)
            // An earlier version left such deliveries dead.
            try node.sql("UPDATE delivery SET state = 'dead'")
            let job = try #require(try node.delivery(id)).job
            #expect(throws: StateError.outdated(job)) { try node.journal.write { try $0.revived(id, AuditEvent()) } }
            try node.sql("UPDATE delivery SET state = 'superseded'")
            try node.finish(node.close(), [node.derived("2.25.1")])
            #expect(try node.delivery(id)?.state == .pending)
        }
    }

    /// What becomes of an object that was offered to a peer.
    enum Answer: CaseIterable { case none, lost, refused, dead }

    @Test(arguments: Answer.allCases)
    func `whose answer is not known counts as a predecessor, and one that was refused does not`(
        _ answer: Answer
    ) async throws {
        try await blocking {
            let (node, id) = try pending()
            #expect(try node.journal.write { try $0.offered(id) })
            try node.journal.write { transaction in
                switch answer {
                case .none: break
                case .lost:
                    try transaction.pendingAgain(id, spent: .zero, mayHaveArrived: true, AuditEvent())
                    // A later refusal does not prove that the peer lacks the object.
                    _ = try transaction.offered(id)
                    try transaction.pendingAgain(id, spent: .zero, AuditEvent())
                case .refused: try transaction.pendingAgain(id, spent: .zero, AuditEvent())
                case .dead: try transaction.dead(id, status: 0xC000, AuditEvent())
                }
            }
            try node.fill(["1.2"])
            let job = try node.close()
            let before = try node.journal.read { try $0.predecessors(of: job) }
            #expect(before.count == ([.none, .lost].contains(answer) ? 1 : 0))
        }
    }

    @Test func `that was under way when the node was killed counts as a predecessor`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                let node = try TestNode(path: path)
                try node.fill(["1.1"])
                let id = try node.finish(node.close(), [node.derived("2.25.1")])[0]
                _ = try node.journal.write { try $0.offered(id) }
            }
            let node = try TestNode(path: path)
            let id = try #require(try node.journal.read { try $0.pendingDeliveries() }.first).id
            _ = try node.journal.write { try $0.offered(id) }
            try node.journal.write { try $0.pendingAgain(id, spent: .zero, AuditEvent(reason: "no connection")) }
            try node.fill(["1.2"])
            let job = try node.close()
            #expect(try node.journal.read { try $0.predecessors(of: job) }.map(\.sopInstanceUID) == ["2.25.1"])
        }
    }

    private func held() throws -> (TestNode, DeliveryID) {
        let node = try TestNode()
        try node.fill(["1.1"])
        return (node, try node.finish(node.close(), [node.derived("2.25.1")], standing: .held)[0])
    }

    @Test func `that is held waits for an operator, who releases it`() async throws {
        try await blocking {
            let (node, id) = try held()
            #expect(try node.delivery(id)?.state == .held)
            #expect(try node.journal.read { try $0.pendingDeliveries() }.isEmpty)
            #expect(try node.journal.status().lowConfidence.count == 1)
            try node.journal.write { try $0.released(id, AuditEvent(by: .user("reader"), reason: "released: fine")) }
            #expect(try node.journal.read { try $0.pendingDeliveries() }.map(\.id) == [id])
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "deliveryReleased" && record.user == "reader" && record.reason == "released: fine")
            #expect(throws: StateError.wrongState("delivery", id.rawValue, found: "pending")) {
                try node.journal.write { try $0.dropped(id, AuditEvent()) }
            }
        }
    }

    @Test func `that is held and dropped is never sent`() async throws {
        try await blocking {
            let (node, id) = try held()
            try node.journal.write { try $0.dropped(id, AuditEvent(by: .user("reader"), reason: "dropped: wrong")) }
            #expect(try node.delivery(id)?.state == .dropped)
            for move: (WriteTransaction) throws -> Void in [
                { try $0.released(id, AuditEvent()) }, { try $0.revived(id, AuditEvent()) },
                { try $0.sent(id, status: 0, AuditEvent()) },
            ] {
                #expect(throws: StateError.wrongState("delivery", id.rawValue, found: "dropped")) {
                    try node.journal.write { try move($0) }
                }
            }
        }
    }

    @Test func `that is held is superseded by a newer revision, which is held in turn`() async throws {
        try await blocking {
            let (node, id) = try held()
            try node.fill(["1.2"])
            #expect(try node.delivery(id)?.state == .superseded)
            try node.finish(node.close(), [node.derived("2.25.1")], standing: .held)
            #expect(try node.delivery(id)?.state == .held)
        }
    }

    @Test func `that is sent although its confidence is low is counted, not held`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.fill(["1.1"])
            let id = try node.finish(node.close(), [node.derived("2.25.1")], standing: .lowConfidence)[0]
            #expect(try node.delivery(id)?.state == .pending)
            #expect(try node.journal.read { try $0.jobs() }[0].lowConfidence)
            #expect(try node.journal.read { try $0.judgement(of: "2.25.1") }?.isLow == true)
        }
    }

    @Test func `that is sent stays sent`() async throws {
        try await blocking {
            let (node, id) = try pending()
            try node.journal.write { try $0.sent(id, status: 0, AuditEvent()) }
            for end: (WriteTransaction) throws -> Void in [
                { try $0.dead(id, AuditEvent()) }, { try $0.pendingAgain(id, spent: .zero, AuditEvent()) },
                { try $0.revived(id, AuditEvent()) }, { try $0.sent(id, status: 0, AuditEvent()) },
            ] {
                #expect(throws: StateError.wrongState("delivery", id.rawValue, found: "sent")) {
                    try node.journal.write { try end($0) }
                }
            }
        }
    }
}
