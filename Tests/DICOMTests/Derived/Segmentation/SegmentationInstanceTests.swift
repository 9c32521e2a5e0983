// SPDX-License-Identifier: Apache-2.0

import CDCMTK
import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct SegmentationInstanceTests {
    private func written(
        _ kind: SegmentationSample.Kind, _ type: SegmentationType = .binary, _ profile: ViewerProfile.Name = .strict,
        changing change: (inout ObjectDescription) -> Void = { _ in },
        then body: (DataSet, SegmentationSample, URL) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(kind, in: folder)
            let url = folder.appending(path: "seg.dcm")
            try sample.write(type, profile, to: url, changing: change)
            try body(DataSet.open(path: url.path), sample, url)
        }
    }

    private static let encodings: [(SegmentationType, ViewerProfile.Name)] = [
        (.binary, .strict), (.fractional, .strict), (.binary, .labelmap),
    ]

    @Test(arguments: SegmentationSample.Kind.allCases, encodings)
    func `writes what is read back bit by bit`(
        kind: SegmentationSample.Kind, encoding: (type: SegmentationType, profile: ViewerProfile.Name)
    ) throws {
        try written(kind, encoding.type, encoding.profile) { _, sample, url in
            #expect(throws: Never.self) { try sample.verify(encoding.type, profile: encoding.profile, url) }
            let read = try SegmentationReader(path: url.path)
            #expect(read.frames.count == sample.masks.count - 1)
            #expect(read.confidence?.value == 0.912)
        }
    }

    @Test func `writes a label map, whose pixels name the segment or the background`() throws {
        try written(.magneticResonance, .binary, .labelmap) { data, sample, url in
            let header = try InstanceFile(path: url.path).header
            #expect(header.sopClassUID == "1.2.840.10008.5.1.4.1.1.66.7")
            #expect(header.kind == .notAnImage(reason: "it is a Label Map Segmentation") && header.namesKontur)
            #expect(data.string(.segmentationType) == "LABELMAP")
            #expect(data.integers(.bitsStored) == [8] && data.integers(.pixelPaddingValue) == [0])
            let segments = data.items(.segmentSequence)
            #expect(segments.map { data.integer(.segmentNumber, in: $0) } == [0, 1])
            #expect(segments.map { data.integers(.recommendedDisplayCIELabValue, in: $0).count } == [3, 3])
            let category = data.items(.segmentedPropertyCategoryCodeSequence, in: segments[0]).first
            #expect(category.flatMap { data.string(.codeValue, in: $0) } == "125040")
            // A frame holds all segments, so neither groups nor dimensions name one.
            #expect(data.items(.dimensionIndexSequence).count == 1)
            let frames = data.items(.perFrameFunctionalGroupsSequence)
            #expect(frames.allSatisfy { !data.contains(.segmentIdentificationSequence, in: $0) })
            let read = try SegmentationReader(path: url.path)
            #expect(read.encoding == .labelMap && read.type == .binary)
            let meant = try sample.meant(in: read)
            #expect(meant == Data(data.raw(.pixelData)?.prefix(5 * 101 * 99) ?? []))
        }
        // The viewers that show label maps of images without a frame of reference need the orientation.
        try written(.endoscopy, .binary, .labelmap) { data, _, _ in
            let shared = try #require(data.items(.sharedFunctionalGroupsSequence).first)
            #expect(data.contains(.planeOrientationSequence, in: shared) && !data.contains(.frameOfReferenceUID))
        }
    }

    @Test func `a label map holds the masks of a fractional answer`() throws {
        try written(.endoscopy, .fractional, .labelmap) { _, sample, url in
            #expect(throws: Never.self) { try sample.verify(.fractional, profile: .labelmap, url) }
            let read = try SegmentationReader(path: url.path)
            #expect(Set(read.frames.flatMap(\.values)) == [0, 1])
        }
    }

    @Test func `notices a pixel of another segment in a label map, and another class`() throws {
        try written(.magneticResonance, .binary, .labelmap) { _, sample, url in
            let whole = try Data(contentsOf: url)
            // 5 x 101 x 99 bytes, and one of padding.
            let pixels = whole.count - 49_996..<whole.count - 1
            let inside = try #require(pixels.first { whole[$0] == 1 })
            for value in [0, 2, 255] as [UInt8] {
                var changed = whole
                changed[inside] = value
                try changed.write(to: url)
                #expect(throws: ObjectError.self) { try sample.verify(.binary, profile: .labelmap, url) }
            }
            // The reader gives each segment of a label map a frame, as another maker may have written it.
            var foreign = whole
            foreign[inside] = 2
            try foreign.write(to: url)
            let read = try SegmentationReader(path: url.path).frames.map(\.segmentNumber)
            #expect(read.filter { $0 == 1 }.count == 5 && read.filter { $0 == 2 }.count == 1)
            var renamed = whole
            let range = try #require(renamed.range(of: Data("LABELMAP".utf8)))
            renamed.replaceSubrange(range, with: Data("BINARY  ".utf8))
            try renamed.write(to: url)
            #expect(throws: ObjectError.self) { try SegmentationReader(path: url.path) }
        }
    }

    @Test func `gives the same bytes for the same description and sources`() throws {
        try written(.magneticResonance) { _, sample, url in
            let again = url.deletingLastPathComponent().appending(path: "again.dcm")
            try sample.write(.binary, to: again)
            #expect(try Data(contentsOf: url) == Data(contentsOf: again))
        }
    }

    @Test func `writes and verifies with sources that were opened once`() throws {
        try withTemporaryFolder { folder in
            let sources = folder.appending(path: "sources")
            try FileManager.default.createDirectory(at: sources, withIntermediateDirectories: true)
            let sample = try SegmentationSample(.magneticResonance, in: sources)
            try FileManager.default.removeItem(at: sources)
            let url = folder.appending(path: "seg.dcm")
            #expect(try sample.write(.binary, to: url) == 5)
            #expect(throws: Never.self) { try sample.verify(.binary, url) }
        }
    }

    @Test func `orders frames by position and writes the planes of their sources`() throws {
        try written(.magneticResonance) { data, _, url in
            let positions = try SegmentationReader(path: url.path).frames.map(\.position)
            // Places 3, 5, 1, 4 and 2: place 0 is the empty one. The normal of these slices points away from the feet.
            let along = positions.compactMap { $0?.z }
            #expect(along.count == 5)
            #expect(along == along.sorted() || along == along.sorted().reversed())
            let shared = try #require(data.items(.sharedFunctionalGroupsSequence).first)
            let measures = try #require(data.items(.pixelMeasuresSequence, in: shared).first)
            #expect(data.doubles(.pixelSpacing, in: measures) == [0.75, 0.5])
            #expect(data.double(.sliceThickness, in: measures) == 3)
            #expect(data.double(.spacingBetweenSlices, in: measures).map { abs($0 - 2.5) < 1e-6 } == true)
            let indices = data.items(.perFrameFunctionalGroupsSequence).map { frame in
                data.items(.frameContentSequence, in: frame).first.map { data.integers(.dimensionIndexValues, in: $0) }
            }
            #expect(indices == (1...5).map { [1, $0] })
            #expect(data.string(.frameOfReferenceUID) == "2.25.555")
        }
    }

    @Test func `copies patient and study from the newest source as raw bytes`() throws {
        try written(.magneticResonance) { data, _, _ in
            #expect(data.raw(.patientName) == [0x42, 0xF6, 0x6C, 0x6C, 0x5E, 0x41])
            #expect(data.string(.specificCharacterSet) == "ISO_IR 100")
            #expect(data.string(.patientID) == "ID NEWEST")
            #expect(data.string(.studyInstanceUID) == "2.25.888")
            #expect(data.contains(.referringPhysicianName))
        }
    }

    @Test func `writes its times in the time zone of the source`() throws {
        // 2024-02-28 23:59:59 UTC, which is the 29th at half past five further east.
        try written(.magneticResonance) { data, _, _ in
            #expect(data.string(.contentDate) == "20240229")
            #expect(data.string(.contentTime) == "052959")
            #expect(data.string(.timezoneOffsetFromUTC) == "+0530")
        }
    }

    @Test func `names Kontur, the segment and how far to trust it`() throws {
        try written(.endoscopy) { data, _, url in
            #expect(data.string(.seriesDescription) == "KONTUR left atrium (AI, not reviewed)")
            let header = try InstanceFile(path: url.path).header
            #expect(header.namesKontur)
            #expect(header.kind == .notAnImage(reason: "it is a Segmentation"))
            let segment = try #require(data.items(.segmentSequence).first)
            #expect(data.string(.segmentLabel, in: segment) == "left atrium (left-atrium-compact)")
            #expect(data.string(.segmentAlgorithmType, in: segment) == "AUTOMATIC")
            #expect(
                data.string(.segmentDescription, in: segment)
                    == "left atrium by left-atrium-compact 1.0.0 (AI, not reviewed); confidence 0.912 "
                    + "(flipAgreement 0.900, meanForegroundProbability 0.950)")
            let algorithm = try #require(data.items(.segmentationAlgorithmIdentificationSequence, in: segment).first)
            #expect(
                data.string(.algorithmParameters, in: algorithm) == "weights SHA-256 "
                    + String(repeating: "ab", count: 32))
            #expect(data.integers(.recommendedDisplayCIELabValue, in: segment).count == 3)
        }
    }

    @Test func `a person's prompts make the algorithm semiautomatic and are among its parameters`() throws {
        let prompts = SegmenterOptions(box: Box(x0: 1, y0: 2, x1: 3, y1: 4), keySlice: 2)
        try written(.magneticResonance) {
            $0.prompts = prompts
        } then: { data, _, _ in
            let segment = try #require(data.items(.segmentSequence).first)
            #expect(data.string(.segmentAlgorithmType, in: segment) == "SEMIAUTOMATIC")
            let algorithm = try #require(data.items(.segmentationAlgorithmIdentificationSequence, in: segment).first)
            #expect(
                data.string(.algorithmParameters, in: algorithm) == "weights SHA-256 "
                    + String(repeating: "ab", count: 32) + "; box=1.0,2.0,3.0,4.0; keySlice=2")
        }
    }

    @Test func `carries lossy compression and leaves geometry out where there is none`() throws {
        try written(.endoscopy) { data, _, _ in
            #expect(data.string(.lossyImageCompression) == "01")
            #expect(data.string(.lossyImageCompressionRatio) == "18.5")
            #expect(data.string(.lossyImageCompressionMethod) == "ISO_10918_1")
            #expect(!data.contains(.frameOfReferenceUID))
            #expect(data.raw(.patientOrientation) == [])
            let shared = try #require(data.items(.sharedFunctionalGroupsSequence).first)
            #expect(!data.contains(.planeOrientationSequence, in: shared))
        }
    }

    @Test func `writes the geometry that the viewer of each profile needs`() throws {
        try written(.endoscopy, .binary, .ohif) { data, _, _ in
            let shared = try #require(data.items(.sharedFunctionalGroupsSequence).first)
            let plane = try #require(data.items(.planeOrientationSequence, in: shared).first)
            #expect(data.doubles(.imageOrientationPatient, in: plane) == [1, 0, 0, 0, 1, 0])
            #expect(!data.contains(.frameOfReferenceUID))
        }
        try written(.endoscopy, .binary, .slicer) { data, _, url in
            #expect(data.string(.frameOfReferenceUID)?.hasPrefix("2.25.") == true)
            #expect(!data.contains(.patientOrientation))
            let places = try SegmentationReader(path: url.path).frames.map { $0.position?.z }
            #expect(places == [0, 2, 3])
        }
        // Where there is a frame of reference, profiles are alike.
        try written(.magneticResonance, .binary, .slicer) { data, _, _ in
            #expect(data.string(.frameOfReferenceUID) == "2.25.555")
        }
    }

    @Test func `refers to frames of a multi-frame source by their numbers`() throws {
        try written(.multiFrame) { data, _, url in
            let read = try SegmentationReader(path: url.path)
            #expect(read.frames.map(\.sourceFrameNumber) == [1, 3, 4, 5])
            let series = try #require(data.items(.referencedSeriesSequence).first)
            #expect(data.items(.referencedInstanceSequence, in: series).count == 1)
        }
    }

    @Test func `names its predecessors`() throws {
        let earlier = InstanceReference(
            studyInstanceUID: "2.25.888", seriesInstanceUID: "2.25.11", sopClassUID: SOPClass.segmentation,
            sopInstanceUID: "2.25.12")
        try written(.magneticResonance, changing: { $0.predecessors = [earlier] }) { data, _, _ in
            let study = try #require(data.items(.predecessorDocumentsSequence).first)
            let series = try #require(data.items(.referencedSeriesSequence, in: study).first)
            let instance = try #require(data.items(.referencedSOPSequence, in: series).first)
            #expect(data.string(.referencedSOPInstanceUID, in: instance) == "2.25.12")
            #expect(
                data.items(.referencedSeriesSequence).map { data.string(.seriesInstanceUID, in: $0) } == [
                    "2.25.999", "2.25.11",
                ])
        }
    }

    /// L*, a* and b* under D50 as colour calculators give them: white 100, 0, 0; black 0, 0, 0; red 54.29, 80.81, 69.89.
    @Test(arguments: [
        (DisplayColor(red: 255, green: 255, blue: 255), [65_535, 32_896, 32_896]),
        (DisplayColor(red: 0, green: 0, blue: 0), [0, 32_896, 32_896]),
        (DisplayColor(red: 255, green: 0, blue: 0), [35_579, 53_664, 50_858]),
    ])
    func `writes the display colour as CIELab`(color: DisplayColor, expected: [Int]) throws {
        try written(.endoscopy, changing: { $0.segmenter.recommendedDisplayColor = color }) { data, _, _ in
            let segment = try #require(data.items(.segmentSequence).first)
            let lab = data.integers(.recommendedDisplayCIELabValue, in: segment)
            // Four digits of the calculators are worth a dozen steps of 65,535.
            #expect(lab.count == 3 && zip(lab, expected).allSatisfy { abs($0 - $1) < 12 }, "\(lab)")
        }
    }

    @Test func `does not write a SEG if nothing was found`() throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(.endoscopy, in: folder)
            let url = folder.appending(path: "seg.dcm")
            let empty = Mask(rows: SegmentationSample.rows, columns: SegmentationSample.columns)
            #expect(throws: ObjectError.nothingFound) {
                try SegmentationInstance.write(
                    sample.description(.binary, .strict), sources: sample.sources,
                    masks: [Mask](repeating: empty, count: 4), to: url.path)
            }
            #expect(!FileManager.default.fileExists(atPath: url.path))
        }
    }

    @Test func `refuses masks that do not fit their sources`() throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(.endoscopy, in: folder)
            let path = folder.appending(path: "seg.dcm").path
            let description = sample.description(.binary, .strict)
            let small = [Mask](repeating: Mask(rows: 2, columns: 2, pixels: [1, 1, 1, 1]), count: 4)
            for masks in [small, Array(sample.masks.dropLast())] {
                #expect(throws: ObjectError.self) {
                    try SegmentationInstance.write(description, sources: sample.sources, masks: masks, to: path)
                }
            }
            #expect(throws: ObjectError.self) {
                try SegmentationInstance.write(
                    sample.description(.fractional, .strict), sources: sample.sources, masks: sample.masks, to: path)
            }
        }
    }

    @Test func `notices a changed bit, source, number or place`() throws {
        try written(.magneticResonance) { _, sample, url in
            let whole = try Data(contentsOf: url)
            // The last byte of pixels that counts: 101 x 99 x 5 bits end in the second last byte.
            for offset in [whole.count - 2, whole.count - 3000] {
                var changed = whole
                changed[offset] ^= 1
                try changed.write(to: url)
                #expect(throws: ObjectError.self) { try sample.verify(.binary, url) }
            }
            for (old, new) in [("2.25.77703", "2.25.77709"), ("-106.5", "-106.6")] {
                var changed = whole
                let range = try #require(changed.range(of: Data(old.utf8), options: .backwards))
                changed.replaceSubrange(range, with: Data(new.utf8))
                try changed.write(to: url)
                #expect(throws: ObjectError.self) { try sample.verify(.binary, url) }
            }
        }
    }

    @Test func `is read by DCMTK too`() throws {
        try written(.magneticResonance) { _, _, url in
            var handle: OpaquePointer?
            #expect(cdcmtk_data_set_read(url.path, &handle) == CDCMTK_OK)
            let dataSet = try #require(handle)
            defer { cdcmtk_data_set_destroy(dataSet) }
            var frame: OpaquePointer?
            #expect(cdcmtk_item_child(cdcmtk_data_set_root(dataSet), 0x5200_9230, 4, &frame) == CDCMTK_OK)
            #expect(cdcmtk_item_child(cdcmtk_data_set_root(dataSet), 0x5200_9230, 5, &frame) == CDCMTK_END)
        }
    }
}
