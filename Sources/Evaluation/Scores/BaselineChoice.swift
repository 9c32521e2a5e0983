// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging
internal import Segmentation

/// The score of another choice among the masks from which a segmenter chose by its rule.
///
/// The comparison shows which part of an error comes from the rule, and which from the network.
public struct BaselineChoice: Sendable, Hashable, Codable {
    /// The ways to choose a mask.
    public enum Method: String, Sendable, Hashable, Codable, CaseIterable {
        /// The mask with the best Dice, or an empty one if the truth is empty. Routine use lacks
        /// the truth.
        case bestWithTruth
        /// The mask with the most pixels, which does not need a rule.
        case largest

        /// The words that follow the segmenter's name in reports.
        public var title: String {
            switch self {
            case .bestWithTruth: "best mask, chosen with the truth"
            case .largest: "largest mask"
            }
        }
    }

    /// The way in which the mask was chosen.
    public var method: Method
    /// The scores of that mask.
    public var scores: CaseScores

    /// A choice with its scores.
    public init(method: Method, scores: CaseScores) {
        self.method = method
        self.scores = scores
    }

    /// Scores every choice among the candidate masks that a worker wrote to `path`.
    ///
    /// - Throws: `EvaluationError.unreadable`.
    static func all(path: String, truth: Mask) throws(EvaluationError) -> [BaselineChoice] {
        guard let json = FileManager.default.contents(atPath: path),
            let candidates = CandidateMasks(json: json, rows: truth.rows, columns: truth.columns)
        else { throw .unreadable(path: path, reason: "it does not hold the masks of the frame") }
        return Method.allCases.map { method in
            let answer =
                switch method {
                case .bestWithTruth: candidates.best(with: truth)
                case .largest: candidates.largest(rows: truth.rows, columns: truth.columns)
                }
            return BaselineChoice(method: method, scores: CaseScores(answer: answer, truth: truth))
        }
    }
}

/// The mean scores of one baseline choice over all cases.
public struct BaselineSummary: Sendable, Hashable, Codable {
    /// The way in which masks were chosen.
    public var method: BaselineChoice.Method
    /// Mean Dice.
    public var dice: Estimate
    /// Mean IoU.
    public var iou: Estimate
    /// The number of cases with an empty truth in which it marks something.
    public var emptyMarked: Int

    init?(_ method: BaselineChoice.Method, _ results: [CaseResult], resampling: Bootstrap) {
        let own = results.compactMap { $0.baselines?.first { $0.method == method }?.scores }
        guard let dice = Estimate(own.map(\.dice), resampling: resampling),
            let iou = Estimate(own.map(\.iou), resampling: resampling)
        else { return nil }
        (self.method, self.dice, self.iou) = (method, dice, iou)
        emptyMarked = own.count { $0.truthIsEmpty && !$0.answerIsEmpty }
    }
}
