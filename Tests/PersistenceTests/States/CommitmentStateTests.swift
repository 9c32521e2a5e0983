// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

@Suite struct `A delivery that a peer has to commit itself to` {
    private func sent() throws -> (TestNode, DeliveryID) {
        let node = try TestNode()
        try node.fill(["1.1"])
        let id = try node.finish(node.close(), [node.derived("2.25.1")])[0]
        try node.journal.write { try $0.sent(id, status: 0, commitBy: .seconds(100), AuditEvent()) }
        return (node, id)
    }

    private func uncommitted(_ node: TestNode, _ id: DeliveryID) throws -> UncommittedDelivery? {
        try node.journal.read { try $0.uncommitted(id) }
    }

    @Test func `waits for a request, and is found by its peer`() async throws {
        try await blocking {
            let (node, id) = try sent()
            let found = try #require(try uncommitted(node, id))
            #expect(found.commitBy == .seconds(100) && found.request == nil && found.sopInstanceUID == "2.25.1")
            #expect(try node.journal.read { try $0.uncommittedPeers() } == [found.peer])
            #expect(try node.journal.read { try $0.deliveriesToAskAbout(found.peer, at: .zero, limit: 9) } == [found])
            #expect(try node.journal.status().uncommitted.count == 1)
            let summary = try node.journal.read { try $0.jobs() }[0].deliveries[0]
            #expect(summary.state == .sent && summary.awaitsCommitment)
        }
    }

