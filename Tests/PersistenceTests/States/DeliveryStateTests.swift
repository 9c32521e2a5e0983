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
