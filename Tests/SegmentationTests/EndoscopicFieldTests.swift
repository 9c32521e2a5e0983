// SPDX-License-Identifier: Apache-2.0

import Imaging
import Inference
import Segmentation
import Testing

/// A drawn capture: a picture of tissue inside a border, with what capture boxes draw beside it.
struct DrawnCapture {
    enum Outline: CaseIterable { case rectangle, octagon, circle }

    let rows: Int
    let columns: Int
    var samples: [Float]

    init(rows: Int, columns: Int, border: Float) {
        (self.rows, self.columns) = (rows, columns)
        samples = [Float](repeating: border, count: rows * columns * 3)
    }

    mutating func set(_ row: Int, _ column: Int, _ colour: [Float]) {
        for (channel, value) in colour.enumerated() { samples[(row * columns + column) * 3 + channel] = value }
    }

    /// Tissue with folds, a dark lumen and a highlight.
    mutating func drawTissue(_ box: PixelBox, _ outline: Outline) {
        let (middleX, middleY) = (Double(box.x0 + box.x1 - 1) / 2, Double(box.y0 + box.y1 - 1) / 2)
        let (halfX, halfY) = (Double(box.width) / 2, Double(box.height) / 2)
        for row in box.y0..<box.y1 {
            for column in box.x0..<box.x1 {
                let (x, y) = (abs(Double(column) - middleX) / halfX, abs(Double(row) - middleY) / halfY)
                let isInside =
                    switch outline {
                    case .rectangle: true
                    case .octagon: x + y < 1.6
                    case .circle: x * x + y * y < 1
                    }
                guard isInside else { continue }
                let fold = Float(20 * (Double(row) / 9).sineWave + 15 * (Double(column) / 13).sineWave)
                let isLumen = (x - 0.1) * (x - 0.1) + (y - 0.2) * (y - 0.2) < 0.03
                set(row, column, isLumen ? [9, 5, 4] : [170 + fold, 90 + fold, 70 + fold / 2])
            }
        }
        let highlight = (Int(middleY) + box.height / 4, Int(middleX) + box.width / 5)
        for row in highlight.0..<highlight.0 + 4 {
            for column in highlight.1..<highlight.1 + 6 { set(row, column, [255, 255, 255]) }
        }
    }

    mutating func fill(_ box: PixelBox, _ colour: [Float]) {
        for row in box.y0..<box.y1 { for column in box.x0..<box.x1 { set(row, column, colour) } }
    }

    /// Lines of strokes two pixels wide, like letters.
    mutating func drawText(_ box: PixelBox) {
        for row in box.y0..<box.y1 where (row - box.y0) % 12 < 8 {
            for column in box.x0..<box.x1 where (column - box.x0) % 6 < 2 { set(row, column, [240, 240, 240]) }
        }
    }

    var frame: Frame { Frame(rows: rows, columns: columns, channels: 3, samples: samples) }
}

extension Double {
    /// The sine, by a polynomial that is the same on every machine.
    fileprivate var sineWave: Double {
        let turn = self / (2 * .pi)
        let x = 2 * (turn - turn.rounded())
        return 4 * x * (1 - abs(x))
    }
}

@Suite struct EndoscopicFieldTests {
    static let shown = PixelBox(x0: 190, y0: 25, x1: 510, y1: 290)

    private func near(_ found: PixelBox, _ expected: PixelBox, within limit: Int) -> Bool {
        [
            found.x0 - expected.x0, found.y0 - expected.y0, found.x1 - expected.x1, found.y1 - expected.y1,
        ].allSatisfy { abs($0) <= limit }
    }

