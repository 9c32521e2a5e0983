// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import TestSupport

/// Source instances of each kind with masks and a description: 101 x 99 pixels, neither side a multiple of 8.
struct SegmentationSample {
    enum Kind: String, CaseIterable, Sendable {
        /// MR Image, six oblique slices, the files in another order than the slices.
        case magneticResonance
        /// VL Endoscopic Image, four stills, lossily compressed once.
        case endoscopy
        /// Multi-frame True Color Secondary Capture, one instance of five frames.
        case multiFrame
    }

    static let rows = 101
    static let columns = 99

    let kind: Kind
    let sources: [SegmentationSource]
    let masks: [Mask]
    let probabilities: [[Float]]

    /// Writes the source instances below a folder.
    ///
    /// They disagree about the patient's ID unless one is given.
    init(_ kind: Kind, in folder: URL, patientID: String? = nil) throws {
        self.kind = kind
        let places = kind == .magneticResonance ? [3, 0, 5, 1, 4, 2] : kind == .endoscopy ? [0, 1, 2, 3] : [0]
        var sources: [SegmentationSource] = []
        for place in places {
            let url = folder.appending(path: "\(kind.rawValue)-\(place).dcm")
            try Self.source(kind, place: place, patientID: patientID).write(to: url)
            sources.append(SegmentationSource(try InstanceFile(path: url.path)))
        }
        self.sources = sources
        var random = SplitMix64(seed: 41)
        let frames = kind == .multiFrame ? 5 : places.count
        // The second frame has nothing in it.
        probabilities = (0..<frames).map { frame in
            (0..<Self.rows * Self.columns).map { pixel in
                guard frame != 1 else { return 0.2 }
                let (row, column) = (pixel / Self.columns, pixel % Self.columns)
                let inside = (row - 50) * (row - 50) + (column - 40 - frame) * (column - 40 - frame) < 900
                return min(max((inside ? 0.8 : 0.1) + Float.random(in: -0.35...0.35, using: &random), 0), 1)
            }
        }
        masks = probabilities.map { Mask(rows: Self.rows, columns: Self.columns, probabilities: $0) }
    }

    private static func source(_ kind: Kind, place: Int, patientID: String?) -> ElementBytes {
        var data = ElementBytes()
        let classes: [Kind: String] = [
            .magneticResonance: "1.2.840.10008.5.1.4.1.1.4", .endoscopy: "1.2.840.10008.5.1.4.1.1.77.1.1",
            .multiFrame: "1.2.840.10008.5.1.4.1.1.7.4",
        ]
        data.add(0x0008_0005, "CS", text: "ISO_IR 100")
        data.add(0x0008_0016, "UI", text: classes[kind] ?? "")
        data.add(0x0008_0018, "UI", text: "2.25.7770\(place)")
        data.add(0x0008_0020, "DA", text: "20240115")
        data.add(0x0008_0030, "TM", text: "101500")
        data.add(0x0008_0050, "SH", text: "A1")
        data.add(0x0008_0060, "CS", text: kind == .magneticResonance ? "MR" : kind == .endoscopy ? "ES" : "OT")
        data.add(0x0008_0090, "PN", text: "")
        data.add(0x0008_0201, "SH", text: "+0530")
        data.add(0x0008_1030, "LO", text: "STUDY")
        // ISO_IR 100: an o with two dots, which is no UTF-8.
        data.add(0x0010_0010, "PN", [0x42, 0xF6, 0x6C, 0x6C, 0x5E, 0x41])
        data.add(0x0010_0020, "LO", text: patientID ?? (place == 2 ? "ID NEWEST" : "ID \(place)"))
        data.add(0x0010_0030, "DA", text: "19600229")
        data.add(0x0010_0040, "CS", text: "O")
        if kind == .magneticResonance {
            data.add(0x0018_0050, "DS", text: "3.0")
        }
        data.add(0x0020_000D, "UI", text: "2.25.888")
        data.add(0x0020_000E, "UI", text: "2.25.999")
        data.add(0x0020_0010, "SH", text: "S")
        data.add(0x0020_0011, "IS", text: "4")
        data.add(0x0020_0013, "IS", text: "\(place + 1)")
        if kind == .magneticResonance {
            let z = Double(place) * 2.5
            data.add(0x0020_0032, "DS", text: "\(-100.5 - 0.6 * z)\\20.25\\\(0.8 * z)")
            data.add(0x0020_0037, "DS", text: "0.8\\0\\0.6\\0\\1\\0")
            data.add(0x0020_0052, "UI", text: "2.25.555")
            data.add(0x0020_1040, "LO", text: "")
        }
        addPixels(&data, kind)
        return data
    }

