// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Testing

/// Picture files of every kind as frames.
@Suite struct PictureFormatTests {
    /// The frame that a file becomes.
    private func frame(_ data: Data, mostBytes: Int = 1 << 20) throws -> Frame {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-\(UUID().uuidString)").path
        try data.write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try Frame(picture: path, mostBytes: mostBytes)
    }

    /// 5 x 7 pixels of samples that use the whole range.
    private func png(_ kind: PlainPNG.Kind, depth: Int) -> PlainPNG {
        let most = (1 << depth) - 1
        let count = 5 * 7 * kind.channels
        let samples = (0..<count).map { $0 == 0 ? most : $0 * 9973 % (most + 1) }
        return PlainPNG(rows: 5, columns: 7, kind: kind, depth: depth, samples: samples)
    }

    @Test(arguments: [1, 2, 4, 8, 16])
    func `grey keeps its values, fewer bits than 8 are spread over 0...255`(depth: Int) throws {
        let png = png(.grey, depth: depth)
        let frame = try frame(png.file)
        #expect(frame.rows == 5 && frame.columns == 7 && frame.channels == 1)
        let scale = depth < 8 ? Float(255 / ((1 << depth) - 1)) : 1
        #expect(frame.samples.floats == png.samples.map { Float($0) * scale })
    }

    @Test(arguments: [8, 16])
    func `colours are RGB of 0...255`(depth: Int) throws {
        let png = png(.rgb, depth: depth)
        let frame = try frame(png.file)
        #expect(frame.channels == 3)
        #expect(frame.samples.floats == png.samples.map { depth == 8 ? Float($0) : (Float($0) / 257).rounded() })
    }

    @Test(arguments: [PlainPNG.Kind.greyAlpha, .rgba], [8, 16])
    func `drops transparency, also of invisible pixels`(kind: PlainPNG.Kind, depth: Int) throws {
        var png = png(kind, depth: depth)
        for index in stride(from: kind.channels - 1, to: png.samples.count, by: 2 * kind.channels) {
            png.samples[index] = 0
        }
        var opaque = PlainPNG(
            rows: 5, columns: 7, kind: kind == .rgba ? .rgb : .grey, depth: depth, samples: [])
        opaque.samples = png.samples.enumerated().filter { $0.offset % kind.channels != kind.channels - 1 }.map(
            \.element)
        #expect(try frame(png.file).samples == frame(opaque.file).samples)
    }

    @Test(arguments: [1, 4, 8])
    func `palettes become their colours`(depth: Int) throws {
        var png = png(.palette, depth: depth)
        png.samples = (0..<35).map { $0 % 2 }
        png.chunks = [("PLTE", [10, 20, 30, 200, 210, 220]), ("tRNS", [0, 128])]
        let frame = try frame(png.file)
        #expect(frame.channels == 3)
        #expect(frame.samples.floats == png.samples.flatMap { $0 == 0 ? [10, 20, 30] : [200, 210, 220] })
    }

    @Test func `gamma and profiles do not change a value`() throws {
        let plain = png(.rgb, depth: 8)
        var changed = plain
        // A gamma of 1.0, which readers that heed it would turn into brighter samples.
        changed.chunks = [("gAMA", [0, 1, 0x86, 0xa0]), ("sRGB", [0])]
        #expect(try frame(changed.file).samples == frame(plain.file).samples)
    }

    @Test func `a file that is cut anywhere, or changed anywhere, is an error or a frame`() throws {
        for kind in PlainPNG.Kind.allCases {
            var png = png(kind, depth: kind == .palette ? 2 : 8)
            if kind == .palette { png.chunks = [("PLTE", (0..<12).map { UInt8($0) })] }
            let file = png.file
            for count in 0..<file.count {
                #expect(throws: PictureError.self, "\(kind), \(count) bytes") { try frame(file.prefix(count)) }
            }
            for index in file.indices {
                var changed = file
                changed[index] ^= 0x41
                _ = try? frame(changed)
            }
        }
    }

    @Test func `does not allocate memory for a size that the file does not hold`() throws {
        var huge = PlainPNG(rows: 1, columns: 1, kind: .rgb, depth: 16, samples: [1, 2, 3])
        huge.claimed = (60_000, 60_000)
        #expect { try frame(huge.file) } throws: { "\($0)".contains("too large") }
        let wide = PlainPNG(
            rows: 1, columns: 4000, kind: .grey, depth: 8, samples: [Int](repeating: 7, count: 4000))
        #expect(try frame(wide.file).columns == 4000)
        #expect { try frame(wide.file, mostBytes: 3999) } throws: { "\($0)".contains("too large") }
    }

    @Test(arguments: [
        (Data([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), PictureFormat.png),
        (Data([0xff, 0xd8, 0xff, 0xe0]), .jpeg),
        (Data("DICM".utf8), nil), (Data(), nil), (Data([0x89, 0x50, 0x4e, 0x47]), nil), (Data([0xff, 0xd8]), nil),
    ])
    func `recognises formats by their first bytes`(start: Data, format: PictureFormat?) {
        #expect(PictureFormat(start) == format)
    }

    @Test func `names a file that is not a picture, and a missing file`() {
        #expect(throws: PictureError.unknownFormat) { try frame(Data("hello".utf8)) }
        #expect { try Frame(picture: "/nowhere/a.png") } throws: { "\($0)".contains("/nowhere/a.png") }
    }
}
