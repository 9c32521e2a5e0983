// SPDX-License-Identifier: Apache-2.0

import Imaging
import Segmentation
import Testing

@Suite struct FrameLikenessTests {
    private let known = FrameLikeness(redness: (0.5, 0.1), yellowness: (0.25, 0.1))

    private func pixels(_ colour: [Float]) -> [Float] { (0..<100).flatMap { _ in colour } }

    @Test func `the likeness falls with the distance of the colours`() {
        // log(203 / 123) = 0.501 and log(123 / 95.8) = 0.25.
        #expect(abs(known.value(pixels([195, 115, 88])) - 1) < 0.01)
        let values = [known.value(pixels([195, 115, 88])), known.value(pixels([195, 130, 100]))]
        #expect(values[1] < values[0] && values[1] > 0.3)
        // Exchanged and inverted colours.
        for colour in [[115, 195, 88], [88, 115, 195], [60, 140, 167]] as [[Float]] {
            #expect(known.value(pixels(colour)) < 0.0005)
        }
    }

    @Test func `grey and dark frames are not like any other`() {
        #expect(known.value(pixels([120, 120, 120])) == 0)
        #expect(known.value(pixels([12, 8, 6])) == 0)
        // Dark pixels around lit ones do not count.
        let some = pixels([195, 115, 88]) + pixels([3, 4, 5])
        #expect(known.value(some) == known.value(pixels([195, 115, 88])))
    }
}

extension SegmentationSuites {
    /// Frames that are not from a colonoscopy.
    @Suite struct UnlikeFramesTests {
        @Test func `frames without the colours of a colonoscopy are doubted, and true ones are not`() throws {
            let segmenter = try Segmenters.make("polyp-compact")
            let input = try Reference.open("polyp-compact").0.tensor("0.input")
            let (rows, columns) = (input.shape[0], input.shape[1])
            func frame(_ colour: (Int, [Float]) -> Float) -> Frame {
                let samples = (0..<rows * columns).flatMap { pixel in
                    let values = Array(input.values[pixel * 3..<pixel * 3 + 3])
                    return (0..<3).map { colour($0, values) }
                }
                return Frame(rows: rows, columns: columns, channels: 3, samples: samples)
            }
            let frames = [
                frame { $1[$0] }, frame { 255 - $1[$0] }, frame { $1[[1, 0, 2][$0]] },
                frame { _, values in values.reduce(0, +) / 3 },
            ]
            let result = try segmenter.segment(.frames(frames)) { _, _ in }
            let values = result.frameConfidence.map(\.value)
            #expect(values[0] > 0.5 && values.dropFirst().allSatisfy { $0 <= 0.25 }, "\(values)")
            #expect(result.notes.contains("3 of 4 frames do not look like frames of a colonoscopy"))
        }
    }
}
