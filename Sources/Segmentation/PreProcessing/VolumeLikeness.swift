// SPDX-License-Identifier: Apache-2.0
//
// How much a volume looks like those of a training, as training/recipes/likeness.py defines it.

internal import Foundation

/// Median and spread of two statistics of the image over the volumes of a training.
struct VolumeLikeness {
    /// Log of the root mean square of the discrete Laplacian over that of the differences between neighbours: falls
    /// when blurred, rises with noise.
    let roughness: (middle: Double, spread: Double)
    /// Third standardised moment of the voxels above the smallest value: moves with contrast and with the field.
    let skewness: (middle: Double, spread: Double)

    /// exp(-d / 8), where d sums the squares of (statistic - middle) / spread; 0 where nothing varies.
    ///
    /// - Parameters:
    ///   - values: finite, of the grid.
    ///   - shape: [slices, rows, columns].
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
