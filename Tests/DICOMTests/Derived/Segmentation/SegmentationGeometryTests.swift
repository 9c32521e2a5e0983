// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct SegmentationGeometryTests {
    /// The bytes of numbers of VR FL, or FD, little endian.
    private static func bytes(_ numbers: [Double], _ vr: String) -> [UInt8] {
        numbers.flatMap { number -> [UInt8] in
            vr == "FL"
                ? (0..<4).map { UInt8(truncatingIfNeeded: Float(number).bitPattern >> (8 * UInt32($0))) }
                : (0..<8).map { UInt8(truncatingIfNeeded: number.bitPattern >> (8 * UInt64($0))) }
        }
    }

    /// One value of a source: its VR and its bytes.
    private struct Value {
        var vr = "DS"
        var bytes: [UInt8]

        init(_ text: String) { bytes = Array((text.utf8.count % 2 == 0 ? text : text + " ").utf8) }
        init(_ numbers: [Double], _ vr: String) {
            self.vr = vr
            bytes = SegmentationGeometryTests.bytes(numbers, vr)
        }
    }

    /// A slice of 2 rows and 4 columns.
    private static func slice(_ place: Int, position: Value, orientation: Value, spacing: Value) -> ElementBytes {
        var data = ElementBytes()
        data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.4")
        data.add(0x0008_0018, "UI", text: "2.25.77\(place)")
        data.add(0x0008_0060, "CS", text: "MR")
        data.add(0x0018_0050, "DS", text: "2.5")
        data.add(0x0020_000D, "UI", text: "2.25.888")
        data.add(0x0020_000E, "UI", text: "2.25.999")
        data.add(0x0020_0032, position.vr, position.bytes)
        data.add(0x0020_0037, orientation.vr, orientation.bytes)
        data.add(0x0020_0052, "UI", text: "2.25.555")
        data.add(0x0028_0002, short: 1)
        data.add(0x0028_0004, "CS", text: "MONOCHROME2")
        data.add(0x0028_0010, short: 2)
        data.add(0x0028_0011, short: 4)
        data.add(0x0028_0030, spacing.vr, spacing.bytes)
        data.add(0x0028_0100, short: 16)
        data.add(0x0028_0101, short: 12)
        data.add(0x0028_0102, short: 11)
        data.add(0x0028_0103, short: 0)
        data.add(0x7FE0_0010, "OW", [UInt8](repeating: 7, count: 16))
        return data
    }

    /// Writes a SEG of three slices, and hands over the written file with its sources.
    private func written(
        position: (Int) -> Value, orientation: Value, spacing: Value,
        then body: (SegmentationReader, [SegmentationSource], [Mask], URL) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let sources = try (0..<3).map { place in
                let url = folder.appending(path: "\(place).dcm")
                try Self.slice(place, position: position(place), orientation: orientation, spacing: spacing)
                    .write(to: url)
                return SegmentationSource(try InstanceFile(path: url.path))
            }
            let masks = (0..<3).map { _ in Mask(rows: 2, columns: 4, pixels: [0, 1, 1, 0, 0, 0, 1, 0]) }
            let url = folder.appending(path: "seg.dcm")
            let description = ObjectDescription(
                sopInstanceUID: "2.25.11", seriesInstanceUID: "2.25.12", created: 1_709_164_799,
                kind: .segmentation(.strict), type: .binary,
                segmenter: SegmenterDescriptor(
                    name: "drawn", version: "1", accepts: .volume, weightsHash: String(repeating: "0", count: 64),
                    segmentLabel: "left atrium", category: CodedConcept("123037004", "SCT", "Anatomical Structure"),
                    type: CodedConcept("82471001", "SCT", "Left atrium"), anatomicRegion: nil,
                    recommendedDisplayColor: DisplayColor(red: 0, green: 255, blue: 0), title: "", paper: "",
                    licence: ""), softwareVersion: "0")
            try SegmentationInstance.write(description, sources: sources, masks: masks, to: url.path)
            try SegmentationReader.verify(path: url.path, encoding: .binary, sources: sources, masks: masks)
            try body(try SegmentationReader(path: url.path), sources, masks, url)
        }
    }

    @Test(arguments: ["DS", "FL", "FD"])
    func `numbers of any representation give a right SEG`(vr: String) throws {
        func value(_ numbers: [Double]) -> Value {
            vr == "DS" ? Value(numbers.map { "\($0)" }.joined(separator: "\\")) : Value(numbers, vr)
        }
        try written(
            position: { value([-10.3, 20.25, 2.5 * Double($0)]) }, orientation: value([1, 0, 0, 0, 1, 0]),
            spacing: value([0.9, 0.7])
        ) { read, _, _, _ in
            #expect(read.pixelSpacing == [0.9, 0.7])
            #expect(read.orientation == [1, 0, 0, 0, 1, 0])
            #expect(read.frames.map(\.position) == (0..<3).map { Vector3(-10.3, 20.25, 2.5 * Double($0)) })
            #expect(read.spacingBetweenSlices == 2.5)
        }
    }

    @Test func `an orientation that the sender rounded is made perpendicular`() throws {
        // Unit vectors to three digits: they deviate by 2e-4, and readers refuse more than 1e-4.
        let text = "0.988\\-0.156\\0\\0.152\\0.958\\0.242"
        let normal = Vector3(0.988, -0.156, 0).cross(Vector3(0.152, 0.958, 0.242))
        try written(
            position: { place in
                let position = normal * (2.5 * Double(place))
                return Value(position.components.map { "\(($0 * 1e4).rounded() / 1e4)" }.joined(separator: "\\"))
            }, orientation: Value(text), spacing: Value("0.9\\0.7")
        ) { read, _, _, _ in
            let (row, column) = (Vector3(read.orientation[..<3]), Vector3(read.orientation[3...]))
            let (a, b) = (try #require(row), try #require(column))
            #expect(abs(a.length - 1) < 1e-9 && abs(b.length - 1) < 1e-9 && abs(a.dot(b)) < 1e-9)
            #expect((a - Vector3(0.988, -0.156, 0)).length < 1e-3)
            #expect((b - Vector3(0.152, 0.958, 0.242)).length < 1e-3)
        }
        // What is perpendicular stays as the source wrote it.
        try written(
            position: { Value("0\\0\\\(2.5 * Double($0))") }, orientation: Value("1.0\\0\\0\\0\\1.0\\0"),
            spacing: Value("0.9\\0.7")
        ) { _, _, _, url in
            let bytes = try Data(contentsOf: url)
            #expect(bytes.range(of: Data("1.0\\0\\0\\0\\1.0\\0".utf8)) != nil)
        }
    }

    @Test func `an orientation beyond rounding is refused with its reason`() throws {
        for (text, reason) in [
            ("0.99\\0.1\\0\\0\\1\\0", "Image Orientation (Patient) is not made of unit vectors, within 0.001"),
            (
                "1\\0\\0\\0.002\\0.999998\\0",
                "the directions of Image Orientation (Patient) are not perpendicular, within 0.001"
            ),
        ] {
            try withTemporaryFolder { folder in
                let url = folder.appending(path: "slice.dcm")
                try Self.slice(0, position: Value("0\\0\\0"), orientation: Value(text), spacing: Value("1\\1"))
                    .write(to: url)
                let header = try InstanceFile(path: url.path).header
                #expect(header.plane == nil && header.planeProblem == reason)
            }
        }
    }

    @Test func `reading back notices another spacing, thickness or orientation`() throws {
        try written(
            position: { Value("0\\0\\\(2.5 * Double($0))") }, orientation: Value("1\\0\\0\\0\\1\\0"),
            spacing: Value("0.9\\0.7")
        ) { _, sources, masks, url in
            let whole = try Data(contentsOf: url)
            for (old, new) in [
                ("0.9\\0.7", "0.7\\0.9"), ("1\\0\\0\\0\\1\\0", "1\\0\\0\\0\\0\\1"),
                // Slice Thickness, then Spacing Between Slices.
                ("\u{18}\0\u{50}\0DS\u{4}\02.5 ", "\u{18}\0\u{50}\0DS\u{4}\03.5 "),
                ("\u{18}\0\u{88}\0DS\u{4}\02.5 ", "\u{18}\0\u{88}\0DS\u{4}\05.0 "),
            ] {
                var changed = whole
                let bytes = Data(old.unicodeScalars.map { UInt8($0.value) })
                let range = try #require(changed.range(of: bytes, options: .backwards), "\(old)")
                changed.replaceSubrange(range, with: Data(new.unicodeScalars.map { UInt8($0.value) }))
                try changed.write(to: url)
                #expect(throws: ObjectError.self, "\(new)") {
                    try SegmentationReader.verify(path: url.path, encoding: .binary, sources: sources, masks: masks)
                }
            }
        }
    }

    @Test func `a label tells the SEGs of one study apart, within 64 characters`() {
        func words(_ label: SeriesLabel?, _ standing: Double? = nil) -> (Int, String) {
            let description = ObjectDescription(
                sopInstanceUID: "2.25.11", seriesInstanceUID: "2.25.12", created: 0, kind: .report(.strict),
                type: .binary,
                segmenter: SegmenterDescriptor(
                    name: "drawn", version: "1", accepts: .volume, weightsHash: "", segmentLabel: "left atrium",
                    category: CodedConcept("1", "SCT", "a"), type: CodedConcept("2", "SCT", "b"), anatomicRegion: nil,
                    recommendedDisplayColor: DisplayColor(red: 0, green: 0, blue: 0), title: "", paper: "",
                    licence: ""), confidence: standing.map { Confidence(value: $0, measures: [:]) },
                reviewBelow: 0.8, softwareVersion: "0", seriesLabel: label)
            return (description.seriesNumber, description.seriesDescription)
        }
        #expect(words(nil) == (9001, "KONTUR left atrium report (AI, not reviewed)"))
        let psir = SeriesLabel(seriesNumber: 501, ordinal: 1, reconstruction: ["PSIR", "ND"])
        #expect(words(psir) == (5_019_011, "KONTUR left atrium report, series 501 PSIR ND (AI, not reviewed)"))
        #expect(words(psir, 0.5) == (5_019_011, "KONTUR left atrium report, 501 PSIR (AI, low confidence, review)"))
        let bare = SeriesLabel(seriesNumber: nil, ordinal: 2, reconstruction: [])
        #expect(words(bare) == (9021, "KONTUR left atrium report, stack 3 (AI, not reviewed)"))
        // A value that is not a Code String may be any text.
        #expect(SeriesLabel(seriesNumber: 1, ordinal: 0, reconstruction: ["Mr^X", "", "M"]).reconstruction == ["M"])
        let huge = SeriesLabel(seriesNumber: Int(Int32.max), ordinal: 1000, reconstruction: [])
        #expect(words(huge).0 == 9991)
    }
}
