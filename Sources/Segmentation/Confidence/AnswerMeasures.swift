// SPDX-License-Identifier: Apache-2.0
//
// Measures of an answer that do not need the truth, as training/recipes/confidence.py and
// likeness.py define them. They are taken on the network's grid, so that they do not depend on the
// resolution of the image.

internal import Foundation
internal import Imaging

/// Measures of an answer that is the mean of several views (flips, shifts), each 0...1.
package struct AnswerMeasures: Sendable, Equatable {
    /// 2 sum(p inside the mask) / (sum(p) + size of the mask), where p is the mean probability.
    package var expectedDice: Double
    /// Mean Dice of the mask with the masks of the single views.
    package var viewAgreement: Double
    /// 1 - the mean binary entropy, in bits, of p in the band along the mask's boundary; 0 without
    /// a boundary.
    package var boundaryCertainty: Double
    /// Mean of p inside the mask; 0 for an empty mask.
    package var meanForegroundProbability: Double
    /// Probability that the structure is present, from a presence head; `nil` without one.
    package var presence: Double?
    /// Likeness of a volume or frame to those of the training (`VolumeLikeness`, `FrameLikeness`); `nil`
    /// if it was not measured.
    package var likeness: Double?
    /// 1 - the presence; 1 - the largest p without a presence head.
    package var absence: Double

    /// Measures an answer.
    ///
    /// - Parameters:
    ///   - shape: the shape of the grid, [rows, columns] or [slices, rows, columns].
    ///   - probability: mean of the views, not multiplied with the presence.
    ///   - mask: 0 or 1, made from `probability`.
    ///   - views: masks of the single views, at least one.
    ///   - presence: the probability from the presence head, if the network has one.
    ///   - likeness: the likeness of the volume or frame, if it was measured.
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

    /// Names of the measures that a confidence may be fitted to; reports show them beside the confidence.
    package static let names = [
        "expectedDice", "viewAgreement", "boundaryCertainty", "meanForegroundProbability", "presence", "likeness",
    ]

    /// The measures that are known, by name.
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

    /// Sets the points within `reach` of a set point along every axis: a dilation with a square or
    /// cube.
    private static func spread(_ values: [UInt8], _ shape: [Int], by reach: Int) -> [UInt8] {
        var values = values
        var inner = 1
        for extent in shape.reversed() {
            let before = values
            let block = extent * inner
            values.withUnsafeMutableBufferPointer { values in
                before.withUnsafeBufferPointer { before in
                    for start in stride(from: 0, to: values.count, by: block) {
                        // Points of neighbouring places lie `inner` apart.
                        for step in stride(from: inner, through: min(reach * inner, block - inner), by: inner) {
                            let pairs = start..<start + block - step
                            for index in pairs { values[index] |= before[index + step] }
                            for index in pairs { values[index + step] |= before[index] }
                        }
                    }
                }
            }
            inner *= extent
        }
        return values
    }
}

/// Median and spread of two statistics over the training volumes, with which a volume is compared.
struct VolumeLikeness {
    /// Log of a ratio: the root mean square of the discrete Laplacian over that of the differences between neighbours.
    ///
    /// Blur lowers the roughness, and noise raises it.
    let roughness: (middle: Double, spread: Double)
    /// Third standardised moment of the voxels above the smallest value, which depends on contrast
    /// and field.
    let skewness: (middle: Double, spread: Double)

    /// The likeness exp(-d / 8), where d sums the squares of (statistic - middle) / spread; 0 for a
    /// constant volume.
    ///
    /// - Parameters:
    ///   - values: finite, of the grid.
    ///   - shape: [slices, rows, columns].
    /// - Returns: 0...1.
    func value(_ values: [Float], shape: [Int]) -> Double {
        guard let found = (Self.roughness(values, shape), Self.skewness(values)) as? (Double, Double) else { return 0 }
        let distances = [(found.0, roughness), (found.1, skewness)].map { ($0 - $1.middle) / $1.spread }
        return exp(-distances.reduce(0) { $0 + $1 * $1 } / 8)
    }

    private static func roughness(_ values: [Float], _ shape: [Int]) -> Double? {
        var laplacian = [Double](repeating: 0, count: values.count)
        var (squares, count) = (0.0, 0)
        var inner = 1
        for extent in shape.reversed() {
            for index in values.indices where index / inner % extent + 1 < extent {
                let step = Double(values[index + inner]) - Double(values[index])
                laplacian[index] += step
                laplacian[index + inner] -= step
                squares += step * step
                count += 1
            }
            inner *= extent
        }
        guard squares > 0 else { return nil }
        let curved = laplacian.reduce(0) { $0 + $1 * $1 } / Double(values.count)
        return curved > 0 ? 0.5 * log(curved * Double(count) / squares) : nil
    }

    private static func skewness(_ values: [Float]) -> Double? {
        guard let least = values.min() else { return nil }
        let inside = values.lazy.filter { $0 > least }
        let (sum, count) = inside.reduce((0.0, 0)) { ($0.0 + Double($1), $0.1 + 1) }
        guard count > 0 else { return nil }
        let mean = sum / Double(count)
        let (second, third) = inside.reduce((0.0, 0.0)) { moments, value in
            let away = Double(value) - mean
            return (moments.0 + away * away, moments.1 + away * away * away)
        }
        guard second > 0 else { return nil }
        return third / Double(count) / pow(second / Double(count), 1.5)
    }
}
