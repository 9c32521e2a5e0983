// SPDX-License-Identifier: Apache-2.0
//
// The likeness of a frame to those of the training, as training/recipes/likeness.py defines it.

internal import Foundation

/// Median and spread of two statistics over the training frames, with which a frame is compared.
package struct FrameLikeness: Sendable {
    /// Mean log of the ratio of red to green.
    let redness: (middle: Double, spread: Double)
    /// Mean log of the ratio of green to blue.
    let yellowness: (middle: Double, spread: Double)

    /// A pixel is lit if its largest channel is above this value.
    private static let lit: Float = 20
    /// The least share of lit pixels.
    private static let leastLit = 1.0 / 64
    /// Is added to colours, because ratios of dark ones are noise.
    private static let dark = 8.0

    /// Compares with other frames than those of the training.
    package init(
        redness: (middle: Double, spread: Double), yellowness: (middle: Double, spread: Double)
    ) {
        (self.redness, self.yellowness) = (redness, yellowness)
    }

    /// The likeness exp(-d / 8), where d sums the squares of (statistic - middle) / spread.
    ///
    /// - Parameter pixels: RGB in 0...255, one pixel after the other.
    /// - Returns: 0...1; 0 for a grey frame, and for one with hardly a lit pixel.
    package func value(_ pixels: [Float]) -> Double {
        guard let found = Self.colours(pixels) else { return 0 }
        let distances = [(found.redness, redness), (found.yellowness, yellowness)]
            .map { ($0 - $1.middle) / $1.spread }
        return exp(-distances.reduce(0) { $0 + $1 * $1 } / 8)
    }

    /// Logarithms of the colours 0...255, with `dark` added.
    private static let logarithms = (0...255).map { log(Double($0) + dark) }

    /// The mean ratios of the lit pixels' colours, rounded to whole numbers; `nil` without colours.
    private static func colours(_ pixels: [Float]) -> (redness: Double, yellowness: Double)? {
        var (redness, yellowness, count) = (0.0, 0.0, 0)
        var largest: Float = 0
        pixels.withUnsafeBufferPointer { pixels in
            logarithms.withUnsafeBufferPointer { logarithms in
                func logarithm(_ value: Float) -> Double { logarithms[Int(min(max(value, 0), 255) + 0.5)] }
                for pixel in 0..<pixels.count / 3 {
                    let (red, green, blue) = (pixels[3 * pixel], pixels[3 * pixel + 1], pixels[3 * pixel + 2])
                    guard max(red, green, blue) > lit else { continue }
                    largest = max(largest, max(red, green, blue) - min(red, green, blue))
                    let middle = logarithm(green)
                    redness += logarithm(red) - middle
                    yellowness += middle - logarithm(blue)
                    count += 1
                }
            }
        }
        guard Double(count) >= leastLit * Double(pixels.count / 3), largest >= 1 else { return nil }
        return (redness / Double(count), yellowness / Double(count))
    }
}