    private static func addPixels(_ data: inout ElementBytes, _ kind: Kind) {
        let isColor = kind != .magneticResonance
        data.add(0x0028_0002, short: isColor ? 3 : 1)
        data.add(0x0028_0004, "CS", text: isColor ? "RGB" : "MONOCHROME2")
        if isColor { data.add(0x0028_0006, short: 0) }
        if kind == .multiFrame { data.add(0x0028_0008, "IS", text: "5") }
        data.add(0x0028_0010, short: UInt16(rows))
        data.add(0x0028_0011, short: UInt16(columns))
        if !isColor { data.add(0x0028_0030, "DS", text: "0.75\\0.5") }
        data.add(0x0028_0100, short: isColor ? 8 : 16)
        data.add(0x0028_0101, short: isColor ? 8 : 12)
        data.add(0x0028_0102, short: isColor ? 7 : 11)
        data.add(0x0028_0103, short: 0)
        if kind == .endoscopy {
            data.add(0x0028_2110, "CS", text: "01")
            data.add(0x0028_2112, "DS", text: "18.5")
            data.add(0x0028_2114, "CS", text: "ISO_10918_1")
        }
        let frames = kind == .multiFrame ? 5 : 1
        let count = rows * columns * frames * (isColor ? 3 : 2)
        data.add(0x7FE0_0010, "OW", (0..<count + count % 2).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
    }

    func description(_ type: SegmentationType, _ profile: ViewerProfile.Name) -> ObjectDescription {
        ObjectDescription(
            sopInstanceUID: DerivedUID.make([kind.rawValue, type.rawValue, profile.rawValue]),
            seriesInstanceUID: DerivedUID.make([kind.rawValue, type.rawValue, profile.rawValue, "series"]),
            created: 1_709_164_799, kind: .segmentation(profile), type: type,
            segmenter: SegmenterDescriptor(
                name: "left-atrium-compact", version: "1.0.0", accepts: .volume,
                weightsHash: String(repeating: "ab", count: 32), segmentLabel: "left atrium",
                category: CodedConcept("123037004", "SCT", "Anatomical Structure"),
                type: CodedConcept("82471001", "SCT", "Left atrium"), anatomicRegion: nil,
                recommendedDisplayColor: DisplayColor(red: 221, green: 60, blue: 40), title: "", paper: "", licence: ""),
            confidence: Confidence(
                value: 0.91234, measures: ["flipAgreement": 0.9, "meanForegroundProbability": 0.95]),
            frameConfidences: masks.indices.map { Confidence(value: Double($0) / 10, measures: [:]) },
            softwareVersion: "0.1.0", newestSource: kind == .magneticResonance ? 5 : 0)
    }

    /// Writes a SEG of it.
    @discardableResult
    func write(
        _ type: SegmentationType, _ profile: ViewerProfile.Name = .strict, to url: URL,
        changing change: (inout ObjectDescription) -> Void = { _ in }
    ) throws -> Int {
        var description = description(type, profile)
        change(&description)
        return try SegmentationInstance.write(
            description, sources: sources, masks: masks, probabilities: probabilities, to: url.path)
    }

    func verify(_ type: SegmentationType, profile: ViewerProfile.Name = .strict, _ url: URL) throws {
        try SegmentationReader.verify(
            path: url.path, encoding: description(type, profile).encoding, sources: sources, masks: masks,
            probabilities: probabilities)
    }

    /// The expected pixels of a SEG's frames, in their order: one byte per pixel.
    func meant(in read: SegmentationReader) throws -> Data {
        let uids = sources.map(\.file.header.sopInstanceUID)
        var bytes = Data()
        for frame in read.frames {
            let source = uids.firstIndex(of: frame.sourceInstanceUID) ?? 0
            let place = kind == .multiFrame ? (frame.sourceFrameNumber ?? 0) - 1 : source
            switch read.type {
            case .binary: bytes += masks[place].pixels
            case .fractional: bytes += probabilities[place].map { UInt8(($0 * 255).rounded()) }
            }
        }
        return bytes
    }
}
