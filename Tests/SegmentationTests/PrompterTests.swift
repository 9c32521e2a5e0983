// SPDX-License-Identifier: Apache-2.0

import Imaging
import Inference
import Segmentation
import Testing

/// The sources of prompts, without a network.
@Suite struct PrompterTests {
    private func pixels(_ picture: [String]) -> [UInt8] { picture.flatMap { $0.map { $0 == "#" ? 1 : 0 } } }

    @Test func `the box of a mask reaches to the outermost pixels, also around a single pixel`() {
        let mask = pixels(["......", "..#...", ".###..", "......"])
        #expect(MaskPrompter.box(mask, columns: 6) == Box(x0: 1, y0: 1, x1: 3, y1: 2))
        #expect(MaskPrompter.box([0, 1, 0, 0], columns: 2) == Box(x0: 1, y0: 0, x1: 1, y1: 0))
        #expect(MaskPrompter.box([0, 0, 0, 0], columns: 2) == nil)
    }

    @Test func `the innermost pixel is farthest from the outside and from the image's edge`() {
        #expect(
            MaskPrompter.innermost(pixels(["#####", "#####", "#####", ".....", "....."]), columns: 5)
                == LabeledPoint(x: 1, y: 1, isForeground: true))
        let bulb = pixels([".....##", "#####..", "..#####", "..#####", "..#####", "..#####"])
        #expect(MaskPrompter.innermost(bulb, columns: 7) == LabeledPoint(x: 4, y: 3, isForeground: true))
        #expect(MaskPrompter.innermost([1], columns: 1) == LabeledPoint(x: 0, y: 0, isForeground: true))
        #expect(MaskPrompter.innermost([0, 0], columns: 1) == nil)
    }

    @Test func `every object that is not negligible becomes a prompt, the largest first`() {
        var mask = [UInt8](repeating: 0, count: 20 * 20)
        for index in 0..<60 { mask[index] = 1 }
        for index in 100..<120 { mask[index] = 1 }
        mask[399] = 1
        let objects = MaskPrompter.objects(Mask(rows: 20, columns: 20, pixels: mask))
        #expect(objects.map { $0.reduce(0) { $0 + Int($1) } } == [60, 20])
    }

    @Test func `a slice between boxes takes the nearest one, and slices beyond them stay without a box`() {
        let (a, b) = (PromptBox(x0: 0, y0: 0, x1: 1, y1: 1), PromptBox(x0: 5, y0: 5, x1: 9, y1: 9))
        #expect(BoxWalk.filled([nil, a, nil, nil, nil, b, nil]) == [nil, a, a, a, b, b, nil])
        #expect(BoxWalk.filled([nil, nil]) == [nil, nil])
    }

    /// Walks with boxes that carry the number of their slice.
    ///
    /// Masks are empty in the slices `empty`.
    private func walk(_ slices: Int, from key: Int, empty: Set<Int>) -> [(slice: Int, asked: Int)] {
        func box(_ slice: Int) -> PromptBox { PromptBox(x0: Float(slice), y0: 0, x1: 1, y1: 1) }
        var asked = [(Int, Int)]()
        BoxWalk.walk(slices: slices, from: key, box: box(-1)) { slice, box in
            asked.append((slice, Int(box.x0)))
            return empty.contains(slice) ? nil : slice
        } next: {
            $0.map(box)
        }
        return asked
    }

    @Test func `a walk reaches both ends, and every slice gets the box of the slice before`() {
        let asked = walk(6, from: 2, empty: [])
        #expect(asked.map(\.slice) == [2, 3, 4, 5, 1, 0])
        #expect(asked.map(\.asked) == [-1, 2, 3, 4, 2, 1])
    }

    @Test func `after an empty mask the first box is tried in three consecutive slices, and then the walk stops`() {
        let asked = walk(12, from: 0, empty: [3, 4, 5, 6, 7, 8])
        #expect(asked.map(\.slice) == [0, 1, 2, 3, 4, 5, 6])
        #expect(asked.map(\.asked) == [-1, 0, 1, 2, -1, -1, -1])
        #expect(walk(12, from: 0, empty: [3, 4, 5]).map(\.asked) == [-1, 0, 1, 2, -1, -1, -1, 6, 7, 8, 9, 10])
        #expect(walk(9, from: 4, empty: [4]).map(\.asked) == [-1, -1, 5, 6, 7, -1, 3, 2, 1])
    }

    @Test func `boxes lie in the input as each reference puts them`() {
        let box = Box(x0: 10, y0: 5, x1: 33, y1: 20)
        let sam = InputGrid(rows: 30, columns: 50, family: .sam, size: 100)
        #expect(sam.input(box) == PromptBox(x0: 20, y0: 10, x1: 66, y1: 40))
        let medsam = InputGrid(rows: 30, columns: 50, family: .medsam, size: 300)
        #expect(medsam.input(box) == PromptBox(x0: 60, y0: 50, x1: 198, y1: 200))
        let lite = InputGrid(rows: 30, columns: 70, family: .liteMedSAM, size: 64)
        #expect(lite.input(box) == PromptBox(x0: 9, y0: 4, x1: 30, y1: 18))
    }

    @Test func `a widened box stays in the image, not in its padding`() {
        let grid = InputGrid(rows: 30, columns: 50, family: .sam, size: 100)
        let box = PromptBox(x0: 2, y0: 40, x1: 95, y1: 58)
        #expect(grid.widened(box, by: 8) == PromptBox(x0: 0, y0: 32, x1: 100, y1: 60))
        #expect(grid.widened(box, by: -10) == PromptBox(x0: 12, y0: 49, x1: 85, y1: 49))
    }

    @Test func `stability and agreement are those of the logits without the padding`() throws {
        let grid = InputGrid(rows: 2, columns: 4, family: .sam, size: 4)
        func answer(_ rows: [Float]) -> PromptAnswer {
            PromptAnswer(
                logits: Tensor(shape: [1, 4, 4], values: rows + [9, 9, 9, 9, 9, 9, 9, 9]), predictedIoU: [1.2])
        }
        let first = answer([2, 2, 0.5, -3, 2, -0.5, -3, -3])
        let moved = answer([2, 2, -0.5, -3, 2, -0.5, -3, -3])
        let measures = PromptConfidence.measures([first, moved, first], mask: 0, on: grid, predictedIoU: true)
        #expect(measures["stabilityScore"] == 3.0 / 5)
        // The first mask has four pixels, and the moved one three.
        let agreement: Double = (6.0 / 7 + 1) / 2
        let found = try #require(measures["jitterAgreement"])
        #expect(abs(found - agreement) < 1e-12)
        #expect(measures["predictedIoU"] == 1)
        let nothing = PromptConfidence.measures(
            [answer([-3, -3, -3, -3, -3, -3, -3, -3])], mask: 0, on: grid, predictedIoU: false)
        #expect(nothing == ["stabilityScore": 0])
        let confidence = PromptConfidence.confidence(["a": 0.25, "b": 1], prompter: 0.5)
        #expect(confidence.value == 0.5 && confidence.measures["prompterConfidence"] == 0.5)
    }

    @Test func `a prompt is moved in four ways that are always the same`() {
        let grid = InputGrid(rows: 100, columns: 100, family: .sam, size: 100)
        let box = PromptBox(x0: 20, y0: 20, x1: 60, y1: 28)
        let moved = PromptConfidence.moved(Prompt(box: box), by: 4, on: grid)
        #expect(
            moved.map(\.box) == [
                PromptBox(x0: 16, y0: 18, x1: 64, y1: 30), PromptBox(x0: 24, y0: 22, x1: 56, y1: 26),
                PromptBox(x0: 24, y0: 22, x1: 64, y1: 30), PromptBox(x0: 16, y0: 22, x1: 56, y1: 30),
            ])
        let points = PromptConfidence.moved(Prompt(points: [PromptPoint(x: 1, y: 50)]), by: 4, on: grid)
        #expect(points.map { $0.points[0].x } == [5, 0, 1, 1])
        #expect(PromptConfidence.moved(Prompt(box: box), by: 0, on: grid).isEmpty)
    }

    @Test func `objects that are too small are removed with their probabilities`() {
        var answer = ImageAnswer(rows: 2, columns: 5)
        answer.mask = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
        answer.probabilities = answer.mask.map { Float($0) * 0.9 }
        #expect(answer.dropObjects(below: 3, slices: 1, rows: 2, columns: 5) == 1)
        #expect(answer.mask == [1, 1, 0, 0, 0, 1, 0, 0, 0, 0] && answer.probabilities[4] == 0)
    }
}
