// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Testing
import TestSupport

/// Image Pixel attributes that contradict each other or the bytes of Pixel Data, and pixels that are padding.
@Suite struct MendedPixelsTests {
    /// An image of 2 rows and 3 columns.
    private struct Image {
        var samples: UInt16 = 1
        var photometric = "MONOCHROME2"
        var frames: String?
        var allocated: UInt16 = 8
        var stored: UInt16 = 8
        var highBit: UInt16 = 7
        var isSigned = false
        var isBigEndian = false
        var vr = "OW"
        var bytes: [UInt8] = []
        /// Elements between Pixel Representation and Pixel Data.
        var others: (inout ElementBytes) -> Void = { _ in }

        func decoded() throws -> (frames: [Frame], remarks: [String]) {
            var data = ElementBytes.identified(isBigEndian: isBigEndian)
            data.add(0x0028_0002, short: samples)
            data.add(0x0028_0004, "CS", text: photometric)
            if let frames { data.add(0x0028_0008, "IS", text: frames) }
            data.add(0x0028_0010, short: 2)
            data.add(0x0028_0011, short: 3)
            data.add(0x0028_0100, short: allocated)
            data.add(0x0028_0101, short: stored)
            data.add(0x0028_0102, short: highBit)
            data.add(0x0028_0103, short: isSigned ? 1 : 0)
            others(&data)
            data.add(0x7FE0_0010, vr, bytes)
            return try withTemporaryFolder { folder in
                let url = folder.appending(path: "instance")
                try data.write(to: url)
                let file = try InstanceFile(path: url.path)
                let decoder = try FrameDecoder(file)
                let frames = try (1...file.header.numberOfFrames).map { try decoder.frame($0) }
                return (frames, decoder.remarks)
            }
        }

