// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import TestSupport
import Testing

@Suite struct PictureTests {
    static func picture(_ rows: Int, _ columns: Int, _ channels: Int) -> Picture {
        Picture(
            rows: rows, columns: columns, channels: channels,
            samples: (0..<rows * columns * channels).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 / 11) })
    }

    @Test(arguments: [(1, 1), (1, 300), (300, 1), (17, 23), (128, 64)], [1, 3])
    func `a PNG gives back every sample`(size: (Int, Int), channels: Int) throws {
        let picture = Self.picture(size.0, size.1, channels)
        #expect(try Picture(png: picture.png()) == picture)
    }

    @Test func `a written file is read back, a folder that is not there is named`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let picture = Self.picture(20, 30, 3)
        let path = folder.appending(path: "a.png").path
        try picture.writePNG(to: path)
        #expect(try Picture(path: path) == picture)
        #expect { try picture.writePNG(to: "\(folder.path)/b/c.png") } throws: { "\($0)".contains("/b/c.png") }
        #expect { try Picture(path: "\(folder.path)/d.png") } throws: { "\($0)".hasPrefix("could not read") }
    }

    @Test func `a damaged PNG is refused, wherever it was cut or changed`() {
        let data = Self.picture(9, 9, 3).png()
        for count in 0..<data.count - 12 {
            #expect(throws: PictureError.self) { try Picture(png: data.prefix(count)) }
        }
        for index in data.indices {
            var changed = data
            changed[index] ^= 0x55
            _ = try? Picture(png: changed)
        }
    }

    /// An 8 x 8 grey JPEG of value 200 and quality 90, written with Pillow 11:
    /// `Image.fromarray(np.full((8, 8), 200, np.uint8)).save(f, quality=90)`.
    static let jpeg = Data(
        base64Encoded:
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4R"
            + "DgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcI"
            + "CQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcY"
            + "GRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKj"
            + "pKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APsC"
            + "v//Z")

    @Test func `a JPEG is decoded, and refused when it is cut anywhere`() throws {
        let data = try #require(Self.jpeg)
        let picture = try Picture(jpeg: data)
        #expect(picture.rows == 8 && picture.columns == 8 && picture.channels == 1)
        #expect(picture.samples.allSatisfy { abs(Int($0) - 200) <= 1 })
        for count in 0..<data.count - 2 {
            #expect(throws: PictureError.self, "\(count) bytes") { try Picture(jpeg: data.prefix(count)) }
        }
    }

    @Test func `the stream of a frame is decoded if it has the size of the frame`() throws {
        let stream = [UInt8](try #require(Self.jpeg))
        let samples = try BaselineJPEG.decode(stream, rows: 8, columns: 8, channels: 1, isYBR: false)
        #expect(try samples == Picture(jpeg: Data(stream)).samples)
        for (rows, columns, channels) in [(9, 8, 1), (8, 7, 1), (8, 8, 3)] {
            #expect(throws: PictureError.self) {
                try BaselineJPEG.decode(stream, rows: rows, columns: columns, channels: channels, isYBR: true)
            }
        }
        #expect(throws: PictureError.self) {
            try BaselineJPEG.decode(Array(stream.dropLast(20)), rows: 8, columns: 8, channels: 1, isYBR: false)
        }
    }

    @Test func `libjpeg's errors come as errors, whatever byte is changed`() throws {
        let data = try #require(Self.jpeg)
        for index in data.indices {
            for value in [UInt8(0), 0x7f, 0xff] {
                var changed = data
                changed[index] = value
                _ = try? Picture(jpeg: changed)
            }
        }
    }

    @Test func `text is neither PNG nor JPEG`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString).txt").path
        try Data("hello".utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: PictureError.unknownFormat) { try Picture(path: path) }
    }
}

@Suite struct OverlayTests {
    static let red = DisplayColor(red: 255, green: 0, blue: 0)

    static func square(_ rows: Int, _ columns: Int) -> Mask {
        Mask(
            rows: rows, columns: columns,
            pixels: (0..<rows * columns).map { pixel in
                let across = columns / 4 + 1..<max(columns * 3 / 4, columns / 4 + 1)
                let down = rows / 4 + 1..<max(rows * 3 / 4, rows / 4 + 1)
                return down.contains(pixel / columns) && across.contains(pixel % columns) ? 1 : 0
            })
    }

    @Test func `the outline has the colour, the inside is tinted, the rest is the source`() {
        let frame = Frame(
            rows: 300, columns: 400, channels: 3, samples: [Float](repeating: 100, count: 300 * 400 * 3))
        let mask = Self.square(300, 400)
        let picture = Overlay.picture(of: frame, mask: mask, color: Self.red)
        #expect(picture.rows == 300 && picture.columns == 400)
        func pixel(_ row: Int, _ column: Int) -> [UInt8] {
            Array(picture.samples[(row * 400 + column) * 3..<(row * 400 + column) * 3 + 3])
        }
        #expect(pixel(10, 10) == [100, 100, 100])
        #expect(pixel(76, 200) == [255, 0, 0])
        #expect(pixel(150, 200) == [139, 75, 75])
    }

    @Test(arguments: [(40, 30), (333, 250), (901, 1700), (3, 2500)])
    func `a frame of bytes gives the same picture as one of numbers`(rows: Int, columns: Int) {
        let bytes = (0..<rows * columns * 3).map { UInt8(truncatingIfNeeded: $0 * 31 + $0 / 977) }
        let mask = Self.square(rows, columns)
        let frames = [
            Frame(rows: rows, columns: columns, channels: 3, bytes: bytes),
            Frame(rows: rows, columns: columns, channels: 3, samples: bytes.map(Float.init)),
        ]
        #expect(frames[0].samples == frames[1].samples)
        let pictures = frames.map { Overlay.picture(of: $0, mask: mask, color: Self.red) }
        #expect(pictures[0] == pictures[1])
    }

