// SPDX-License-Identifier: Apache-2.0
//
// What an answer says about itself without the truth, as training/recipes/confidence.py defines it. Measures are
// taken where the network works, on its grid, so that they do not depend on the resolution of what is segmented.

internal import Foundation
internal import Imaging

/// The measures of an answer that is the mean of several views (flips, shifts), each 0...1.
package struct AnswerMeasures: Sendable, Equatable {
    /// 2 sum(p inside the mask) / (sum p + size of the mask), p the mean probability.
    package var expectedDice: Double
    /// Mean Dice of the mask with the masks of the single views.
    package var viewAgreement: Double
    /// 1 - the mean binary entropy, in bits, of p in the band along the mask's boundary; 0 where there is no boundary.
    package var boundaryCertainty: Double
    /// Mean of p inside the mask; 0 without a mask.
    package var meanForegroundProbability: Double
    /// Of something to find, by a presence head.
    package var presence: Double?
    /// Of a volume to those of the training (`VolumeLikeness`).
    package var likeness: Double?
    /// 1 - the presence, and 1 - the largest p where there is no presence head.
    package var absence: Double

    /// - Parameters:
    ///   - shape: of the grid, [rows, columns] or [slices, rows, columns].
    ///   - probability: mean of the views, before the presence.
    ///   - mask: 0 or 1, made from `probability`.
    ///   - views: masks of the single views, at least one.
    ///   - presence: where the network has a presence head.
    ///   - likeness: where it was measured.
    package init(
        shape: [Int], probability: [Float], mask: [UInt8], views: [[UInt8]], presence: Double? = nil,
        likeness: Double? = nil
    ) {
        precondition(probability.count == mask.count && mask.count == shape.reduce(1, *), "values for every point")
        var (sum, inside, count) = (0.0, 0.0, 0)
        var largest: Float = 0
        for (value, isInside) in zip(probability, mask) {
            sum += Double(value)
            largest = max(largest, value)
            if isInside != 0 {
                inside += Double(value)
                count += 1
            }
        }
        expectedDice = min(1, 2 * inside / max(sum + Double(count), 1e-9))
        meanForegroundProbability = count > 0 ? min(1, inside / Double(count)) : 0
        viewAgreement = views.reduce(0) { $0 + Dice.score(mask, $1) } / Double(views.count)
        boundaryCertainty = Self.boundaryCertainty(shape, probability, mask)
        self.presence = presence
        self.likeness = likeness
        absence = 1 - (presence ?? Double(min(largest, 1)))
    }

    /// Measures that a confidence may be fitted to, and that are reported beside it.
    static let names = [
        "expectedDice", "viewAgreement", "boundaryCertainty", "meanForegroundProbability", "presence", "likeness",
    ]

    /// Those that there are, by name.
    package var named: [String: Double] {
        let values = [
            expectedDice, viewAgreement, boundaryCertainty, meanForegroundProbability, presence, likeness,
        ]
        return Dictionary(
            uniqueKeysWithValues: zip(Self.names, values).compactMap { name, value in
                value.map { (name, $0) }
            })
    }

    private static func boundaryCertainty(_ shape: [Int], _ probability: [Float], _ mask: [UInt8]) -> Double {
        let reach = shape.count == 2 ? 2 : 1
        let mostly = spread(mask, shape, by: reach)
        let otherwise = spread(mask.map { 1 - $0 }, shape, by: reach)
        var (entropy, count) = (0.0, 0)
        for index in mask.indices where mostly[index] & otherwise[index] != 0 {
            let p = min(max(Double(probability[index]), 1e-7), 1 - 1e-7)
            entropy -= p * log2(p) + (1 - p) * log2(1 - p)
            count += 1
        }
        return count > 0 ? min(max(1 - entropy / Double(count), 0), 1) : 0
    }

    /// Sets what lies within `reach` of a set point along every axis: a dilation with a square or cube.
    private static func spread(_ values: [UInt8], _ shape: [Int], by reach: Int) -> [UInt8] {
        var values = values
        var inner = 1
        for extent in shape.reversed() {
            let before = values
            for start in stride(from: 0, to: values.count, by: extent * inner) {
                for place in 0..<extent {
                    for other in max(0, place - reach)...min(extent - 1, place + reach) where other != place {
                        for index in 0..<inner {
                            values[start + place * inner + index] |= before[start + other * inner + index]
                        }
                    }
                }
            }
            inner *= extent
        }
        return values
    }
}
