// SPDX-License-Identifier: Apache-2.0

/// How far a segmenter trusts one answer, 0...1, with the measures it was made of.
public struct Confidence: Sendable, Hashable, Codable {
    /// The number that routes and people compare, 0...1: the Dice that the answer is expected to reach, of an empty one the
    /// probability that nothing is there. Segmenters without a fit on unseen cases give a number of the same direction.
    public var value: Double
    /// The measures by name, each 0...1, such as `expectedDice` and `viewAgreement`.
    public var measures: [String: Double]

    public init(value: Double, measures: [String: Double]) {
        self.value = value
        self.measures = measures
    }
}
