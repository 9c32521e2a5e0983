// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The six scores of the polyp field for one frame, without Dice and IoU, which `Overlap` has.
public struct FrameScores: Sendable, Hashable, Codable {
    /// Weighted F-measure, Margolin 2014.
    public var weightedF: Double
    /// Structure measure, Fan 2017.
    public var structure: Double
    /// Enhanced-alignment measure, Fan 2018, of the answer where it is at least one half.
    public var enhancedAlignment: Double
    /// The mean and the largest of the same over the thresholds 0, 1/255, ... 1, as PraNet's evaluation takes them. The
    /// threshold 0 makes an answer that fills the frame.
    public var meanEnhancedAlignment: Double
    public var largestEnhancedAlignment: Double
    /// Mean absolute error of the map.
    public var meanAbsoluteError: Double

    /// Of a map of foreground values; a binary answer is a map of zeros and ones.
    ///
    /// Like PraNet's evaluation this stretches the map to 0...1 first, unless all its values are one. Empty truth with an
    /// answer in which no pixel reaches one half scores as perfect.
    ///
    /// - Parameter map: `[rows, columns]` of the truth, 0...1.
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

    public init(answer: Mask, truth: Mask) { self.init(map: answer.pixels.map(Double.init), truth: truth) }
}

/// What one case scored: of a frame, or of a volume taken as one.
public struct CaseScores: Sendable, Hashable, Codable {
    public var dice: Double
    public var iou: Double
    public var precision: Double
    public var recall: Double
    /// Nothing is there: no polyp in the frame.
    public var truthIsEmpty: Bool
    /// Nothing was found.
    public var answerIsEmpty: Bool
    /// For frames.
    public var frame: FrameScores?
    /// For volumes; `nil` also when only one of truth and answer is empty.
    public var surface: SurfaceDistances?

    private init(_ overlap: Overlap) {
        dice = overlap.dice
        iou = overlap.iou
        precision = overlap.precision
        recall = overlap.recall
        truthIsEmpty = overlap.truePositives + overlap.falseNegatives == 0
        answerIsEmpty = overlap.truePositives + overlap.falsePositives == 0
    }

    /// - Parameter answer: of the truth's size.
    public init(answer: Mask, truth: Mask) {
        self.init(Overlap(answer: answer, truth: truth))
        frame = FrameScores(answer: answer, truth: truth)
    }

    /// - Parameters:
    ///   - answer: one mask a slice, in the order of the positions.
    ///   - spacing: of slices, rows and columns, mm.
    public init(answer: [Mask], truth: [Mask], spacing: [Double]) {
        precondition(answer.count == truth.count && !truth.isEmpty, "every slice has its truth")
        let (found, wanted) = (answer.flatMap(\.pixels), truth.flatMap(\.pixels))
        self.init(Overlap(answer: found, truth: wanted))
        surface = SurfaceDistances(
            answer: found, truth: wanted, shape: [truth.count, truth[0].rows, truth[0].columns], spacing: spacing)
    }
}
