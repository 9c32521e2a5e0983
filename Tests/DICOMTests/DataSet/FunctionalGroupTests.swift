// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

@Suite struct FunctionalGroupTests {
    private func with<Result>(
        _ image: EnhancedImage, _ body: (InstanceFile, URL) throws -> Result
    ) throws -> Result {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "image.dcm")
            try image.data.write(to: url)
            return try body(try InstanceFile(path: url.path), folder)
        }
    }

    private func header(_ image: EnhancedImage) throws -> InstanceHeader { try with(image) { file, _ in file.header } }

    @Test(arguments: [EnhancedImage.enhancedMR, EnhancedImage.legacyConvertedMR, "1.2.840.10008.5.1.4.1.1.7.3"])
    func `reads the plane and the meaning of each frame`(sopClass: String) throws {
        var image = EnhancedImage.slices([5, 0, 2.5]) { index, frame in
            if index == 1 {
                frame.frameType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
                frame.component = "PHASE"
                frame.echoTime = 2.25
                frame.triggerDelay = 640
                frame.stackID = "2"
            }
        }
        image.sopClass = sopClass
        let header = try header(image)
        #expect(header.plane == nil && header.planeProblem == nil && header.seriesNumber == 7)
        let frames = try #require(header.frames).frames
        #expect(frames.map { $0.plane?.position.z } == [5, 0, 2.5])
        #expect(frames.allSatisfy { $0.plane?.rowSpacing == 0.75 && $0.plane?.columnSpacing == 0.5 })
        #expect(frames.allSatisfy { $0.sliceThickness == 3 && $0.spacingBetweenSlices == 2.5 })
        #expect(frames[1].imageType == ["ORIGINAL", "PRIMARY", "M", "NONE", "PHASE"])
        #expect((frames[1].echoTime, frames[1].triggerTime) == (2.25, 640))
        #expect(frames.map(\.stackID) == ["1", "2", "1"])
        let second = header.header(ofFrame: 2)
        #expect(second.plane == frames[1].plane && second.imageType == frames[1].imageType && second.frames == nil)
        #expect(header.header(ofFrame: 1).imageType == ["ORIGINAL", "PRIMARY", "PSIR", "NONE"])
        #expect(header.plane(ofFrame: 3)?.position == Vector3(-10.5, 20.25, 2.5))
        #expect(header.plane(ofFrame: 4) == nil && header.plane(ofFrame: 0) == nil)
    }

    @Test func `reads what a conversion left unassigned`() throws {
        var image = EnhancedImage.slices([0, 2.5])
        image.sopClass = EnhancedImage.legacyConvertedMR
        var unassigned = ElementBytes()
        unassigned.add(0x0018_0023, "CS", text: "3D")
        unassigned.add(0x0018_0081, "DS", text: "1.5")
        unassigned.add(0x0018_0082, "DS", text: "270")
        unassigned.add(0x0018_1060, "DS", text: "210.5")
        image.unassigned = unassigned
        let header = try header(image)
        #expect(header.mrAcquisitionType == "3D")
        let frames = try #require(header.frames).frames
        #expect(frames.map(\.echoTime) == [1.5, 1.5] && frames.map(\.inversionTime) == [270, 270])
        #expect(frames.map(\.triggerTime) == [210.5, 210.5])
    }

    @Test func `says why frames do not have planes`() throws {
        var image = EnhancedImage.slices([0, 2.5])
        image.pixelSpacing = "0\\0"
        let unusable = try header(image)
        #expect(unusable.frames == nil && unusable.planeProblem == "frame 1: Pixel Spacing is not two usable numbers")
        image = EnhancedImage.slices([0, 2.5])
        image.numberOfFrames = 3
        #expect(try header(image).planeProblem == "it has 3 frames, and functional groups of 2")
        // A class that Kontur does not understand.
        image = EnhancedImage.slices([0, 2.5])
        image.sopClass = "1.2.840.10008.5.1.4.1.1.4.3"
        let color = try header(image)
        #expect(color.frames == nil && color.planeProblem == nil)
        #expect(throws: PixelDataError.self) { try with(image) { file, _ in try file.frames() } }
    }

    @Test func `gives each frame its own modality units`() throws {
        let image = EnhancedImage.slices([0, 2.5, 5]) { index, frame in
            (frame.slope, frame.intercept) = [(1, 0), (2, -10), (0.5, 3)][index]
        }
        try with(image) { file, _ in
            let frames = try file.frames()
            #expect(frames.map { $0.samples[0] } == [0, 190, 103])
            #expect(frames.map { $0.samples[23] } == [23, 236, 114.5])
            #expect(try file.frames([3, 1]).map { $0.samples[0] } == [103, 0])
        }
    }

    @Test func `frames take part in the digest of the image`() throws {
        let plain = EnhancedImage.slices([0, 2.5, 5])
        let changes: [(inout EnhancedImage.Frame) -> Void] = [
            { $0.position[2] = 2.75 }, { $0.orientation = [0, 1, 0, 1, 0, 0] }, { $0.slope = 2 }, { $0.intercept = 1 },
            { $0.frameType = ["ORIGINAL", "PRIMARY", "P", "NONE"] }, { $0.triggerDelay = 640 }, { $0.stackID = "2" },
            { $0.echoTime = 4 },
        ]
        var digests = Set([try with(plain) { file, _ in try file.imageDigest() }])
        for change in changes {
            var image = plain
            change(&image.frames[1])
            digests.insert(try with(image) { file, _ in try file.imageDigest() })
        }
        #expect(digests.count == changes.count + 1)
    }

    @Test func `a table survives its encoding, in few bytes`() throws {
        let header = try header(
            EnhancedImage.slices((0..<200).map { Double($0) * 0.7 }) { index, frame in
                frame.triggerDelay = index % 2 == 0 ? 210 : nil
                frame.component = index % 3 == 0 ? "PHASE" : nil
            })
        let data = try JSONEncoder().encode(header)
        #expect(try JSONDecoder().decode(InstanceHeader.self, from: data) == header)
        #expect(data.count < 200 * 60)
    }

    @Test func `a header that an earlier version stored decodes`() throws {
        let stored = """
            {"bitsAllocated":16,"bitsStored":12,"columns":48,"echoNumbers":[1],"echoTime":2.4,"frameOfReferenceUID":"1.2.9",\
            "highBit":11,"imageType":["ORIGINAL","PRIMARY","M"],"instanceNumber":3,"isSigned":false,"kind":{"image":{}},\
            "modality":"MR","namesKontur":false,"numberOfFrames":1,"photometricInterpretation":"MONOCHROME2",\
            "planarConfiguration":0,"rows":64,"samplesPerPixel":1,"seriesInstanceUID":"1.2.1","sopClassUID":\
            "1.2.840.10008.5.1.4.1.1.4","sopInstanceUID":"1.2.1.3","studyInstanceUID":"1.2","transferSyntaxUID":\
            "1.2.840.10008.1.2.1"}
            """
        let header = try JSONDecoder().decode(InstanceHeader.self, from: Data(stored.utf8))
        #expect(header.frames == nil && header.seriesNumber == nil && header.echoTime == 2.4)
    }

    @Test func `a SEG refers to frames by number, and has their planes`() throws {
        let image = EnhancedImage.slices([7.5, 0, 5, 40, 2.5]) { index, frame in
            if index == 3 { frame.orientation = [0, 1, 0, 0, 0, -1] }
        }
        try with(image) { file, folder in
            let numbers = [1, 2, 3, 5]
            let sources = [SegmentationSource(file, frameNumbers: numbers)]
            let masks = numbers.map { number in
                Mask(rows: 4, columns: 6, pixels: (0..<24).map { $0 == number || $0 == 8 ? 1 : 0 })
            }
            let url = folder.appending(path: "seg.dcm")
            let description = ObjectDescription(
                sopInstanceUID: "2.25.11", seriesInstanceUID: "2.25.12", created: 1_709_164_799,
                kind: .segmentation(.strict), type: .binary, segmenter: .drawnVolume, softwareVersion: "0",
                seriesLabel: SeriesLabel(seriesNumber: 7, ordinal: 1, reconstruction: ["PSIR"]))
            try SegmentationInstance.write(description, sources: sources, masks: masks, to: url.path)
            try SegmentationReader.verify(path: url.path, encoding: .binary, sources: sources, masks: masks)
            let read = try SegmentationReader(path: url.path)
            #expect(read.frames.map(\.sourceFrameNumber) == [2, 5, 3, 1])
            #expect(read.frames.map { $0.position?.z } == [0, 2.5, 5, 7.5])
            #expect(read.pixelSpacing == [0.75, 0.5] && read.spacingBetweenSlices == 2.5 && read.sliceThickness == 3)
            #expect(read.orientation == [1, 0, 0, 0, 1, 0] && read.frameOfReferenceUID == "1.2.3.4.9")
            let data = try DataSet.open(path: url.path)
            #expect(data.integer(.seriesNumber) == 79_010)
            #expect(data.string(.seriesDescription) == "KONTUR left atrium, series 7 PSIR (AI, not reviewed)")
        }
    }
}

extension SegmenterDescriptor {
    fileprivate static let drawnVolume = SegmenterDescriptor(
        name: "drawn", version: "1", accepts: .volume, weightsHash: String(repeating: "0", count: 64),
        segmentLabel: "left atrium", category: CodedConcept("123037004", "SCT", "Anatomical Structure"),
        type: CodedConcept("82471001", "SCT", "Left atrium"), anatomicRegion: nil,
        recommendedDisplayColor: DisplayColor(red: 0, green: 255, blue: 0), title: "", paper: "", licence: "")
}
