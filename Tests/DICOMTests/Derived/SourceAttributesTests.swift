// SPDX-License-Identifier: Apache-2.0

import CDCMTK
import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct SourceAttributesTests {
    /// An element of a source, with another value that it may have.
    private struct Element {
        let tag: UInt32
        let vr: String
        let value: String
        let other: String
    }

    /// Values that decide whether the source is an image with a plane, or what the writer makes of others.
    private static let values: [UInt32: (String, String)] = [
        0x0008_0005: ("ISO_IR 100", "ISO_IR 192"),
        0x0008_0016: ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"),
        0x0008_0201: ("+0530", "+0100"), 0x0012_0062: ("YES", "NO"), 0x0018_0050: ("3.0", "4.0"),
        0x0020_0032: ("-100.5\\20.25\\0.0", "-100.50\\20.25\\0.0"),
        0x0020_0037: ("1\\0\\0\\0\\1\\0", "1.0\\0\\0\\0\\1\\0"),
        0x0028_0004: ("MONOCHROME2", "MONOCHROME1"), 0x0028_0008: ("1", "2"),
        0x0028_0030: ("0.75\\0.5", "0.750\\0.5"), 0x0028_2110: ("01", "00"),
    ]

    /// Every text attribute that DCMTK's dictionary has in the groups of patient, study, series and image modules.
    private static let elements: [Element] = {
        let byVR = [
            "AE": ("A", "B"), "AS": ("030Y", "031Y"), "CS": ("A", "B"), "DA": ("20240115", "20240116"),
            "DS": ("1.5", "2.5"), "DT": ("20240115", "20240116"), "IS": ("1", "2"), "LO": ("some", "other"),
            "LT": ("some", "other"), "PN": ("Some", "Other"), "SH": ("some", "other"), "ST": ("some", "other"),
            "TM": ("101500", "101501"), "UI": ("2.25.1", "2.25.2"),
        ]
        return [0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038].flatMap { (group: UInt32) in
            (UInt32(1)...0xFFFF).compactMap { element in
                let tag = group << 16 | element
                var letters: (CChar, CChar, CChar) = (0, 0, 0)
                withUnsafeMutablePointer(to: &letters) { tuple in
                    tuple.withMemoryRebound(to: CChar.self, capacity: 3) { cdcmtk_dictionary_vr(tag, $0) }
                }
                let vr = String(decoding: [letters.0, letters.1].map { UInt8(bitPattern: $0) }, as: UTF8.self)
                return (values[tag] ?? byVR[vr]).map { Element(tag: tag, vr: vr, value: $0.0, other: $0.1) }
            }
        }
    }()

    /// A small image with every element, one of which may have its other value.
    private static func image(changing changed: UInt32? = nil) -> ElementBytes {
        var data = ElementBytes()
        let numbers: [UInt32: UInt16] = [
            0x0028_0002: 1, 0x0028_0010: 2, 0x0028_0011: 4, 0x0028_0100: 16, 0x0028_0101: 12, 0x0028_0102: 11,
            0x0028_0103: 0,
        ]
        let texts = Dictionary(uniqueKeysWithValues: elements.map { ($0.tag, $0) })
        for tag in (Array(numbers.keys) + Array(texts.keys)).sorted() {
            if let number = numbers[tag] {
                data.add(tag, short: number)
            } else if let element = texts[tag] {
                data.add(tag, element.vr, text: tag == changed ? element.other : element.value)
            }
        }
        data.add(0x7FE0_0010, "OW", [UInt8](repeating: 7, count: 32))
        return data
    }

    /// What is written for one source, and what names it.
    private struct Written {
        var header: InstanceHeader
        var image: String
        var attributes: [String: String]
        /// The bytes of the SEG; `nil` if the source has another number of frames.
        var segmentation: Data?

        init(_ source: ElementBytes, in folder: URL) throws {
            let url = folder.appending(path: "source.dcm")
            try source.write(to: url)
            let file = try InstanceFile(path: url.path)
            header = file.header
            (image, attributes) = try file.digests()
            guard header.numberOfFrames == 1 else { return }
            let seg = folder.appending(path: "seg.dcm")
            try SegmentationInstance.write(
                ObjectDescription(
                    sopInstanceUID: "2.25.11", seriesInstanceUID: "2.25.12", created: 1_709_164_799,
                    kind: .segmentation(.strict), type: .binary,
                    segmenter: .drawn, softwareVersion: "0"),
                sources: [SegmentationSource(file)],
                masks: [Mask(rows: 2, columns: 4, pixels: [0, 1, 1, 0, 0, 0, 1, 0])], to: seg.path)
            segmentation = try Data(contentsOf: seg)
        }

        /// Everything of the source that enters the UID of a SEG.
        var identity: [String] {
            [
                header.sopInstanceUID, image, SourceAttributes.digestOfNewest(attributes),
                SourceAttributes.digestOfEach(attributes),
            ]
        }
    }

    @Test func `a value has the digest that a source with this value has`() throws {
        try withTemporaryFolder { folder in
            let source = try Written(Self.image(), in: folder)
            #expect(source.attributes["PatientSex"] == SourceAttributes.digest(ofValue: "A"))
            #expect(source.attributes["PatientSex"] != SourceAttributes.digest(ofValue: "B"))
        }
    }

    @Test func `whatever a SEG copies or a route reads has a digest`() throws {
        try withTemporaryFolder { folder in
            let first = try Written(Self.image(), in: folder)
            var copied = 0
            for element in Self.elements where element.tag != 0x0008_0018 {
                let name = "(\(String(element.tag >> 16, radix: 16)),\(String(element.tag & 0xFFFF, radix: 16)))"
                let other = try Written(Self.image(changing: element.tag), in: folder)
                if other.segmentation != first.segmentation {
                    copied += 1
                    #expect(other.identity != first.identity, "\(name) changes the SEG and not its UID")
                }
                if other.header != first.header {
                    #expect(
                        other.attributes != first.attributes || other.image != first.image,
                        "\(name) changes the header and has no digest")
                }
            }
            #expect(copied > 35)
        }
    }

    @Test func `padding does not count, and an empty value is like an absent one`() throws {
        try withTemporaryFolder { (folder: URL) throws in
            func digests(_ patientID: [UInt8]?) throws -> [String: String] {
                var data = ElementBytes()
                data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.7")
                data.add(0x0008_0018, "UI", text: ElementBytes.instanceUID)
                if let patientID { data.add(0x0010_0020, "LO", patientID) }
                data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
                data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
                let url = folder.appending(path: "source.dcm")
                try data.write(to: url)
                return try InstanceFile(path: url.path).digests().attributes
            }
            let plain = try digests(Array("A1".utf8))
            for padded in [" A1 ", "A1\0\0"] {
                let found = try digests(Array(padded.utf8))
                #expect(found == plain)
            }
            let (none, empty, other) = (try digests(nil), try digests([]), try digests(Array("A2".utf8)))
            #expect(empty == none && none["PatientID"] == nil)
            #expect(plain != other)
        }
    }
}

extension SegmenterDescriptor {
    fileprivate static let drawn = SegmenterDescriptor(
        name: "drawn", version: "1", accepts: .frames, weightsHash: String(repeating: "0", count: 64),
        segmentLabel: "shape", category: CodedConcept("123037004", "SCT", "Anatomical Structure"),
        type: CodedConcept("82471001", "SCT", "Left atrium"), anatomicRegion: nil,
        recommendedDisplayColor: DisplayColor(red: 0, green: 255, blue: 0), title: "", paper: "", licence: "")
}
