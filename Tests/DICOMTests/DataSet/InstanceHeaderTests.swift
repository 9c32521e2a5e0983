// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct InstanceHeaderTests {
    private func header(_ data: ElementBytes) throws -> InstanceHeader {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try data.write(to: url)
            return try InstanceFile(path: url.path).header
        }
    }

    @Test(arguments: [
        "ct_explicit_little_endian", "ct_implicit_little_endian", "ct_explicit_big_endian", "ct_deflated",
        "ct_rle", "ct_jpeg_lossless_sv1",
    ])
    func `reads the same header whatever the encoding`(name: String) throws {
        let header = try InstanceFile(path: Fixture.path(name)).header
        #expect(header.modality == "CT")
        #expect(header.kind == .image)
        #expect((header.rows, header.columns, header.numberOfFrames) == (11, 13, 1))
        #expect((header.bitsAllocated, header.bitsStored, header.highBit) == (16, 12, 11))
        #expect(header.isSigned)
        let plane = try #require(header.plane)
        #expect(plane.position == Vector3(-10, 20, 30.5))
        #expect(plane.rowDirection == Vector3(1, 0, 0))
        #expect(plane.columnDirection == Vector3(0, 1, 0))
        #expect((plane.rowSpacing, plane.columnSpacing) == (0.5, 0.75))
        #expect(header.sliceThickness == 3)
        #expect(header.patientID == "FIXTURE")
        #expect(header.studyDescription == "FIXTURES")
    }

    @Test func `gives variants of one image one digest, and another image another`() throws {
        let explicit = try InstanceFile(path: Fixture.path("ct_explicit_little_endian")).imageDigest()
        let implicit = try InstanceFile(path: Fixture.path("ct_implicit_little_endian")).imageDigest()
        let deflated = try InstanceFile(path: Fixture.path("ct_deflated")).imageDigest()
        let other = try InstanceFile(path: Fixture.path("mr_unsigned_12bit")).imageDigest()
        #expect(explicit.count == 64)
        #expect(explicit == implicit)
        #expect(explicit == deflated)
        #expect(explicit != other)
    }

    @Test func `gives one digest for one image in other fragments`() throws {
        let one = try InstanceFile(path: Fixture.path("movie_jpeg_fragmented"))
        let two = try InstanceFile(path: Fixture.path("movie_jpeg_fragmented_no_offset_table"))
        #expect(try one.imageDigest() == two.imageDigest())
    }

    private struct Description: Decodable {
        let studyDescription: String
    }

    @Test(arguments: ["text_latin1", "text_utf8", "text_japanese", "text_cyrillic"])
    func `decodes descriptions to UTF-8`(name: String) throws {
        let expected = try Fixture.expected(name, as: Description.self)
        #expect(try InstanceFile(path: Fixture.path(name)).header.studyDescription == expected.studyDescription)
    }

    @Test func `replaces bytes that no character set explains`() throws {
        var data = ElementBytes()
        data.add(0x0008_0005, "CS", text: "ISO_IR 192")
        data.bytes += ElementBytes.identified().bytes.prefix(0)
        var rest = ElementBytes.identified()
        rest.bytes.insert(contentsOf: data.bytes, at: 0)
        rest.add(0x0010_0010, "PN", text: "A")
        var description = ElementBytes()
        description.add(0x0008_1030, "LO", [0x41, 0xFF, 0xFE, 0x42])
        rest.bytes += description.bytes
        let header = try header(rest)
        #expect(header.studyDescription?.hasPrefix("A") == true)
        #expect(header.studyDescription?.hasSuffix("B") == true)
    }

    @Test(arguments: [
        ("0\\0\\nan", "1\\0\\0\\0\\1\\0", "1\\1"), ("0\\0", "1\\0\\0\\0\\1\\0", "1\\1"),
        ("0\\0\\1e300", "1\\0\\0\\0\\1\\0", "1\\1"), ("0\\0\\0", "1\\0\\0\\1\\0\\0", "1\\1"),
        ("0\\0\\0", "2\\0\\0\\0\\1\\0", "1\\1"), ("0\\0\\0", "0\\0\\0\\0\\0\\0", "1\\1"),
        ("0\\0\\0", "1\\0\\0\\0\\1\\0", "0\\1"), ("0\\0\\0", "1\\0\\0\\0\\1\\0", "-1\\1"),
        ("0\\0\\0", "1\\0\\0\\0\\1\\0", "inf\\1"), ("0\\0\\0", "", "1\\1"),
    ])
    func `does not make a plane of impossible geometry, and says why`(
        position: String, orientation: String, spacing: String
    ) throws {
        var data = ElementBytes.identified()
        data.add(0x0020_0032, "DS", text: position)
        data.add(0x0020_0037, "DS", text: orientation)
        data.add(0x0028_0030, "DS", text: spacing)
        let header = try header(data)
        #expect(header.plane == nil)
        #expect(header.planeProblem != nil)
    }

    @Test(arguments: [
        ("1.2.840.10008.5.1.4.1.1.66.4", "it is a Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "it is a Structured Report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "it is a Key Object Selection Document"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "it is a Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "it is a radiotherapy object"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "it is an encapsulated document"),
        ("1.2.840.10008.5.1.4.1.1.4", "it has no Pixel Data"),
    ])
    func `names the reason why an instance is not an image`(sopClass: String, reason: String) throws {
        var data = ElementBytes()
        data.add(0x0008_0016, "UI", text: sopClass)
        data.add(0x0008_0018, "UI", text: "1.2.3.4")
        data.add(0x0020_000D, "UI", text: "1.2.3")
        data.add(0x0020_000E, "UI", text: "1.2.3")
        #expect(try header(data).kind == .notAnImage(reason: reason))
    }

    @Test func `does not assign a class to a branch by its first digits alone`() throws {
        var data = ElementBytes()
        data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.1104.1")
        data.add(0x0008_0018, "UI", text: "1.2.3.4")
        data.add(0x0020_000D, "UI", text: "1.2.3")
        data.add(0x0020_000E, "UI", text: "1.2.3")
        data.add(0x7FE0_0010, "OW", [0, 0])
        #expect(try header(data).kind == .image)
    }

    @Test func `recognises objects of Kontur by Contributing Equipment`() throws {
        var data = ElementBytes.identified()
        #expect(try !header(data).namesKontur)
        data.add(0x0018_A001, "SQ", length: ElementBytes.undefined)
        data.add(0xFFFE_E000, "", length: ElementBytes.undefined)
        data.add(0x0008_0070, "LO", text: "KONTUR")
        data.add(0xFFFE_E00D, "")
        data.add(0xFFFE_E0DD, "")
        #expect(try header(data).namesKontur)
    }

    @Test func `reads files without preamble or meta information`() throws {
        let data = ElementBytes.identified()
        let implicit = ElementBytes.identified(isExplicit: false)
        let big = ElementBytes.identified(isBigEndian: true)
        for (bytes, syntax) in [
            (data.bytes, ElementBytes.explicitLittleEndian), (implicit.bytes, ElementBytes.implicitLittleEndian),
            (big.bytes, ElementBytes.explicitBigEndian),
            (
                Array(ElementBytes.partTen(ElementBytes.explicitLittleEndian).dropFirst(132)) + data.bytes,
                ElementBytes.explicitLittleEndian
            ),
        ] {
            try withTemporaryFolder { folder in
                let url = folder.appending(path: "instance")
                try Data(bytes).write(to: url)
                let header = try InstanceFile(path: url.path).header
                #expect(header.transferSyntaxUID == syntax)
                #expect(header.sopInstanceUID == ElementBytes.instanceUID)
            }
        }
    }

    @Test func `reads an implicit data set that is said to be explicit`() throws {
        let implicit = ElementBytes.identified(isExplicit: false)
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "instance")
            try Data(ElementBytes.partTen(ElementBytes.explicitLittleEndian) + implicit.bytes).write(to: url)
            #expect(try InstanceFile(path: url.path).header.sopInstanceUID == ElementBytes.instanceUID)
        }
    }

    @Test func `survives being written as JSON`() throws {
        let header = try InstanceFile(path: Fixture.path("ct_rle")).header
        let again = try JSONDecoder().decode(InstanceHeader.self, from: JSONEncoder().encode(header))
        #expect(again == header)
    }
}
