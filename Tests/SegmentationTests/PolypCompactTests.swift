// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Segmentation
import Testing

extension SegmentationSuites {
    @Suite struct PolypCompactTests {
        @Test func `a frame of bytes gets the answer of the same frame of numbers`() throws {
            let (rows, columns) = (231, 317)
            // A bright disc on a darker, uneven ground.
            let bytes = (0..<rows * columns * 3).map { index -> UInt8 in
                let (row, column, channel) = (index / 3 / columns, index / 3 % columns, index % 3)
                let distance = hypot(Double(row - 120), Double(column - 170))
                let ground = 70 + 20 * sin(Double(row) / 30) + 20 * cos(Double(column) / 40)
                return UInt8((distance < 60 ? 150 : ground) * [1, 0.6, 0.5][channel])
            }
            let segmenter = try Segmenters.make("polyp-compact")
            let frames = [
                Frame(rows: rows, columns: columns, channels: 3, bytes: bytes),
                Frame(rows: rows, columns: columns, channels: 3, samples: bytes.map(Float.init)),
            ]
            let result = try segmenter.segment(.frames(frames)) { _, _ in }
            // The resized squares differ in their last bits, which may round to another bf16.
            let differences = zip(result.probabilities[0], result.probabilities[1]).map { abs($0 - $1) }
            #expect(differences.max() ?? 1 < 0.05)
            #expect(Dice.score(result.masks[0], result.masks[1]) > 0.99)
        }

        @Test func `frames one by one get the answers of all frames together`() throws {
            let segmenter = try #require(try Segmenters.make("polyp-compact") as? any FrameSegmenter)
            guard case .frames(let frames) = Inputs.make(for: .frames, Inputs.pattern) else { return }
            let all = try segmenter.segment(.frames(frames)) { _, _ in }
            let run = try segmenter.run(frames: 1, options: .none, trace: nil)
            let answers = try frames.map { try run.segment($0) }
            #expect(answers.map(\.mask) == all.masks && answers.map(\.confidence) == all.frameConfidence)
            #expect(run.summary().confidence == all.confidence && run.summary().notes == all.notes)
        }
    }
}