    @Test(arguments: [(1, 1), (1, 4000), (101, 99), (2160, 3840)])
    func `pictures have a size for the eye`(size: (Int, Int)) {
        let frame = Frame(
            rows: size.0, columns: size.1, channels: 1, samples: (0..<size.0 * size.1).map { Float($0 % 1000) })
        let picture = Overlay.picture(of: frame, mask: Self.square(size.0, size.1), color: Self.red)
        let side = max(picture.rows, picture.columns)
        #expect(side <= 800)
        #expect(side >= min(240, 8 * max(size.0, size.1)))
    }

    @Test func `values that are not finite and constants do not stop a picture`() {
        for value in [Float.nan, .infinity, 0, -5e30] {
            let frame = Frame(rows: 5, columns: 5, channels: 1, samples: [Float](repeating: value, count: 25))
            #expect(Overlay.picture(of: frame, mask: Mask(rows: 5, columns: 5), color: Self.red).rows > 0)
        }
    }

    @Test func `a contact sheet shows twelve of the slices with something in them, in few bytes`() {
        let plane = PlaneGeometry(
            position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
            rowSpacing: 1, columnSpacing: 1)
        let voxels = (0..<40 * 300 * 280).map { index -> Float in
            let (slice, column) = (index / 84_000, index % 280)
            return Float(slice * 20 + column / 4)
        }
        let volume = Volume(slices: 40, rows: 300, columns: 280, voxels: voxels, plane: plane, sliceSpacing: 1)
        let masks = (0..<40).map { (10..<30).contains($0) ? Self.square(300, 280) : Mask(rows: 300, columns: 280) }
        let sheet = Overlay.contactSheet(of: volume, masks: masks, color: Self.red)
        // Reduced by 2; four across, three down, two pixels between.
        #expect(sheet.rows == 3 * 152 - 2 && sheet.columns == 4 * 142 - 2)
        #expect(sheet.png().count < 500_000)
        let empty = Overlay.contactSheet(of: volume, masks: masks.map { _ in masks[0] }, color: Self.red, tiles: 1)
        #expect(empty.rows == 150)
    }

    @Test func `a contact sheet shows prompted slices, also those without a mask`() {
        let plane = PlaneGeometry(
            position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
            rowSpacing: 1, columnSpacing: 1)
        // Every slice is brighter than the one before, but for the lowest and highest grey levels of the window.
        let voxels = (0..<40 * 900).map { Float($0 / 900) }
        let volume = Volume(slices: 40, rows: 30, columns: 30, voxels: voxels, plane: plane, sliceSpacing: 1)
        let masks = (0..<40).map { (10..<30).contains($0) ? Self.square(30, 30) : Mask(rows: 30, columns: 30) }
        /// The slices of the tiles by the grey level of a pixel outside the masks.
        func slices(prompted: [Int]) -> [Int] {
            let sheet = Overlay.contactSheet(of: volume, masks: masks, prompted: prompted, color: Self.red)
            let (height, width) = (sheet.rows / 3 + 1, sheet.columns / 4 + 1)
            let levels = (0..<12).map { tile -> UInt8 in
                let (y, x) = (tile / 4 * height + height - 5, tile % 4 * width + width - 5)
                return sheet.samples[(y * sheet.columns + x) * 3]
            }
            let alone = Dictionary(
                uniqueKeysWithValues: (2..<38).map { slice -> (UInt8, Int) in
                    let one = masks.indices.map {
                        $0 == slice ? Self.square(30, 30) : Mask(rows: 30, columns: 30)
                    }
                    let sheet = Overlay.contactSheet(of: volume, masks: one, color: Self.red)
                    return (sheet.samples[((sheet.rows - 5) * sheet.columns + sheet.columns - 5) * 3], slice)
                })
            return levels.map { alone[$0] ?? -1 }
        }
        let usual = slices(prompted: [])
        #expect(usual.first == 10 && usual.last == 29 && !usual.contains(17))
        let prompted = slices(prompted: [17, 35])
        #expect(prompted.contains(17) && prompted.last == 35 && prompted.first == 10)
        #expect(prompted == prompted.sorted() && Set(prompted).count == 12)
        #expect(Set(slices(prompted: Array(12...27))).isSubset(of: 12...27))
    }

    @Test func `each tile of a contact sheet has the number of its slice`() {
        func sheet(of slices: ClosedRange<Int>) -> Picture {
            let plane = PlaneGeometry(
                position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
                rowSpacing: 1, columnSpacing: 1)
            let volume = Volume(
                slices: 12, rows: 40, columns: 40, voxels: [Float](repeating: 1, count: 12 * 1600), plane: plane,
                sliceSpacing: 1)
            let masks = (0..<12).map { slice in
                var pixels = [UInt8](repeating: 0, count: 1600)
                if slices.contains(slice) { pixels[39 * 40 + 39] = 1 }
                return Mask(rows: 40, columns: 40, pixels: pixels)
            }
            return Overlay.contactSheet(of: volume, masks: masks, color: Self.red)
        }
        // The sheets differ in the numbers alone: one character for slice 4, two for slice 11.
        let (four, eleven) = (sheet(of: 3...3), sheet(of: 10...10))
        let different = four.samples.indices.filter { four.samples[$0] != eleven.samples[$0] }
        let places = different.map { (row: $0 / 3 / four.columns, column: $0 / 3 % four.columns) }
        #expect(!places.isEmpty && places.allSatisfy { $0.row < 13 && $0.column < 14 })
        #expect(places.contains { $0.column >= 7 })
    }
}
