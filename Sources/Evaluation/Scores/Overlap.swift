// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// Pixels or voxels counted by what the answer and the truth say of them.
///
/// Empty truth and empty answer score 1 in every share; a share whose denominator is 0 otherwise is 0, as in PraNet's
/// evaluation.
public struct Overlap: Sendable, Hashable, Codable {
    public var truePositives: Int
    public var falsePositives: Int
    public var falseNegatives: Int

    public init(truePositives: Int, falsePositives: Int, falseNegatives: Int) {
        self.truePositives = truePositives
        self.falsePositives = falsePositives
        self.falseNegatives = falseNegatives
    }

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

    public init(answer: Mask, truth: Mask) { self.init(answer: answer.pixels, truth: truth.pixels) }

    public var dice: Double { share(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives) }
    public var iou: Double { share(truePositives, truePositives + falsePositives + falseNegatives) }
    public var precision: Double { share(truePositives, truePositives + falsePositives) }
    public var recall: Double { share(truePositives, truePositives + falseNegatives) }

    private func share(_ part: Int, _ whole: Int) -> Double {
        if truePositives + falsePositives + falseNegatives == 0 { return 1 }
        return whole == 0 ? 0 : Double(part) / Double(whole)
    }
}