        func samplesOfOne() throws -> [Float] { Array(try #require(try decoded().frames.first).samples) }
    }

    private static func words(_ values: [Int]) -> [UInt8] {
        values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    private let grey: [UInt8] = [10, 20, 30, 40, 50, 60]
    private let colour = [UInt8](1...18)

    // MARK: Attributes

    @Test(arguments: ["rgb", "Rgb", " RGB ", "R GB"])
    func `reads Photometric Interpretation in any spelling`(photometric: String) throws {
        let image = Image(samples: 3, photometric: photometric, bytes: colour)
        #expect(try image.samplesOfOne() == colour.map(Float.init))
        #expect(try image.decoded().remarks.isEmpty)
    }

    @Test func `reads three samples that are called grey as colour, and one that is called colour as grey`() throws {
        let three = try Image(samples: 3, bytes: colour).decoded()
        #expect(Array(three.frames[0].samples) == colour.map(Float.init) && three.frames[0].channels == 3)
        #expect(
            three.remarks == ["Photometric Interpretation is MONOCHROME2 and Samples per Pixel 3; read as RGB"])
        let one = try Image(photometric: "RGB", bytes: grey).decoded()
        #expect(Array(one.frames[0].samples) == grey.map(Float.init) && one.frames[0].channels == 1)
        #expect(one.remarks.count == 1)
    }

    @Test(arguments: [3, 11, 16, 255] as [UInt16])
    func `takes the lowest bits if High Bit does not fit Bits Stored`(highBit: UInt16) throws {
        let values = [0, 1, 300, 4095, 4096, 65_535]
        let image = Image(allocated: 16, stored: 16, highBit: highBit, bytes: Self.words(values))
        #expect(try image.samplesOfOne() == values.map(Float.init))
        #expect(try image.decoded().remarks.count == 1)
    }

    @Test func `shifts values by High Bit unless they lie in the low bits`() throws {
        let values = [0, 1, 300, 1000, 2000, 4095]
        let shifted = Image(allocated: 16, stored: 12, highBit: 15, bytes: Self.words(values.map { $0 << 4 }))
        let low = Image(allocated: 16, stored: 12, highBit: 15, bytes: Self.words(values))
        #expect(try shifted.samplesOfOne() == values.map(Float.init))
        #expect(try low.samplesOfOne() == values.map(Float.init))
    }

    // MARK: Bits Allocated

    @Test func `reads bits, first the lowest of a byte, and frames that begin inside of a byte`() throws {
        let image = Image(frames: "2", allocated: 1, stored: 1, highBit: 0, vr: "OB", bytes: [0b0101_0011, 0b1010])
        let frames = try image.decoded().frames
        #expect(frames.map { Array($0.samples) } == [[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 1]])
    }

    @Test(arguments: [false, true])
    func `reads samples of 32 bits`(isBigEndian: Bool) throws {
        let values: [Int32] = [0, 1, -1, 70_000, -70_000, 1 << 24]
        var image = Image(allocated: 32, stored: 32, highBit: 31, isSigned: true, isBigEndian: isBigEndian)
        image.bytes = values.flatMap { value in
            withUnsafeBytes(of: isBigEndian ? value.bigEndian : value.littleEndian) { Array($0) }
        }
        image.others = { $0.add(0x0028_1053, "DS", text: "0.5") }
        #expect(try image.samplesOfOne() == values.map { Float($0) / 2 })
        image.photometric = "MONOCHROME1"
        #expect(try image.samplesOfOne() == values.map { (-1 - Float($0)) / 2 })
        image.isSigned = false
        image.photometric = "MONOCHROME2"
        #expect(try image.samplesOfOne() == values.map { Float(UInt32(bitPattern: $0)) / 2 })
    }

    // MARK: Length of Pixel Data

    @Test func `reads missing bytes as 0 if less than a row is missing`() throws {
        for missing in 1...2 {
            let (frames, remarks) = try Image(bytes: Array(grey.dropLast(missing))).decoded()
            #expect(Array(frames[0].samples) == grey.dropLast(missing).map(Float.init) + [0, 0].prefix(missing))
            #expect(remarks == ["Pixel Data lacks the last \(missing) of 6 bytes; they were read as 0"])
        }
        #expect(throws: PixelDataError.self) { try Image(bytes: Array(grey.dropLast(3))).decoded() }
    }

    @Test func `finds the number of frames in the length if it is missing, and not if it is there`() throws {
        let three = [UInt8](1...18)
        #expect(try Image(bytes: three).decoded().frames.map { Array($0.samples).first } == [1, 7, 13])
        #expect(try Image(frames: "", bytes: three).decoded().frames.count == 3)
        #expect(try Image(bytes: three + [0]).decoded().frames.count == 3)
        let one = try Image(frames: "1", bytes: three).decoded()
        #expect(one.frames.map { Array($0.samples).first } == [1])
        #expect(one.remarks == ["Pixel Data has 18 bytes, and its frames need only 6"])
    }

    // MARK: Rescale and tables

    @Test func `takes an empty Rescale Slope and Intercept as absent`() throws {
        var image = Image(bytes: grey)
        image.others = { data in
            data.add(0x0028_1052, "DS", text: "")
            data.add(0x0028_1053, "DS", text: " ")
            data.add(0x0028_3000, "SQ", length: 0)
        }
        #expect(try image.samplesOfOne() == grey.map(Float.init))
        image.others = { $0.add(0x0028_1053, "DS", text: "steep") }
        #expect(throws: PixelDataError.self) { try image.decoded() }
    }

    /// The colours of an image with the values 0 to 5 and three equal tables of six entries.
    private func palette(bits: UInt16, _ table: [UInt8], isSegmented: Bool = false) throws -> [Float] {
        var image = Image(photometric: "PALETTE COLOR", bytes: [0, 1, 2, 3, 4, 5])
        image.others = { data in
            for tag: UInt32 in 0x0028_1101...0x0028_1103 { data.add(tag, "US", Self.words([6, 0, Int(bits)])) }
            for tag: UInt32 in 0x0028_1201...0x0028_1203 { data.add(isSegmented ? tag + 0x20 : tag, "OW", table) }
        }
        let samples = try image.samplesOfOne()
        return (0..<6).map { samples[3 * $0] }
    }

    @Test func `scales a table by the bits that its entries have`() throws {
        let levels = [0, 51, 102, 153, 204, 255]
        let wanted = levels.map(Float.init)
        #expect(try palette(bits: 8, levels.map(UInt8.init)) == wanted)
        #expect(try palette(bits: 8, Self.words(levels)) == wanted)
        #expect(try palette(bits: 16, Self.words(levels)) == wanted)
        #expect(try palette(bits: 16, levels.map(UInt8.init)) == wanted)
        for bits: UInt16 in [8, 16] {
            let found = try palette(bits: bits, Self.words(levels.map { $0 * 257 }))
            #expect(zip(found, wanted).allSatisfy { abs($0 - $1) < 0.01 })
        }
    }

    @Test func `writes out segmented tables`() throws {
        // Discrete: 0, 100. Linear: two entries up to 200. Indirect: the first segment again.
        let words = [0, 2, 0, 100, 1, 2, 200, 2, 1, 0, 0]
        #expect(try palette(bits: 16, Self.words(words), isSegmented: true) == [0, 100, 150, 200, 0, 100])
        // The offset of an indirect segment of bytes has four of them.
        let bytes: [UInt8] = [0, 2, 0, 100, 1, 2, 200, 2, 1, 0, 0, 0, 0]
        #expect(try palette(bits: 8, bytes + [0], isSegmented: true) == [0, 100, 150, 200, 0, 100])
    }

    @Test(arguments: [[1, 2, 200], [0, 9, 1], [2, 1, 0, 0], [0, 1, 5, 2, 1, 6, 0], [7, 7, 7]])
    func `refuses segments that end early or refer in circles`(words: [Int]) {
        #expect(throws: PixelDataError.self) { try palette(bits: 16, Self.words(words), isSegmented: true) }
    }

    // MARK: Padding

    private func padding(
        _ values: [Int], value: Int, limit: Int? = nil, vr: String = "US", stored: UInt16 = 16, isSigned: Bool = false,
        photometric: String = "MONOCHROME2"
    ) throws -> [UInt8] {
        var image = Image(
            photometric: photometric, allocated: 16, stored: stored, highBit: stored - 1, isSigned: isSigned,
            bytes: Self.words(values))
        image.others = { data in
            data.add(0x0028_0120, vr, Self.words([value]))
            if let limit { data.add(0x0028_0121, vr, Self.words([limit])) }
            data.add(0x0028_1052, "DS", text: "-1024")
        }
        let frame = try #require(try image.decoded().frames.first)
        if photometric == "MONOCHROME2", stored == 16 {
            #expect(Array(frame.samples) == values.map { Float($0) - 1024 }, "padding keeps its value")
        }
        return frame.padding
    }

    @Test func `marks Pixel Padding Value by stored value, whatever its representation says of the sign`() throws {
        let unsigned = [0, 1, 2, 63_536, 0, 5]
        #expect(try padding(unsigned, value: 0) == [1, 0, 0, 0, 1, 0])
        #expect(try padding(unsigned, value: -2000, vr: "SS") == [0, 0, 0, 1, 0, 0])
        #expect(try padding(unsigned, value: 7) == [])
        let signed = [-2000, 0, 5, -32_768, 7, 8]
        for vr in ["US", "SS"] {
            #expect(try padding(signed, value: -2000, vr: vr, isSigned: true) == [1, 0, 0, 0, 0, 0])
            #expect(try padding(signed, value: -32_768, vr: vr, isSigned: true) == [0, 0, 0, 1, 0, 0])
        }
        #expect(try padding(unsigned, value: 0, photometric: "MONOCHROME1") == [1, 0, 0, 0, 1, 0])
    }

    @Test func `marks the range from Pixel Padding Value to its limit, in either order`() throws {
        let signed = [-2000, -1500, -1000, -999, 0, 5]
        for (value, limit) in [(-2000, -1000), (-1000, -2000)] {
            #expect(
                try padding(signed, value: value, limit: limit, vr: "SS", isSigned: true) == [1, 1, 1, 0, 0, 0])
        }
    }

