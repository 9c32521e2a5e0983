// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Persistence
import Testing

/// An audit record, its table of fields and its hash.
@Suite struct `An audit record` {
    /// An export of three records: a usual one, one that uses every field, and one with empty and lowest values.
    ///
    /// `make_golden_records.py` made it, and Kontur 0.1.0 verified it. The hashes must never change.
    private static let golden = """
        {"configurationHash":"c0ffee","event":"nodeStarted","format":1\
        ,"hash":"76ddddd12bed0daf0cca99fdaa91d4b4674494bffa70eec745d6964258895d0a","number":1\
        ,"outcome":"success"\
        ,"previousHash":"0000000000000000000000000000000000000000000000000000000000000000"\
        ,"reason":"kontur 0.1.0","time":1769000000000001}
        {"address":"10.0.0.1","aeTitle":"ORTHANC","certificate":"CN=archive","confidence":0.875\
        ,"configurationHash":"c0ffee","count":2,"event":"jobDone","format":1\
        ,"hash":"c259aa57cc6ae32b7d83ae76138af0f81f04d6b16b77897c80524ce12bd33d1a"\
        ,"instancesIn":"1.1 1.2","instancesOut":"2.25.1","job":7,"number":2,"outcome":"success"\
        ,"predecessors":"2.25.0"\
        ,"previousHash":"76ddddd12bed0daf0cca99fdaa91d4b4674494bffa70eec745d6964258895d0a"\
        ,"reason":"segmented","revision":2,"route":"left-atrium","segmenter":"left-atrium-compact"\
        ,"segmenterVersion":"1.2.0","series":"1.2.3.4","study":"1.2.3","time":1769000001000000\
        ,"user":"admin","weightsHash":"feed"}
        {"confidence":0.0,"count":0,"event":"","format":1\
        ,"hash":"a341c163caceb56b8c5b1191f275e9ac75c9610078e8c5a60675f42f5f7647fc","number":3\
        ,"outcome":"retry"\
        ,"previousHash":"c259aa57cc6ae32b7d83ae76138af0f81f04d6b16b77897c80524ce12bd33d1a","reason":""\
        ,"time":-1}
        {"head":"a341c163caceb56b8c5b1191f275e9ac75c9610078e8c5a60675f42f5f7647fc"\
        ,"previousHash":"0000000000000000000000000000000000000000000000000000000000000000","records":3}
        """

    private static func lines() -> [Data] { golden.split(separator: "\n").map { Data($0.utf8) } }

    private static func records() throws -> [AuditRecord] {
        try lines().dropLast().map { try JSONDecoder().decode(AuditRecord.self, from: $0) }
    }

    @Test func `keeps the hash of format 1`() throws {
        let found = try AuditTrail.verify(export: Self.lines())
        #expect(found.isWhole && found.records == 3)
        for record in try Self.records() { #expect(record.computedHash() == record.hash) }
    }

    @Test func `has one name for each field, in its table, in exported lines and in the database`() async throws {
        let names = AuditRecord.fields.map(\.name)
        #expect(Set(names).count == names.count && names.last == "hash")
        let full = try #require(try JSONSerialization.jsonObject(with: Self.lines()[1]) as? [String: Any])
        #expect(Set(full.keys) == Set(names))
        try await blocking {
            let node = try TestNode()
            let columns = try DatabaseQueue(path: node.spool.databasePath).read { db in
                try db.columns(in: "audit").map(\.name)
            }
            #expect(Set(columns) == Set(names) && columns.count == names.count)
        }
    }

    @Test func `comes back from the database as it was written`() async throws {
        try await blocking {
            let node = try TestNode()
            let event = AuditEvent(
                by: AuditActor(aeTitle: "A", address: "B", certificate: "C", user: "D"),
                how: AuditMethod(
                    route: "E", configurationHash: "F", segmenter: "G", segmenterVersion: "H", weightsHash: "I",
                    confidence: 0.25),
                reason: "J")
            try node.journal.write { try $0.associationRejected(event) }
            let record = try #require(try node.records().first)
            #expect(record.aeTitle == "A" && record.address == "B" && record.certificate == "C" && record.user == "D")
            #expect(record.route == "E" && record.configurationHash == "F" && record.segmenter == "G")
            #expect(record.segmenterVersion == "H" && record.weightsHash == "I" && record.confidence == 0.25)
            #expect(record.reason == "J" && record.event == "associationRejected" && record.outcome == "failure")
            #expect(record.number == 1 && record.format == 1 && record.previousHash == AuditRecord.origin)
            #expect(record.hash == record.computedHash())
        }
    }
}