    @Test func `is asked about once, and is committed`() async throws {
        try await blocking {
            let (node, id) = try sent()
            let request = try node.ask("7.1", about: id)
            let peer = try #require(try uncommitted(node, id)).peer
            #expect(try node.journal.read { try $0.deliveriesToAskAbout(peer, at: nil, limit: 9) }.isEmpty)
            #expect(
                try node.journal.write {
                    try $0.commitmentAsked("7.2", of: peer, [id], deadline: .zero, AuditEvent()) == nil
                })
            #expect(try node.journal.read { try $0.unconfirmedRequests() }.map(\.id) == [request])
            try node.journal.write { try $0.commitmentConfirmed(request) }
            #expect(try node.journal.read { try $0.unconfirmedRequests() }.isEmpty)
            try node.journal.write { transaction in
                try transaction.commitmentAnswered(request, committed: 1, AuditEvent())
                try transaction.committed(id, AuditEvent(by: AuditActor(aeTitle: "ARCHIVE")))
            }
            #expect(try node.delivery(id)?.state == .committed)
            #expect(try uncommitted(node, id) == nil && node.journal.read { try $0.uncommittedPeers() }.isEmpty)
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "deliveryCommitted" && record.instancesOut == "2.25.1")
            #expect(try node.journal.read { try $0.jobs() }[0].deliveries[0].committedAt != nil)
            #expect(throws: StateError.wrongState("commitmentRequest", request.rawValue, found: "answered")) {
                try node.journal.write { try $0.commitmentAnswered(request, committed: 1, AuditEvent()) }
            }
        }
    }

    @Test func `is asked about again after its request has expired, and a late result still counts`() async throws {
        try await blocking {
            let (node, id) = try sent()
            let first = try node.ask("7.1", about: id, deadline: .seconds(10))
            #expect(try node.journal.read { try $0.overdueRequests(at: .seconds(9)) }.isEmpty)
            #expect(try node.journal.read { try $0.overdueRequests(at: .seconds(10)) }.map(\.id) == [first])
            try node.journal.write { transaction in
                #expect(try transaction.commitmentExpired(first, AuditEvent(reason: "no answer")).map(\.id) == [id])
                try transaction.askedAgain(id, after: .seconds(20), AuditEvent(reason: "no answer"))
            }
            let waiting = try #require(try uncommitted(node, id))
            #expect(waiting.unanswered == 1 && waiting.request == nil)
            let early = try node.journal.read {
                try $0.deliveriesToAskAbout(waiting.peer, at: .seconds(19), limit: 9)
            }
            #expect(early.isEmpty)
            let second = try node.ask("7.2", about: id)
            for (transaction, request) in [("7.1", first), ("7.2", second)] {
                let found = try node.journal.read { try $0.commitmentRequest(transaction, to: waiting.peer) }
                #expect(found?.id == request && found?.deliveries.map(\.id) == [id])
            }
            #expect(try node.journal.read { try $0.commitmentRequest("7.1", to: "another peer") } == nil)
            try node.journal.write { transaction in
                try transaction.commitmentAnswered(first, committed: 1, AuditEvent())
                try transaction.committed(id, AuditEvent())
            }
            #expect(try node.delivery(id)?.state == .committed)
            let left = try node.journal.read { try $0.commitmentRequest("7.2", to: waiting.peer) }
            #expect(left?.deliveries.isEmpty == true)
        }
    }

    @Test func `that the peer has lost is sent again, and results of before do not count any more`() async throws {
        try await blocking {
            let (node, id) = try sent()
            let peer = try #require(try uncommitted(node, id)).peer
            let request = try node.ask("7.1", about: id)
            try node.journal.write { transaction in
                try transaction.commitmentAnswered(request, committed: 0, AuditEvent())
                try transaction.lost(id, AuditEvent(reason: "no such object instance (0112)"))
            }
            let found = try #require(try node.delivery(id))
            #expect(found.state == .pending && found.object.path != nil)
            #expect(try node.journal.read { try $0.pendingDeliveries() }.map(\.id) == [id])
            try node.journal.write { try $0.sent(id, status: 0, commitBy: .seconds(200), AuditEvent()) }
            #expect(try uncommitted(node, id)?.losses == 1)
            #expect(try node.journal.read { try $0.commitmentRequest("7.1", to: peer) }?.deliveries.isEmpty == true)
        }
    }

    @Test func `that the peer has lost is superseded if a newer revision exists`() async throws {
        try await blocking {
            let (node, id) = try sent()
            try node.fill(["1.2"])
            #expect(try node.delivery(id)?.state == .sent)
            try node.journal.write { try $0.lost(id, AuditEvent()) }
            #expect(try node.delivery(id)?.state == .superseded)
            // The newer revision makes the same object, which the peer does not have.
            try node.finish(node.close(), [node.derived("2.25.1")])
            #expect(try node.delivery(id)?.state == .pending)
        }
    }

    @Test func `can be given up, revived and sent again`() async throws {
        try await blocking {
            let (node, id) = try sent()
            try node.journal.write { try $0.notCommitted(id, AuditEvent(reason: "no answer in 72 hours")) }
            #expect(try node.delivery(id)?.state == .dead && node.files("derived").count == 1)
            try node.journal.write { try $0.revived(id, AuditEvent(by: .user("admin"))) }
            #expect(try node.journal.read { try $0.pendingDeliveries() }.map(\.id) == [id])
            try node.journal.write { try $0.sent(id, status: 0, commitBy: .seconds(200), AuditEvent()) }
            #expect(try uncommitted(node, id)?.losses == 0)
        }
    }

    @Test func `is closed if the configuration does not ask for commitment any more`() async throws {
        try await blocking {
            let (node, id) = try sent()
            try node.journal.write { try $0.waived(id, AuditEvent()) }
            #expect(try node.delivery(id)?.state == .sent)
            #expect(try uncommitted(node, id) == nil && node.events().last == "commitmentWaived")
        }
    }

    @Test func `that is closed takes no arrow of commitment`() async throws {
        try await blocking {
            let (node, id) = try sent()
            try node.journal.write { try $0.waived(id, AuditEvent()) }
            let arrows: [(WriteTransaction) throws -> Void] = [
                { try $0.committed(id, AuditEvent()) }, { try $0.lost(id, AuditEvent()) },
                { try $0.notCommitted(id, AuditEvent()) }, { try $0.waived(id, AuditEvent()) },
                { try $0.askedAgain(id, after: .zero, AuditEvent()) }, { try $0.dead(id, AuditEvent()) },
            ]
            for arrow in arrows {
                #expect(throws: StateError.wrongState("delivery", id.rawValue, found: "sent")) {
                    try node.journal.write(arrow)
                }
            }
        }
    }

    @Test func `survives the end of the node with its request`() async throws {
        try await blocking {
            let path = TestNode.temporary()
            defer { try? FileManager.default.removeItem(atPath: path) }
            var id = DeliveryID(rawValue: 0)
            do {
                let node = try TestNode(path: path)
                try node.fill(["1.1"])
                id = try node.finish(node.close(), [node.derived("2.25.1")])[0]
                try node.ask("7.1", about: id, deadline: .seconds(10))
            }
            let node = try TestNode(path: path)
            let request = try #require(try node.journal.read { try $0.unconfirmedRequests() }.first)
            #expect(request.transactionUID == "7.1" && request.deliveries.map(\.id) == [id])
        }
    }
}

@Suite struct `A report about instances that a peer asks for` {
    private static func items(_ uids: String...) -> [(sopClassUID: String, sopInstanceUID: String)] {
        uids.map { (TestNode.mrImage, $0) }
    }