    @Test func `marks a value that Bits Stored cannot hold by all bits`() throws {
        let values = [0, 1, 0x8000, 0, 0x8000, 5]
        #expect(try padding(values, value: -32_768, vr: "SS", stored: 12, isSigned: true) == [0, 0, 1, 0, 1, 0])
    }

    @Test func `moves padding with the slices of a volume`() throws {
        func plane(_ z: Double) -> PlaneGeometry {
            PlaneGeometry(
                position: Vector3(0, 0, z), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: 1, columnSpacing: 1)
        }
        let frames = [
            Frame(rows: 1, columns: 2, channels: 1, samples: [-2000, 5], padding: [1, 0]),
            Frame(rows: 1, columns: 2, channels: 1, samples: [7, -3]),
        ]
        let volume = try VolumeAssembly(frames: frames, planes: [plane(1), plane(0)]).volume
        #expect(volume.voxels == [7, -3, -2000, 5] && volume.padding == [0, 0, 1, 0])
        #expect(volume.withPaddingAsBackground.voxels == [7, -3, -3, 5])
    }

    @Test func `takes padding into the digest of what an instance gives to a SEG`() throws {
        func digest(_ value: Int?) throws -> String {
            var data = ElementBytes.identified()
            if let value { data.add(0x0028_0120, "SS", Self.words([value])) }
            return try withTemporaryFolder { folder in
                let url = folder.appending(path: "instance")
                try data.write(to: url)
                let digests = try InstanceFile(path: url.path).digests()
                return digests.image + SourceAttributes.digestOfEach(digests.attributes)
            }
        }
        #expect(Set(try [nil, 0, 1, 32, 256].map(digest)).count == 5)
    }
}
