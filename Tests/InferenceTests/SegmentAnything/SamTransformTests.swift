// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Testing

/// Compares the geometry of the recipes that keep the aspect ratio with segment-anything's.
///
/// The reference's numbers come from training/references/golden_transform.py.
@Suite struct SamTransformTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let size: [Int]
        let input: Int
        let low: Int
        let points: [[Double]]
        let boxes: [[Double]]
        /// `nil`, like the following members, if a side would vanish, because the reference then
        /// fails.
        let resized: [Int]?
        let inputPoints: [[Float]]?
        let inputBoxes: [[Float]]?
        /// Samples of the result: row, column and logit.
        let samples: [[Double]]?

        var testDescription: String { "\(size[0]) x \(size[1]) in \(input)" }
        var transform: SamTransform { SamTransform(height: size[0], width: size[1], inputSize: input) }

        /// The logits of the script.
        var logits: Tensor {
            let values = (0..<low * low).map { place in
                let (y, x) = (place / low, place % low)
                return Float((37 * x + 101 * y + x * y) % 513 - 256) / 32
            }
            return Tensor(shape: [1, low, low], values: values)
        }
    }

    static let cases: [Case] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = (try? Data(contentsOf: folder.appending(path: "Golden/transform.json"))) ?? Data()
        return (try? JSONDecoder().decode([Case].self, from: data)) ?? []
    }()
    static let answered = cases.filter { $0.resized != nil }

    @Test func `the reference answers most of many sizes`() {
        #expect(Self.cases.count == 39 && Self.answered.count == 30)
    }

    @Test(arguments: answered) func `the image is resized to the reference's size`(example: Case) {
        #expect([example.transform.resizedHeight, example.transform.resizedWidth] == example.resized)
    }

    @Test(arguments: answered) func `points and boxes are the reference's, bit for bit`(example: Case) {
        let transform = example.transform
        let points = example.points.map { point -> [Float] in
            let (x, y) = transform.input(x: point[0], y: point[1])
            return [x, y]
        }
        #expect(points == example.inputPoints)
        let boxes = example.boxes.map { box -> [Float] in
            let (first, last) = (transform.input(x: box[0], y: box[1]), transform.input(x: box[2], y: box[3]))
            return [first.x, first.y, last.x, last.y]
        }
        #expect(boxes == example.inputBoxes)
    }

    @Test(arguments: answered) func `logits come back to the image's size as the reference's`(example: Case) throws {
        let logits = example.transform.imageLogits(example.logits)
        #expect(logits.shape == [1] + example.size)
        let answer = PromptAnswer(logits: example.logits, predictedIoU: [0])
        #expect(example.transform.imageLogits(answer, mask: 0) == logits.values)
        for sample in try #require(example.samples) {
            let found = logits.values[Int(sample[0]) * example.size[1] + Int(sample[1])]
            // Logits reach from -8 to 8. Two interpolations are one here, with another order of
            // additions.
            #expect(abs(found - Float(sample[2])) < 2e-5, "\(sample)")
        }
    }

    @Test func `a side that would vanish keeps a pixel`() {
        for example in Self.cases where example.resized == nil {
            let transform = example.transform
            #expect(min(transform.resizedHeight, transform.resizedWidth) == 1)
            #expect(max(transform.resizedHeight, transform.resizedWidth) == example.input)
            #expect(transform.imageLogits(example.logits).values.allSatisfy { (-8...8).contains($0) })
        }
    }
}
