// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import TestSupport
import Testing

/// A listener that real peers store to: DCMTK's tools and pynetdicom.
@Suite(.serialized) struct ListenerPeerTests {
    private func tool(_ name: String, _ arguments: [String], _ listener: RunningListener) async throws -> ExternalResult
    {
        try await runExternal(
            "/usr/bin/\(name)",
            ["-aet", "ENDO1", "-aec", "KONTUR"] + arguments.prefix(while: { $0.hasPrefix("-") || $0.hasPrefix("+") })
                + ["127.0.0.1", "\(listener.port)"] + arguments.drop(while: { $0.hasPrefix("-") || $0.hasPrefix("+") }),
            within: 30)
    }

    private var samples: [String] {
        get throws {
            let folder = Checkout.samples.appending(path: "colonoscopy")
            return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
                folder.appending(path: $0).path
            }
        }
    }

    /// What follows the File Meta Information.
    private func dataSet(_ path: String) throws -> Data {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let length = data[140..<144].reversed().reduce(0) { $0 << 8 | Int($1) }
        return data.dropFirst(144 + length)
    }

    @Test func `echoscu verifies the node`() async throws {
        try await RunningListener.with { listener in
            let result = try await tool("echoscu", [], listener)
            #expect(result.status == 0, "\(result.tail)")
        }
    }

    @Test func `echoscu learns why it is refused`() async throws {
        try await RunningListener.with { listener in
            let called = try await runExternal(
                "/usr/bin/echoscu", ["-v", "-aet", "ENDO1", "-aec", "OTHER", "127.0.0.1", "\(listener.port)"])
            #expect(called.errors.contains("Called AE Title Not Recognized"), "\(called.tail)")
            let calling = try await runExternal(
                "/usr/bin/echoscu", ["-v", "-aet", "STRANGER", "-aec", "KONTUR", "127.0.0.1", "\(listener.port)"])
            #expect(calling.errors.contains("Calling AE Title Not Recognized"), "\(calling.tail)")
            // The refusal is on the wire before it is in the trail.
            let end = ContinuousClock.now + .seconds(10)
            while try await listener.records(.associationRejected).count < 2, ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await listener.records(.associationRejected).count == 2)
        }
    }

    @Test func `what dcmsend stores lies on disk as it was, with the trail's record`() async throws {
        try await RunningListener.with { listener in
            let paths = try samples
            let result = try await tool("dcmsend", paths, listener)
            #expect(result.status == 0, "\(result.tail)")
            let received = try await listener.received()
            #expect(received.count == paths.count)
            var sent: [String: Data] = [:]
            for path in paths { sent[try InstanceFile(path: path).header.sopInstanceUID] = try dataSet(path) }
            for instance in received {
                #expect(try dataSet(instance.path) == sent[instance.sopInstanceUID])
                let header = try InstanceFile(path: instance.path).header
                #expect(header.sopInstanceUID == instance.sopInstanceUID)
                #expect(header.transferSyntaxUID == instance.transferSyntaxUID)
                let association = try #require(instance.association)
                #expect(!listener.open.isAnyOpen(of: [association]))
            }
            let records = try await listener.records(.instancesReceived)
            #expect(records.count == paths.count)
        }
    }

    @Test func `storescu may send the same again, and it is stored once`() async throws {
        try await RunningListener.with { listener in
            let paths = try samples
            for _ in 0..<2 {
                let result = try await tool("storescu", ["-xy"] + paths, listener)
                #expect(result.status == 0, "\(result.tail)")
            }
            #expect(try await listener.received().count == paths.count)
            #expect(try listener.files().count == paths.count)
        }
    }

    @Test func `pynetdicom stores a private class over one of four associations`() async throws {
        try await RunningListener.with { listener in
            let script = """
                import sys
                from pydicom.dataset import Dataset, FileMetaDataset
                from pydicom.uid import ExplicitVRLittleEndian, JPEG2000MCLossless
                from pynetdicom import AE
                port, private = int(sys.argv[1]), "1.2.826.0.1.3680043.9.3811.9.1"
                ae = AE("ENDO1")
                ae.add_requested_context(private, [JPEG2000MCLossless, ExplicitVRLittleEndian])
                ae.add_requested_context("1.2.840.10008.5.1.4.1.2.2.1")
                ae.add_requested_context("1.2.840.10008.1.1")
                associations = [ae.associate("127.0.0.1", port, ae_title="KONTUR") for _ in range(4)]
                for number, association in enumerate(associations):
                    accepted = {context.abstract_syntax: context.transfer_syntax for context in association.accepted_contexts}
                    assert accepted == {private: [ExplicitVRLittleEndian], "1.2.840.10008.1.1": ["1.2.840.10008.1.2"]}, accepted
                    data = Dataset()
                    data.SOPClassUID, data.SOPInstanceUID = private, f"1.2.3.{number}"
                    data.file_meta = FileMetaDataset()
                    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                    assert association.send_c_store(data).Status == 0
                    assert association.send_c_echo().Status == 0
                    association.release()
                """
            let result = try await runExternal(Executables.python, ["-c", script, "\(listener.port)"])
            #expect(result.status == 0, "\(result.tail)")
            #expect(try await listener.received().map(\.sopInstanceUID).sorted() == (0..<4).map { "1.2.3.\($0)" })
            #expect(Set(try await listener.received().map(\.association)).count == 4)
        }
    }
}
