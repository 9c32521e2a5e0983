// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Testing

@Suite struct ContourPicturesTests {
    private static let color = DisplayColor(red: 46, green: 230, blue: 92)

    /// A mask of random rectangles, some of which touch the border and have holes.
    private static func mask(_ rows: Int, _ columns: Int, seed: UInt64) -> Mask {
        var state = seed
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var pixels = [UInt8](repeating: 0, count: rows * columns)
        for step in 0..<6 {
            let (top, left) = (next(rows), next(columns))
            for row in top..<min(rows, top + 1 + next(rows / 2)) {
                for column in left..<min(columns, left + 1 + next(columns / 2)) {
                    pixels[row * columns + column] = step < 4 ? 1 : 0
                }
            }
        }
        return Mask(rows: rows, columns: columns, pixels: pixels)
    }

    /// The contour by its definition: a set pixel with an unset one, or the outside, within a diamond.
    private static func contour(_ mask: Mask, thickness: Int) -> [UInt8] {
        (0..<mask.rows * mask.columns).map { pixel in
            guard mask.pixels[pixel] != 0 else { return 0 }
            let (row, column) = (pixel / mask.columns, pixel % mask.columns)
            for y in -thickness...thickness {
                for x in -(thickness - abs(y))...(thickness - abs(y)) {
                    let (other, beside) = (row + y, column + x)
                    guard other >= 0, other < mask.rows, beside >= 0, beside < mask.columns,
                        mask.pixels[other * mask.columns + beside] != 0
                    else { return 1 }
                }
            }
            return 0
        }
    }

    @Test(arguments: 1...3) func `a contour is the part of the mask near the outside`(thickness: Int) {
        for seed in 1...20 {
            let mask = Self.mask(31, 47, seed: UInt64(seed))
            #expect(mask.contour(thickness: thickness).pixels == Self.contour(mask, thickness: thickness))
        }
    }

    @Test func `a picture has the frame's own pixels at their own places, and the contour over them`() {
        let (rows, columns) = (40, 300)
        let frame = Frame(
            rows: rows, columns: columns, channels: 3, samples: (0..<rows * columns * 3).map { Float($0 % 200) })
        let mask = Self.mask(rows, columns, seed: 7)
        let drawing = ContourPictures(rows: rows, columns: columns, captions: [["one"]], color: Self.color)
        let picture = drawing.picture(0, of: frame, mask: mask, window: .whole)
        #expect(picture.columns == columns && picture.rows > rows && drawing.thickness == 1)
        let contour = Self.contour(mask, thickness: 1)
        for pixel in 0..<rows * columns {
            let found = Array(picture.samples[pixel * 3..<pixel * 3 + 3])
            let expected =
                contour[pixel] != 0 ? [46, 230, 92] : frame.samples[pixel * 3..<pixel * 3 + 3].map { UInt8($0) }
            #expect(found == expected)
        }
    }

    @Test func `grey goes through the window, and a frame of one value is grey`() {
        let frame = Frame(rows: 2, columns: 3, channels: 1, samples: [-10, 0, 50, 100, 200, .nan])
        let drawing = ContourPictures(rows: 2, columns: 3, captions: [[]], color: Self.color)
        let picture = drawing.picture(
            0, of: frame, mask: Mask(rows: 2, columns: 3), window: GreyWindow(percentilesOf: [0, 100]))
        let levels =
            [0, 1, 2].map { picture.samples[$0 * 3] } + [0, 1, 2].map { picture.samples[(picture.columns + $0) * 3] }
        // The 99th percentile of two values is the lower one, so the window does not have a width.
        #expect(levels == [127, 127, 127, 127, 127, 0])
        let wide = drawing.picture(
            0, of: frame, mask: Mask(rows: 2, columns: 3), window: GreyWindow(percentilesOf: (0...100).map(Float.init)))
        #expect(wide.samples[0] == 0 && wide.samples[2 * 3] == 128 && wide.samples[(wide.columns + 1) * 3] == 255)
    }

    @Test func `captions are broken between words, are below the frame, and differ`() {
        let text = ["RESEARCH USE ONLY - not a medical device", "\u{25A0} polyp, confidence 0.91"]
        let drawing = ContourPictures(
            rows: 20, columns: 30, captions: [text, text + ["frame 2 of 2"]], color: Self.color)
        #expect(drawing.columns == 294)
        // 41 characters a line: no line is broken, so the longer caption has 3 lines.
        #expect(drawing.rows == 20 + 3 * 13 + 7)
        let frame = Frame(rows: 20, columns: 30, channels: 1, samples: [Float](repeating: 0, count: 600))
        let empty = Mask(rows: 20, columns: 30)
        let first = drawing.picture(0, of: frame, mask: empty, window: .whole)
        let second = drawing.picture(1, of: frame, mask: empty, window: .whole)
        #expect(first.samples[..<(20 * 294 * 3)].allSatisfy { $0 == 0 })
        let differing = (0..<first.rows).filter { row in
            first.samples[row * 882..<(row + 1) * 882] != second.samples[row * 882..<(row + 1) * 882]
        }
        #expect(!differing.isEmpty && differing.allSatisfy { $0 >= 20 + 2 * 13 })
        let colors = Set((0..<first.rows * 294).map { Array(first.samples[$0 * 3..<$0 * 3 + 3]) })
        #expect(colors == [[0, 0, 0], [230, 230, 230], [46, 230, 92]])
    }

    @Test func `a picture has an even number of columns, so that no byte must be added to a stack`() {
        let drawing = ContourPictures(rows: 403, columns: 357, captions: [["x"]], color: Self.color)
        #expect(drawing.columns == 358)
        let samples = (0..<403 * 357 * 3).map { Float($0 % 251) }
        let picture = drawing.picture(
            0, of: Frame(rows: 403, columns: 357, channels: 3, samples: samples),
            mask: Mask(rows: 403, columns: 357), window: .whole)
        for row in 0..<403 {
            let shown = Array(picture.samples[row * 1074..<row * 1074 + 1074])
            let source: [UInt8] = samples[row * 1071..<row * 1071 + 1071].map { UInt8($0) }
            #expect(shown == source + [0, 0, 0])
        }
    }

    @Test func `text and contour grow with the frame`() {
        let drawing = ContourPictures(rows: 1080, columns: 1920, captions: [["x"]], color: Self.color)
        #expect(drawing.thickness == 2 && drawing.columns == 1920 && drawing.rows == 1080 + 2 * (13 + 7))
    }

    @Test func `a word that is longer than a line is broken inside`() {
        let drawing = ContourPictures(
            rows: 1, columns: 1, captions: [[String(repeating: "a", count: 80)]], color: Self.color)
        #expect(drawing.rows == 1 + 2 * 13 + 7)
    }
}
