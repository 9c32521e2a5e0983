// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The scores that publications on polyp segmentation report for one frame besides Dice and IoU.
public struct FrameScores: Sendable, Hashable, Codable {
    /// Weighted F-measure, Margolin 2014.
    public var weightedF: Double
    /// Structure measure, Fan 2017.
    public var structure: Double
    /// Enhanced-alignment measure, Fan 2018, of the answer thresholded at one half.
    public var enhancedAlignment: Double
    /// Mean enhanced-alignment measure over the 256 thresholds from 0 to 1 in steps of 1/255.
    ///
    /// PraNet's evaluation uses the same thresholds. At the threshold 0 the answer fills the frame.
    public var meanEnhancedAlignment: Double
    /// Largest enhanced-alignment measure over the same thresholds.
    public var largestEnhancedAlignment: Double
    /// Mean absolute error of the map.
    public var meanAbsoluteError: Double

    /// Scores a map of foreground values.
    ///
    /// A binary answer is a map of zeros and ones.
    ///
    /// As in PraNet's evaluation, the map is first stretched to 0...1, unless it is constant. If
    /// the truth is empty and every value of the map is below one half, all scores are perfect.
    ///
    /// - Parameters:
    ///   - map: 0...1, `[rows, columns]` of the truth.
    ///   - truth: the true mask.
    public init(map: [Double], truth: Mask) {
        precondition(map.count == truth.pixels.count, "the map has the truth's size")
        let (low, high) = (map.min() ?? 0, map.max() ?? 0)
        if truth.isEmpty, high < 0.5 {
            (weightedF, structure, enhancedAlignment) = (1, 1, 1)
            (meanEnhancedAlignment, largestEnhancedAlignment, meanAbsoluteError) = (1, 1, 0)
            return
        }
        let map = high > low ? map.map { ($0 - low) / (high - low) } : map
        let (rows, columns) = (truth.rows, truth.columns)
        weightedF = WeightedFMeasure.score(map, truth: truth.pixels, rows: rows, columns: columns)
        structure = StructureMeasure.score(map, truth: truth.pixels, rows: rows, columns: columns)
        let answer = map.map { $0 >= 0.5 ? UInt8(1) : 0 }
        enhancedAlignment = EnhancedAlignment.score(
            Overlap(answer: answer, truth: truth.pixels), pixels: truth.pixels.count)
        let curve = EnhancedAlignment.curve(map, truth: truth.pixels)
        meanEnhancedAlignment = curve.reduce(0, +) / Double(curve.count)
        largestEnhancedAlignment = curve.max() ?? 0
        let errors = zip(map, truth.pixels).reduce(0) { $0 + abs($1.0 - Double($1.1)) }
        meanAbsoluteError = errors / Double(map.count)
    }

    /// Scores a mask of the truth's size.
    public init(answer: Mask, truth: Mask) { self.init(map: answer.pixels.map(Double.init), truth: truth) }
}

/// The scores of one case: a frame, or a volume as a whole.
public struct CaseScores: Sendable, Hashable, Codable {
    /// Dice of answer and truth, 0...1.
    public var dice: Double
    /// Intersection over union, 0...1.
    public var iou: Double
    /// Fraction of the answer inside the truth, 0...1.
    public var precision: Double
    /// Fraction of the truth inside the answer, 0...1.
    public var recall: Double
    /// Whether the structure is absent, such as in a frame without a polyp.
    public var truthIsEmpty: Bool
    /// Whether the answer does not mark a single pixel.
    public var answerIsEmpty: Bool
    /// Scores of a frame; `nil` for a volume.
    public var frame: FrameScores?
    /// Distances in a volume; `nil` for a frame, and if only one of truth and answer is empty.
    public var surface: SurfaceDistances?

    private init(_ overlap: Overlap) {
        dice = overlap.dice
        iou = overlap.iou
        precision = overlap.precision
        recall = overlap.recall
        truthIsEmpty = overlap.truePositives + overlap.falseNegatives == 0
        answerIsEmpty = overlap.truePositives + overlap.falsePositives == 0
    }

    /// Scores a frame.
    ///
    /// - Parameters:
    ///   - answer: the mask to score, of the truth's size.
    ///   - truth: the true mask.
    public init(answer: Mask, truth: Mask) {
        self.init(Overlap(answer: answer, truth: truth))
        frame = FrameScores(answer: answer, truth: truth)
    }

    /// Scores a volume.
    ///
    /// - Parameters:
    ///   - answer: one mask per slice, in the order of the positions.
    ///   - truth: one mask per slice, in the same order.
    ///   - spacing: the spacing of slices, rows and columns, mm.
    public init(answer: [Mask], truth: [Mask], spacing: [Double]) {
        precondition(answer.count == truth.count && !truth.isEmpty, "every slice has a true mask")
        let (found, wanted) = (answer.flatMap(\.pixels), truth.flatMap(\.pixels))
        self.init(Overlap(answer: found, truth: wanted))
        surface = SurfaceDistances(
            answer: found, truth: wanted, shape: [truth.count, truth[0].rows, truth[0].columns], spacing: spacing)
    }
}

/// Counts of pixels or voxels by answer and truth.
///
/// Every score is 1 if truth and answer are both empty. Any other score with the denominator 0 is
/// 0, as in PraNet's evaluation.
public struct Overlap: Sendable, Hashable, Codable {
    /// Pixels in both answer and truth.
    public var truePositives: Int
    /// Pixels in the answer alone.
    public var falsePositives: Int
    /// Pixels in the truth alone.
    public var falseNegatives: Int

    /// Takes counts that are known already.
    public init(truePositives: Int, falsePositives: Int, falseNegatives: Int) {
        self.truePositives = truePositives
        self.falsePositives = falsePositives
        self.falseNegatives = falseNegatives
    }

    /// Counts the values of two masks.
    ///
    /// - Parameters:
    ///   - answer: 0 or 1, as many values as `truth`.
    ///   - truth: 0 or 1.
    public init(answer: [UInt8], truth: [UInt8]) {
        precondition(answer.count == truth.count, "answer and truth have the same size")
        var (both, found, wanted) = (0, 0, 0)
        answer.withUnsafeBufferPointer { answer in
            truth.withUnsafeBufferPointer { truth in
                for index in answer.indices {
                    both += Int(answer[index] & truth[index])
                    found += Int(answer[index])
                    wanted += Int(truth[index])
                }
            }
        }
        self.init(truePositives: both, falsePositives: found - both, falseNegatives: wanted - both)
    }

    /// Counts the pixels of two masks of the same size.
    public init(answer: Mask, truth: Mask) { self.init(answer: answer.pixels, truth: truth.pixels) }

    /// 2 TP / (2 TP + FP + FN), 0...1.
    public var dice: Double { share(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives) }
    /// TP / (TP + FP + FN), 0...1.
    public var iou: Double { share(truePositives, truePositives + falsePositives + falseNegatives) }
    /// TP / (TP + FP), 0...1.
    public var precision: Double { share(truePositives, truePositives + falsePositives) }
    /// TP / (TP + FN), 0...1.
    public var recall: Double { share(truePositives, truePositives + falseNegatives) }

    private func share(_ part: Int, _ whole: Int) -> Double {
        if truePositives + falsePositives + falseNegatives == 0 { return 1 }
        return whole == 0 ? 0 : Double(part) / Double(whole)
    }
}
