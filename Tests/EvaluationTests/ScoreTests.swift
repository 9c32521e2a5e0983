// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Imaging
import Testing

@Suite struct ScoreTests {
    /// Both sides compute in double precision; only the order of sums differs.
    static let tolerance = 1e-9

    @Test(arguments: Golden.scores.frames)
    func `the six scores of a frame equal those of the publications`(_ golden: Golden.Scores.Frame) throws {
        let truth = Mask(
            rows: golden.rows, columns: golden.columns,
            pixels: Golden.bits(golden.truth, count: golden.rows * golden.columns))
        let scores = FrameScores(map: Golden.bytes(golden.map).map { Double($0) / 255 }, truth: truth)
        for (name, found) in [
            "weightedF": scores.weightedF, "structure": scores.structure,
            "enhancedAlignment": scores.enhancedAlignment,
            "meanEnhancedAlignment": scores.meanEnhancedAlignment,
            "largestEnhancedAlignment": scores.largestEnhancedAlignment,
            "meanAbsoluteError": scores.meanAbsoluteError,
        ] {
            let expected = try #require(golden.scores[name])
            #expect(abs(found - expected) < Self.tolerance, "\(golden.name): \(name) \(found), not \(expected)")
        }
    }

    @Test(arguments: Golden.scores.volumes)
    func `distances between surfaces equal those of medpy`(_ golden: Golden.Scores.Volume) throws {
        let count = golden.shape.reduce(1, *)
        let found = try #require(
            SurfaceDistances(
                answer: Golden.bits(golden.answer, count: count), truth: Golden.bits(golden.truth, count: count),
                shape: golden.shape, spacing: golden.spacing))
        #expect(abs(found.hausdorff95 - golden.hausdorff95) < Self.tolerance)
        #expect(abs(found.average - golden.average) < Self.tolerance)
        #expect(abs(found.symmetricAverage - golden.symmetricAverage) < Self.tolerance)
    }

    @Test func `every pair of masks of 2 x 3 pixels has the overlap that counting gives`() {
        for a in 0..<64 {
            for b in 0..<64 {
                let (answer, truth) = (Self.mask(a), Self.mask(b))
                let scores = CaseScores(answer: answer, truth: truth)
                let (both, either) = ((a & b).nonzeroBitCount, (a | b).nonzeroBitCount)
                let (found, wanted) = (a.nonzeroBitCount, b.nonzeroBitCount)
                func share(_ part: Int, _ whole: Int) -> Double {
                    either == 0 ? 1 : whole == 0 ? 0 : Double(part) / Double(whole)
                }
                #expect(scores.dice == share(2 * both, found + wanted))
                #expect(scores.iou == share(both, either))
                #expect(scores.precision == share(both, found))
                #expect(scores.recall == share(both, wanted))
                #expect(scores.dice == Dice.score(answer, truth))
                #expect(scores.answerIsEmpty == (a == 0) && scores.truthIsEmpty == (b == 0))
            }
        }
    }

    static func mask(_ bits: Int) -> Mask {
        Mask(rows: 2, columns: 3, pixels: (0..<6).map { UInt8(bits >> $0 & 1) })
    }

    @Test func `empty truth and empty answer score as perfect`() {
        let empty = Mask(rows: 4, columns: 5)
        let frame = CaseScores(answer: empty, truth: empty)
        #expect([frame.dice, frame.iou, frame.precision, frame.recall] == [1, 1, 1, 1])
        #expect(frame.frame?.weightedF == 1 && frame.frame?.structure == 1)
        #expect(frame.frame?.enhancedAlignment == 1 && frame.frame?.meanEnhancedAlignment == 1)
        #expect(frame.frame?.largestEnhancedAlignment == 1 && frame.frame?.meanAbsoluteError == 0)
        let volume = CaseScores(answer: [empty, empty], truth: [empty, empty], spacing: [1, 1, 1])
        #expect(volume.dice == 1)
        #expect(volume.surface?.hausdorff95 == 0 && volume.surface?.symmetricAverage == 0)
    }

    @Test func `a Dice of 0 has no surface distance if truth or answer is empty`() {
        let (empty, full) = (Mask(rows: 2, columns: 2), Mask(rows: 2, columns: 2, pixels: [1, 1, 1, 1]))
        for scores in [
            CaseScores(answer: [full], truth: [empty], spacing: [1, 1, 1]),
            CaseScores(answer: [empty], truth: [full], spacing: [1, 1, 1]),
        ] {
            #expect(scores.dice == 0 && scores.surface == nil)
        }
    }

    @Test func `distances are in mm of the spacing`() throws {
        var (answer, truth) = ([UInt8](repeating: 0, count: 60), [UInt8](repeating: 0, count: 60))
        answer[(1 * 4 + 1) * 5 + 1] = 1
        truth[(2 * 4 + 3) * 5 + 4] = 1
        let found = try #require(
            SurfaceDistances(answer: answer, truth: truth, shape: [3, 4, 5], spacing: [3, 2, 4]))
        let expected = (9.0 + 16 + 144).squareRoot()
        #expect(abs(found.average - expected) < 1e-12 && abs(found.hausdorff95 - expected) < 1e-12)
    }

    @Test func `a binary answer scores like a map of zeros and ones`() {
        let answer = Mask(rows: 3, columns: 4, pixels: [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0])
        let truth = Mask(rows: 3, columns: 4, pixels: [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0])
        let scores = FrameScores(answer: answer, truth: truth)
        #expect(scores == FrameScores(map: answer.pixels.map(Double.init), truth: truth))
        // Only the threshold 0 of the 256 gives another answer than the mask.
        let full = FrameScores(map: [Double](repeating: 1, count: 12), truth: truth)
        let mean = (255 * scores.enhancedAlignment + full.enhancedAlignment) / 256
        #expect(abs(scores.meanEnhancedAlignment - mean) < 1e-12)
    }
}
