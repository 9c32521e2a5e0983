// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import TestSupport
import Testing

/// What a peer that takes only short PDUs, or only one encoding, gets.
@Suite(.serialized) struct PDULengthTests {
    private static let explicit = TransferSyntax.explicitVRLittleEndian.rawValue
    private static let implicit = TransferSyntax.implicitVRLittleEndian.rawValue

    /// Stores a data set in Explicit VR Little Endian at an archive.
    private func store(_ dataSet: [UInt8], at archive: RawArchive) async throws -> RawArchive.State {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString).dcm").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let context = SOPClassAndSyntax(sopClassUID: RawClient.ctImageStorage, transferSyntaxUID: Self.explicit)
        let meta = FileMeta(
            sopClassUID: context.sopClassUID, sopInstanceUID: "1.2.3.4", transferSyntaxUID: context.transferSyntaxUID)
        try Data(meta.encoded + dataSet).write(to: URL(fileURLWithPath: path))
        let peer = archive.peer
        let status = try await DedicatedThread.run(name: "test-sender") {
            let association = try StorageSender(aeTitle: LoopbackNode.caller).connect(to: peer, contexts: [context])
            defer { association.release() }
            return try association.store(path: path)
        }
        #expect(status == .success)
        return archive.state
    }

    @Test(arguments: [8, 9, 128, 1024, 16_384, 131_072, 0] as [UInt32], [0, 1000, 300_000])
    func `a PDU longer than the peer's maximum is never sent`(maximum: UInt32, size: Int) async throws {
        let archive = try RawArchive(maximumLength: maximum, transferSyntaxes: [Self.explicit])
        let dataSet = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let state = try await store(dataSet, at: archive)
        #expect(maximum == 0 || state.longest <= Int(maximum))
        #expect(state.dataSet == dataSet)
    }

    @Test(arguments: [8, 20, 128] as [UInt32])
    func `a response is cut to the peer's maximum, too`(maximum: UInt32) async throws {
        try await LoopbackNode.with { node in
            let port = node.port
            let bodies = try await DedicatedThread.run(name: "test-short") {
                let client = RawClient(port: port)
                guard
                    client.associate(
                        calling: LoopbackNode.caller, called: LoopbackNode.aeTitle, maximumLength: maximum)
                else { return [[UInt8]]() }
                client.send(RawClient.data(CommandSetTests.echo, context: 3, command: true, last: true))
                var bodies: [[UInt8]] = []
                while case .pdu(4, let body) = client.receive() {
                    bodies.append(body)
                    if body[5] & 2 != 0 { break }
                }
                return bodies
            }
            #expect(!bodies.isEmpty && bodies.allSatisfy { $0.count <= Int(maximum) })
            #expect(bodies.flatMap { $0[6...] } == CommandSetTests.echoResponse)
        }
    }

    // MARK: - Implicit VR

    /// An element in Explicit VR Little Endian.
    private static func explicit(
        _ group: UInt16, _ element: UInt16, _ vr: String, _ value: [UInt8], length: UInt32? = nil
    ) -> [UInt8] {
        let count = length ?? UInt32(value.count)
        let tag = [UInt8(group & 0xFF), UInt8(group >> 8), UInt8(element & 0xFF), UInt8(element >> 8)]
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
        if vr.isEmpty { return tag + bytes + value }
        return tag + Array(vr.utf8) + (["OB", "OW", "SQ", "UT"].contains(vr) ? [0, 0] + bytes : Array(bytes[..<2]))
            + value
    }

    private static let open: UInt32 = 0xFFFF_FFFF

    /// Sequences with and without lengths, a group length, a long value and an empty one; `nested` in both encodings.
    private static func dataSet(isExplicit: Bool) -> [UInt8] {
        func put(
            _ group: UInt16, _ element: UInt16, _ vr: String, _ value: [UInt8], length: UInt32? = nil
        ) -> [UInt8] { explicit(group, element, isExplicit ? vr : "", value, length: length) }
        func item(_ value: [UInt8], isOpen: Bool) -> [UInt8] {
            isOpen || !isExplicit
                ? explicit(0xFFFE, 0xE000, "", value, length: open) + explicit(0xFFFE, 0xE00D, "", [])
                : explicit(0xFFFE, 0xE000, "", value)
        }
        func sequence(_ element: UInt16, _ items: [UInt8], isOpen: Bool) -> [UInt8] {
            isOpen || !isExplicit
                ? put(0x0008, element, "SQ", items, length: open) + explicit(0xFFFE, 0xE0DD, "", [])
                : put(0x0008, element, "SQ", items)
        }
        let code = put(0x0008, 0x0100, "SH", Array("T-32500 ".utf8))
        let inner = sequence(0x2218, item(code, isOpen: false) + item([], isOpen: true), isOpen: false)
        let group = isExplicit ? put(0x0008, 0x0000, "UL", [9, 0, 0, 0]) : []
        return group + put(0x0008, 0x0016, "UI", Array("1.2.840.10008.5.1.4.1.1.2".utf8) + [0])
            + sequence(0x1115, item(inner + code, isOpen: true) + item(code, isOpen: false), isOpen: true)
            + sequence(0x1140, item(inner, isOpen: false), isOpen: false)
            + put(0x0008, 0x1199, "SQ", []) + put(0x0010, 0x0010, "PN", [])
            + put(0x7FE0, 0x0010, "OW", (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    }

    @Test func `an archive that takes Implicit VR alone gets the same values in it`() async throws {
        let archive = try RawArchive(maximumLength: 1024, transferSyntaxes: [Self.implicit])
        let state = try await store(Self.dataSet(isExplicit: true), at: archive)
        #expect(state.transferSyntax == Self.implicit)
        #expect(state.dataSet == Self.dataSet(isExplicit: false))
    }

    @Test func `an archive that takes both gets the object unchanged`() async throws {
        let archive = try RawArchive(transferSyntaxes: [Self.implicit, Self.explicit])
        let state = try await store(Self.dataSet(isExplicit: true), at: archive)
        #expect(state.transferSyntax == Self.explicit)
        #expect(state.dataSet == Self.dataSet(isExplicit: true))
    }

    @Test func `a data set that cannot be converted is not sent in part as if it were whole`() async throws {
        let archive = try RawArchive(transferSyntaxes: [Self.implicit])
        let cut = Array(Self.dataSet(isExplicit: true).dropLast(2))
        await #expect(throws: AssociationError.self) { try await store(cut, at: archive) }
    }
}
