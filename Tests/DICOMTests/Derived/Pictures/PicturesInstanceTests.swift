// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import TestSupport
import Testing

@Suite struct PicturesInstanceTests {
    private func described(
        _ sample: SegmentationSample, changing change: (inout ObjectDescription) -> Void = { _ in }
    ) -> ObjectDescription {
        var description = sample.description(.binary, .strict)
        description.kind = .pictures
        change(&description)
        return description
    }

    private func written(
        _ kind: SegmentationSample.Kind, changing change: (inout ObjectDescription) -> Void = { _ in },
        then body: (DataSet, SegmentationSample, URL) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(kind, in: folder)
            let url = folder.appending(path: "pictures.dcm")
            try PicturesInstance.write(
                described(sample, changing: change), sources: sample.sources, masks: sample.masks, to: url.path)
            try body(DataSet.open(path: url.path), sample, url)
        }
    }

    private func verify(_ sample: SegmentationSample, _ url: URL) throws {
        try PicturesReader.verify(
            path: url.path, description: described(sample), sources: sample.sources, masks: sample.masks)
    }

    @Test(arguments: SegmentationSample.Kind.allCases)
    func `shows every frame with a finding, and is read back`(kind: SegmentationSample.Kind) throws {
        try written(kind) { data, sample, url in
            #expect(throws: Never.self) { try verify(sample, url) }
            #expect(data.integer(.numberOfFrames) == sample.masks.count - 1)
            let header = try InstanceFile(path: url.path).header
            #expect(header.namesKontur && header.sopClassUID == "1.2.840.10008.5.1.4.1.1.7.4")
        }
    }

    @Test func `has the source's pixels under the contour, unscaled, at the top left`() throws {
        try written(.multiFrame) { data, sample, url in
            let pictures = try InstanceFile(path: url.path).frames()
            let sources = try sample.sources[0].file.frames()
            let places = data.integers(.pageNumberVector)
            #expect(places == [1, 3, 4, 5])
            let (rows, columns) = (SegmentationSample.rows, SegmentationSample.columns)
            for (picture, place) in zip(pictures, places) {
                let contour = sample.masks[place - 1].contour(thickness: 1)
                for row in 0..<rows {
                    for column in 0..<columns {
                        let shown = (row * picture.columns + column) * 3
                        let source = (row * columns + column) * 3
                        let expected =
                            contour.pixels[row * columns + column] != 0
                            ? [221, 60, 40] : Array(sources[place - 1].samples[source..<source + 3])
                        #expect(Array(picture.samples[shown..<shown + 3]) == expected)
                    }
                }
            }
        }
    }

    @Test func `orders slices by position, names their instances, and keeps the size of pixels`() throws {
        try written(.magneticResonance) { data, sample, _ in
            // The places 3, 0, 5, 1, 4 and 2 of the files; the second file has an empty mask.
            #expect(data.integers(.pageNumberVector) == [4, 6, 1, 5, 3])
            let named = data.items(.sourceImageSequence).map { data.string(.referencedSOPInstanceUID, in: $0) }
            #expect(named == ["2.25.77701", "2.25.77702", "2.25.77703", "2.25.77704", "2.25.77705"])
            #expect(data.doubles(.pixelSpacing) == [0.75, 0.5])
            #expect(data.string(.lossyImageCompression) == "00")
            let largest = data.integers(.pageNumberVector).map { sample.masks[$0 - 1].area }
            #expect(data.integer(.representativeFrameNumber).map { largest[$0 - 1] } == largest.max())
        }
    }

    @Test func `gives the same bytes for the same description and sources`() throws {
        try written(.magneticResonance) { _, sample, url in
            let again = url.deletingLastPathComponent().appending(path: "again.dcm")
            try PicturesInstance.write(
                described(sample), sources: sample.sources, masks: sample.masks, to: again.path)
            #expect(try Data(contentsOf: url) == Data(contentsOf: again))
        }
    }

    @Test func `says what it is and how far to trust it, without the patient`() throws {
        try written(.endoscopy, changing: { $0.reviewBelow = 0.95 }) { data, _, _ in
            #expect(data.string(.modality) == "OT")
            #expect(data.string(.seriesDescription) == "KONTUR left atrium pictures (AI, low confidence, review)")
            #expect(
                data.string(.imageComments)
                    == "RESEARCH USE ONLY - not a medical device; left atrium by left-atrium-compact 1.0.0 "
                    + "(AI, low confidence, review); confidence 0.912")
            #expect(data.string(.burnedInAnnotation) == "NO")
            #expect(data.string(.lossyImageCompressionMethod) == "ISO_10918_1")
        }
    }

    @Test func `the caption changes with standing, confidence and place`() throws {
        /// The rows below the source of each picture.
        func captions(_ change: @escaping (inout ObjectDescription) -> Void) throws -> [[Float]] {
            var found: [[Float]] = []
            try written(.endoscopy, changing: change) { _, _, url in
                found = try InstanceFile(path: url.path).frames().map {
                    Array($0.samples[(SegmentationSample.rows * $0.columns * 3)...])
                }
            }
            return found
        }
        let plain = try captions { _ in }
        #expect(Set(plain).count == plain.count && plain.count == 3)
        let unsure = try captions { $0.confidence = Confidence(value: 0.5, measures: [:]) }
        let marked = try captions { $0.reviewBelow = 0.95 }
        for index in plain.indices { #expect(plain[index] != unsure[index] && plain[index] != marked[index]) }
    }

    @Test func `notices a changed contour, pixel, place or source`() throws {
        for kind in [SegmentationSample.Kind.magneticResonance, .multiFrame] {
            try written(kind) { data, sample, url in
                let whole = try Data(contentsOf: url)
                let columns = try #require(data.integer(.columns))
                let pixels = try #require(data.raw(.pixelData)).count
                let mask = sample.masks[try #require(data.integers(.pageNumberVector).first) - 1]
                let contour = mask.contour(thickness: 1)
                for wanted in [UInt8(0), 1] {
                    let place = try #require(contour.pixels.firstIndex(of: wanted))
                    let pixel =
                        place / SegmentationSample.columns * columns + place % SegmentationSample.columns
                    var changed = whole
                    changed[whole.count - pixels + pixel * 3] ^= 0x40
                    try changed.write(to: url)
                    #expect(throws: ObjectError.self) { try verify(sample, url) }
                }
                let uid = sample.sources[0].file.header.sopInstanceUID
                var changed = whole
                let range = try #require(changed.range(of: Data(uid.utf8), options: .backwards))
                changed.replaceSubrange(range, with: Data(uid.dropLast().utf8) + [0x39])
                try changed.write(to: url)
                #expect(throws: ObjectError.self) { try verify(sample, url) }
            }
        }
    }

    @Test func `notices a picture of another mask`() throws {
        try written(.endoscopy) { _, sample, url in
            var masks = sample.masks
            masks.swapAt(0, 2)
            #expect(throws: ObjectError.self) {
                try PicturesReader.verify(
                    path: url.path, description: described(sample), sources: sample.sources, masks: masks)
            }
        }
    }

    @Test func `writes as many pictures as fit, from the first to the last, and says so`() throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(.multiFrame, in: folder)
            let path = folder.appending(path: "pictures.dcm").path
            // A picture takes 294 columns, and 101 rows with a caption: about 165,000 bytes.
            let bytes = 400_000
            let count = try PicturesInstance.write(
                described(sample), sources: sample.sources, masks: sample.masks, mostBytes: bytes, to: path)
            let data = try DataSet.open(path: path)
            #expect(count == 2 && data.integers(.pageNumberVector) == [1, 5])
            #expect(try #require(data.raw(.pixelData)).count <= bytes)
            #expect(data.string(.imageComments)?.hasSuffix("2 of 4 frames with a finding are shown") == true)
            for (most, isRight) in [(bytes, true), (2 * bytes, false)] {
                let verified: ()? = try? PicturesReader.verify(
                    path: path, description: described(sample), sources: sample.sources, masks: sample.masks,
                    mostBytes: most)
                #expect((verified != nil) == isRight)
            }
        }
    }

    @Test func `says that the source's own pixels identify the patient, and this takes part in UIDs`() throws {
        try withTemporaryFolder { folder in
            var digests: [[String: String]] = []
            for value in ["YES", "NO", ""] {
                var data = ElementBytes()
                data.add(0x0008_0016, "UI", text: "1.2.840.10008.5.1.4.1.1.7")
                data.add(0x0008_0018, "UI", text: ElementBytes.instanceUID)
                data.add(0x0020_000D, "UI", text: "1.2.3.4.1")
                data.add(0x0020_000E, "UI", text: "1.2.3.4.2")
                data.add(0x0028_0002, short: 1)
                data.add(0x0028_0004, "CS", text: "MONOCHROME2")
                data.add(0x0028_0010, short: 2)
                data.add(0x0028_0011, short: 4)
                for (tag, number) in [(0x0028_0100, 8), (0x0028_0101, 8), (0x0028_0102, 7), (0x0028_0103, 0)] {
                    data.add(UInt32(tag), short: UInt16(number))
                }
                data.add(0x0028_0301, "CS", text: value)
                data.add(0x7FE0_0010, "OW", [1, 2, 3, 4, 5, 6, 7, 8])
                let (url, path) = (folder.appending(path: "source.dcm"), folder.appending(path: "p.dcm").path)
                try data.write(to: url)
                let file = try InstanceFile(path: url.path)
                digests.append(try file.digests().attributes)
                let description = described(try SegmentationSample(.endoscopy, in: folder)) { $0.newestSource = 0 }
                try PicturesInstance.write(
                    description, sources: [SegmentationSource(file)],
                    masks: [Mask(rows: 2, columns: 4, pixels: [0, 1, 1, 0, 0, 0, 1, 0])], to: path)
                #expect(try DataSet.open(path: path).string(.burnedInAnnotation) == (value == "YES" ? "YES" : "NO"))
            }
            // Earlier versions did not digest the attribute: objects of images without YES keep their UIDs.
            #expect(digests[0]["BurnedInAnnotation"] != nil && digests[1] == digests[2])
            #expect(digests[1]["BurnedInAnnotation"] == nil)
        }
    }

    @Test func `does not write an object if nothing was found`() throws {
        try withTemporaryFolder { folder in
            let sample = try SegmentationSample(.endoscopy, in: folder)
            let path = folder.appending(path: "pictures.dcm").path
            let empty = Mask(rows: SegmentationSample.rows, columns: SegmentationSample.columns)
            #expect(throws: ObjectError.nothingFound) {
                try PicturesInstance.write(
                    described(sample), sources: sample.sources, masks: [Mask](repeating: empty, count: 4), to: path)
            }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test(
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/bin/dciodvfy"),
            "needs dciodvfy, of the Debian package dicom3tools"), arguments: SegmentationSample.Kind.allCases)
    func `has no error for dciodvfy`(kind: SegmentationSample.Kind) async throws {
        try await withTemporaryFolder { folder in
            let sample = try SegmentationSample(kind, in: folder)
            let url = folder.appending(path: "pictures.dcm")
            try PicturesInstance.write(
                described(sample), sources: sample.sources, masks: sample.masks, to: url.path)
            let result = try await runExternal("dciodvfy", [url.path])
            let errors = (result.output + result.errors).split(separator: "\n").filter { $0.hasPrefix("Error") }
            #expect(errors.isEmpty, "\(errors)")
        }
    }
}
