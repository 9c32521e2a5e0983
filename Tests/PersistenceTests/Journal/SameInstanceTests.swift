// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

@Suite struct `Same instance` {
    @Test func `the same data set is stored once`() async throws {
        try await blocking {
            let node = try TestNode()
            let first = try node.receive("1.1", [1, 2])
            #expect(try node.receive("1.1", [1, 2]) == .duplicate(of: first.id))
            #expect(try node.count(.received) == 1)
            #expect(node.files("instances").count == 1)
            #expect(try node.events() == ["instancesReceived", "instancesReceived"])
        }
    }

    @Test func `the header that we write is not part of the hash`() async throws {
        try await blocking {
            let node = try TestNode()
            let first = try node.receive("1.1", [1, 2])
            let file = try node.spool.incomingFile(now: Date())
            try Array("another title's header".utf8).withUnsafeBytes { try file.writeHeader($0) }
            try [1, 2].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in
                try file.append(UnsafeRawBufferPointer(rebasing: bytes.prefix(1)))
            }
            try [2 as UInt8].withUnsafeBytes { try file.append($0) }
            let again = try node.journal.commit(
                file,
                IncomingInstance(
                    sopClassUID: TestNode.mrImage, sopInstanceUID: "1.1", transferSyntaxUID: TestNode.explicitLittle,
                    association: TestNode.association("ENDO2")))
            #expect(again == .duplicate(of: first.id))
        }
    }

    @Test func `another data set or transfer syntax of a UID is a variant and is kept`() async throws {
        try await blocking {
            let node = try TestNode()
            _ = try node.receive("1.1", [1, 2])
            guard case .variant = try node.receive("1.1", [1, 3]),
                case .variant = try node.receive("1.1", [1, 2], transferSyntax: "1.2.840.10008.1.2")
            else {
                Issue.record("not a variant")
                return
            }
            #expect(try node.count(.received) == 3)
            #expect(node.files("instances").count == 3)
        }
    }

    @Test func `a data set that comes again after another variant of its UID is the newest`()
        async throws
    {
        try await blocking {
            let node = try TestNode()
            let first = try node.receive("1.1", [1]).id
            let second = try node.receive("1.1", [2]).id
            guard case .variant(let third) = try node.receive("1.1", [1]) else {
                Issue.record("not a variant")
                return
            }
            #expect(first < second && second < third)
            #expect(try node.receive("1.1", [1]) == .duplicate(of: third))
        }
    }

    @Test func `a race of eight associations stores one`() async throws {
        try await blocking {
            let node = try TestNode()
            for round in 0..<10 {
                let answers = Answers()
                concurrently(8) { index in answers.add(index, Result { try node.receive("1.\(round)", [1]) }) }
                let stored = try answers.all.filter { if case .stored = try $0.get() { true } else { false } }
                #expect(stored.count == 1)
                #expect(Set(try answers.all.map { try $0.get().id }).count == 1)
            }
            #expect(node.files("instances").count == 10)
        }
    }

    @Test func `reception is one record an association and commit, which lists the instances`() async throws {
        try await blocking {
            let node = try TestNode()
            try node.receive("1.1", over: TestNode.association("ENDO1"))
            try node.receive("1.2", over: TestNode.association("ENDO2"))
            let records = try node.records()
            #expect(records.map(\.aeTitle) == ["ENDO1", "ENDO2"])
            #expect(records.map(\.instancesIn) == ["1.1", "1.2"])
            #expect(records.map(\.address) == ["10.1.0.7", "10.1.0.7"])
        }
    }
}