    @Test func `is received, answered and reported, and its record names what the node keeps`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.receive("1.1")
            let id = try node.receiveRequest("8.1", Self.items("1.1", "1.2"))
            #expect(try node.journal.read { try $0.openCommitmentReports(to: "scope") }.map(\.id) == [id])
            let kept = try #require(try node.journal.read { try $0.keptInstance("1.1") })
            #expect(kept.isDurable && kept.sopClassUID == TestNode.mrImage)
            try node.journal.write { transaction in
                try transaction.commitmentChecked(id, [0: .kept(kept), 1: .failed(0x0112)])
                try transaction.commitmentReportAnswered(id, AuditEvent())
            }
            #expect(try node.journal.read { try $0.commitmentItems(of: id) }.map(\.item.failure) == [0, 0x0112])
            try node.journal.write { try $0.commitmentReportDelayed(id, dueAfter: .seconds(9), AuditEvent()) }
            #expect(try node.journal.read { try $0.commitmentReport(id) }?.dueAfter == .seconds(9))
            try node.journal.write { try $0.commitmentReported(id, AuditEvent()) }
            let record = try #require(try AuditTrail(journal: node.journal).latest(1).first)
            #expect(record.event == "commitmentReported" && record.instancesIn == "1.1" && record.count == 1)
            #expect(try node.journal.read { try $0.peersAwaitingReports() }.isEmpty)
            #expect(try node.journal.read { try $0.commitmentItems(of: id) }.isEmpty)
            #expect(try node.journal.status().commitmentReports.first { $0.state == "reported" }?.count == 1)
        }
    }

    @Test func `does not promise an instance that has changed since it was looked at`() async throws {
        try await blocking {
            let node = try TestNode()
            let instance = try node.receive("1.1").id
            let id = try node.receiveRequest("8.1", Self.items("1.1"))
            let seen = try #require(try node.journal.read { try $0.keptInstance("1.1") })
            try node.journal.quarantine(instance, AuditEvent())
            try node.journal.write { try $0.commitmentChecked(id, [0: .kept(seen)]) }
            #expect(try node.journal.read { try $0.commitmentItems(of: id) }[0].item.failure == 0x0110)
        }
    }

    @Test func `comes again if the peer repeats its request, and another request needs another UID`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receiveRequest("8.1", Self.items("1.1"))
            #expect(try node.request("8.1", Self.items("1.1")) == .open(id))
            #expect(try node.request("8.1", Self.items("1.2")) == .duplicateTransactionUID)
            try node.journal.write { try $0.commitmentReportUndeliverable(id, AuditEvent()) }
            #expect(try node.request("8.1", Self.items("1.2")) == .duplicateTransactionUID)
            #expect(try node.request("8.1", Self.items("1.1")) == .received(id))
            #expect(try node.journal.read { try $0.commitmentItems(of: id) }.map(\.item.sopInstanceUID) == ["1.1"])
        }
    }

    @Test func `is refused while the peer has too many open ones`() async throws {
        try await blocking {
            let node = try TestNode()
            let first = try node.receiveRequest("8.1", Self.items("1.1"))
            #expect(try node.request("8.2", Self.items("1.1"), mostOpen: 1) == .tooMany)
            #expect(try node.request("8.1", Self.items("1.1"), mostOpen: 1) == .open(first))
            try node.journal.write { try $0.commitmentReportUndeliverable(first, AuditEvent()) }
            guard case .received = try node.request("8.2", Self.items("1.1"), mostOpen: 1) else {
                Issue.record("a place is free")
                return
            }
        }
    }

    @Test func `that is over takes no arrow`() async throws {
        try await blocking {
            let node = try TestNode()
            let id = try node.receiveRequest("8.1", Self.items("1.1"))
            #expect(throws: StateError.wrongState("commitmentReport", id.rawValue, found: "received")) {
                try node.journal.write { try $0.commitmentReported(id, AuditEvent()) }
            }
            try node.journal.write { try $0.commitmentReportUndeliverable(id, AuditEvent()) }
            let arrows: [(WriteTransaction) throws -> Void] = [
                { try $0.commitmentChecked(id, [0: .failed(0x0112)]) },
                { try $0.commitmentReportAnswered(id, AuditEvent()) }, { try $0.commitmentReported(id, AuditEvent()) },
                { try $0.commitmentReportDelayed(id, dueAfter: .zero, AuditEvent()) },
                { try $0.commitmentReportUndeliverable(id, AuditEvent()) },
            ]
            for arrow in arrows {
                #expect(throws: StateError.wrongState("commitmentReport", id.rawValue, found: "undeliverable")) {
                    try node.journal.write(arrow)
                }
            }
        }
    }
}
