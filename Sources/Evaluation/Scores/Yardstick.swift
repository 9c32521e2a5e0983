// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Imaging
internal import Segmentation

/// What another choice among the same masks would have scored, where a segmenter chooses by a rule: how much of an error is
/// the rule's and how much the network's.
public struct Yardstick: Sendable, Hashable, Codable {
    public enum Choice: String, Sendable, Hashable, Codable, CaseIterable {
        /// The mask with the best Dice, nothing where nothing is: an oracle, since no routine has the truth.
        case bestWithTruth
        /// The mask with most pixels: what needs no rule.
        case largest

        /// In words that follow the segmenter's name.
        public var title: String {
            switch self {
            case .bestWithTruth: "best mask chosen with the truth"
            case .largest: "largest mask"
            }
        }
    }

    public var choice: Choice
    public var scores: CaseScores

    public init(choice: Choice, scores: CaseScores) {
        self.choice = choice
        self.scores = scores
    }

    /// - Parameter path: of the masks that the segmenter chose from, as a worker writes them.
    /// - Throws: `EvaluationError.unreadable`.
    static func all(path: String, truth: Mask) throws(EvaluationError) -> [Yardstick] {
        guard let json = FileManager.default.contents(atPath: path),
            let candidates = CandidateMasks(json: json, rows: truth.rows, columns: truth.columns)
        else { throw .unreadable(path: path, reason: "it does not hold the masks of the frame") }
        return Choice.allCases.map { choice in
            let answer =
                switch choice {
                case .bestWithTruth: candidates.best(with: truth)
                case .largest: candidates.largest(rows: truth.rows, columns: truth.columns)
                }
            return Yardstick(choice: choice, scores: CaseScores(answer: answer, truth: truth))
        }
    }
}

/// A yardstick over all cases.
public struct YardstickSummary: Sendable, Hashable, Codable {
    public var choice: Yardstick.Choice
    public var dice: Estimate
    public var iou: Estimate
    /// Cases in which nothing is and that it marks all the same.
    public var emptyMarked: Int

    init?(_ choice: Yardstick.Choice, _ results: [CaseResult], resampling: Resampling) {
        let own = results.compactMap { $0.yardsticks?.first { $0.choice == choice }?.scores }
        guard let dice = Estimate(own.map(\.dice), resampling: resampling),
            let iou = Estimate(own.map(\.iou), resampling: resampling)
        else { return nil }
        (self.choice, self.dice, self.iou) = (choice, dice, iou)
        emptyMarked = own.count { $0.truthIsEmpty && !$0.answerIsEmpty }
    }
}
