// SPDX-License-Identifier: Apache-2.0
//
// The weighted F-measure of Margolin, Zelnik-Manor and Tal, "How to Evaluate Foreground Maps?", CVPR 2014, with beta 1:
// an error near the edge, or on a pixel whose neighbours are right, counts less; a false alarm counts more the further
// it is from the object.

import Foundation

enum WeightedFMeasure {
    /// - Parameters:
    ///   - map: `[rows, columns]`, 0...1.
    ///   - truth: `[rows, columns]`, 0 or 1.
    /// - Returns: 0...1; 0 for an empty truth, which the publication leaves open.
    static func score(_ map: [Double], truth: [UInt8], rows: Int, columns: Int) -> Double {
        guard truth.contains(1) else { return 0 }
        let nearest = NearestPixels(of: truth, rows: rows, columns: columns)
        let error = zip(map, truth).map { abs($0 - Double($1)) }
        // Outside the object every pixel takes the error of the nearest pixel inside.
        let spread = error.indices.map { truth[$0] == 1 ? error[$0] : error[nearest.indices[$0]] }
        let smooth = smoothed(spread, rows: rows, columns: columns)
        var (inside, outside, wanted) = (0.0, 0.0, 0.0)
        for index in error.indices {
            if truth[index] == 1 {
                inside += min(error[index], smooth[index])
                wanted += 1
            } else {
                let distance = Double(nearest.squaredDistances[index]).squareRoot()
                outside += error[index] * (2 - exp(log(0.5) / 5 * distance))
            }
        }
        let found = wanted - inside
        let recall = 1 - inside / wanted
        let precision = found / (Double.ulpOfOne + found + outside)
        return 2 * recall * precision / (Double.ulpOfOne + recall + precision)
    }

    /// By a Gaussian of 7 x 7 pixels and a deviation of 5, with zeros around the plane.
    private static func smoothed(_ values: [Double], rows: Int, columns: Int) -> [Double] {
        let weights = (-3...3).map { exp(-Double($0 * $0) / 50) }
        let kernel = weights.map { $0 / weights.reduce(0, +) }
        func filtered(_ values: [Double], length: Int, step: Int) -> [Double] {
            values.indices.map { index in
                let place = index / step % length
                var sum = 0.0
                for offset in max(-3, -place)...min(3, length - 1 - place) {
                    sum += kernel[offset + 3] * values[index + offset * step]
                }
                return sum
            }
        }
        return filtered(filtered(values, length: columns, step: 1), length: rows, step: columns)
    }
}