    @Test(arguments: DrawnCapture.Outline.allCases, [0, 17, 30] as [Float])
    func `border, text and a second picture are left out`(outline: DrawnCapture.Outline, border: Float) {
        var capture = DrawnCapture(rows: 320, columns: 560, border: border)
        capture.drawTissue(Self.shown, outline)
        capture.drawText(PixelBox(x0: 10, y0: 20, x1: 110, y1: 120))
        capture.drawTissue(PixelBox(x0: 20, y0: 210, x1: 130, y1: 300), .rectangle)
        let frame = capture.frame
        let field = EndoscopicField(of: frame)
        // The first rows of a circle are shorter than a cell.
        #expect(near(field.box, Self.shown, within: outline == .circle ? 3 : 1), "\(field.box)")
        let inside = field.placed([UInt8](repeating: 1, count: field.box.width * field.box.height))
        for (row, column) in [(24, 12), (260, 60), (5, 300), (160, 540)] { #expect(inside[row * 560 + column] == 0) }
        // The dark lumen and the highlight belong to the picture.
        for (row, column) in [(185, 365), (157, 350), (225, 415)] { #expect(inside[row * 560 + column] == 1) }
        let picture = field.picture(of: frame)
        #expect(picture.rows == field.box.height && picture.columns == field.box.width)
        if outline == .octagon { #expect(picture.samples.prefix(3).elementsEqual([0, 0, 0])) }
        let middle = (160 * 560 + 350) * 3
        let place = ((160 - field.box.y0) * picture.columns + 350 - field.box.x0) * 3
        #expect(picture.samples[place] == frame.samples[middle])
    }

    @Test func `the drawing of the endoscope's position is left out where it covers the picture`() {
        var capture = DrawnCapture(rows: 320, columns: 560, border: 0)
        capture.drawTissue(Self.shown, .octagon)
        let drawing = PixelBox(x0: 110, y0: 200, x1: 230, y1: 300)
        capture.fill(drawing, [20, 170, 140])
        let field = EndoscopicField(of: capture.frame)
        #expect(near(field.box, Self.shown, within: 1), "\(field.box)")
        let inside = field.placed([UInt8](repeating: 1, count: field.box.width * field.box.height))
        #expect(inside[280 * 560 + 200] == 0 && inside[220 * 560 + 225] == 0)
        #expect(inside[220 * 560 + 250] == 1)
    }

    @Test func `blue dye belongs to the picture`() {
        var capture = DrawnCapture(rows: 320, columns: 560, border: 0)
        capture.drawTissue(Self.shown, .rectangle)
        for row in 120..<200 {
            for column in 200..<330 where (row - 160) * (row - 160) + (column - 260) * (column - 260) < 1500 {
                capture.set(row, column, [90, 130 + Float(row % 40), 170 + Float(column % 40)])
            }
        }
        let field = EndoscopicField(of: capture.frame)
        let inside = field.placed([UInt8](repeating: 1, count: field.box.width * field.box.height))
        #expect(inside[160 * 560 + 260] == 1)
    }

    @Test func `a small picture in a large capture is found`() {
        let small = PixelBox(x0: 380, y0: 80, x1: 520, y1: 220)
        var capture = DrawnCapture(rows: 320, columns: 560, border: 0)
        capture.drawTissue(small, .rectangle)
        #expect(near(EndoscopicField(of: capture.frame).box, small, within: 1))
    }

    @Test func `a frame without a border is its own field`() {
        var capture = DrawnCapture(rows: 200, columns: 240, border: 0)
        capture.drawTissue(PixelBox(x0: 0, y0: 0, x1: 240, y1: 200), .rectangle)
        #expect(EndoscopicField(of: capture.frame).isWhole)
        for (rows, columns) in [(1, 1), (2, 300), (64, 64)] {
            for value in [0, 128] as [Float] {
                let frame = Frame(
                    rows: rows, columns: columns, channels: 1,
                    samples: [Float](repeating: value, count: rows * columns))
                #expect(EndoscopicField(of: frame).isWhole)
            }
        }
    }

    @Test(arguments: [1.0, 257.0, 1 / 255.0] as [Float])
    func `values of another range have the same field`(scale: Float) {
        var capture = DrawnCapture(rows: 320, columns: 560, border: 17)
        capture.drawTissue(Self.shown, .octagon)
        capture.samples = capture.samples.map { $0 * scale }
        let field = EndoscopicField(of: capture.frame)
        // Values of 0...1 are dark in 0...255.
        #expect(scale < 1 ? field.isWhole : near(field.box, Self.shown, within: 1))
    }
}

extension SegmentationSuites {
    /// Drawn frames inside the borders of captures.
    @Suite struct BorderedFramesTests {
        /// A drawn frame of the references, alone and inside a border with text, and the place inside.
        private func frames(_ index: Int) throws -> (alone: Frame, bordered: Frame, x: Int, y: Int) {
            let input = try Reference.open("polyp-compact").0.tensor("\(index).input")
            let (rows, columns) = (input.shape[0], input.shape[1])
            let (x, y) = (columns * 2 / 3, rows / 8)
            var capture = DrawnCapture(rows: rows + 2 * y, columns: columns * 2, border: 0)
            for row in 0..<rows {
                for column in 0..<columns {
                    let place = (row * columns + column) * 3
                    capture.set(row + y, column + x, Array(input.values[place..<place + 3]))
                }
            }
            capture.drawText(PixelBox(x0: 4, y0: y, x1: x - 8, y1: y + 40))
            let alone = Frame(rows: rows, columns: columns, channels: 3, samples: input.values)
            return (alone, capture.frame, x, y)
        }

        private func part(_ mask: Mask, _ x: Int, _ y: Int, like other: Mask) -> Mask {
            var pixels: [UInt8] = []
            for row in 0..<other.rows {
                let start = (row + y) * mask.columns + x
                pixels += mask.pixels[start..<start + other.columns]
            }
            return Mask(rows: other.rows, columns: other.columns, pixels: pixels)
        }

        @Test(arguments: ["polyp-compact", "medsam-compact-box", "sam-auto", "lite-medsam-box"], [0, 1])
        func `a border with text does not change an answer`(name: String, index: Int) throws {
            let segmenter = try DrawnModels.segmenter(name)
            let (alone, bordered, x, y) = try frames(index)
            let result = try segmenter.segment(.frames([alone, bordered])) { _, _ in }
            let inside = part(result.masks[1], x, y, like: result.masks[0])
            #expect(Dice.score(inside, result.masks[0]) >= 0.97)
            #expect(inside.area == result.masks[1].area)
            #expect(abs(result.frameConfidence[0].value - result.frameConfidence[1].value) < 0.03)
            #expect(result.probabilities[1].count == bordered.rows * bordered.columns)
        }

        @Test(arguments: [true, false])
        func `a person's prompt is meant in pixels of the frame`(isPoint: Bool) throws {
            let segmenter = try DrawnModels.segmenter("medsam-compact-box")
            let (alone, bordered, x, y) = try frames(0)
            func options(x: Double, y: Double) -> SegmenterOptions {
                isPoint
                    ? SegmenterOptions(points: [LabeledPoint(x: 50 + x, y: 45 + y, isForeground: true)])
                    : SegmenterOptions(box: Box(x0: 30 + x, y0: 25 + y, x1: 75 + x, y1: 70 + y))
            }
            func answer(_ frame: Frame, _ options: SegmenterOptions) throws -> Mask {
                try segmenter.segment(.frames([frame]), options: options, trace: nil) { _, _ in }.masks[0]
            }
            let found = try answer(alone, options(x: 0, y: 0))
            let moved = try answer(bordered, options(x: Double(x), y: Double(y)))
            #expect(!found.isEmpty)
            #expect(Dice.score(part(moved, x, y, like: found), found) >= 0.97)
            // A prompt beside the picture is answered, too: the person means the frame.
            let beside = SegmenterOptions(box: Box(x0: 1, y0: 1, x1: 12, y1: 12))
            #expect(try answer(bordered, beside).rows == bordered.rows)
        }
    }
}
