// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// torch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing, in fp32.
package enum BilinearResize {
    /// `[from[0], from[1]]` to `[target[0], target[1]]`, along the columns first.
    package static func resize(_ values: [Float], from: [Int], to target: [Int]) -> [Float] {
        let wide = axis(values, outer: from[0], count: from[1], inner: 1, to: target[1])
        return axis(wide, outer: 1, count: from[0], inner: target[1], to: target[0])
    }

    private static func axis(_ values: [Float], outer: Int, count: Int, inner: Int, to target: Int) -> [Float] {
        guard count != target else { return values }
        let scale = Float(count) / Float(target)
        return [Float](unsafeUninitializedCapacity: outer * target * inner) { output, filled in
            values.withUnsafeBufferPointer { values in
                for line in 0..<outer {
                    for i in 0..<target {
                        let place = max(0, scale * (Float(i) + 0.5) - 0.5)
                        let first = min(Int(place), count - 1)
                        let share = min(max(place - Float(first), 0), 1)
                        let before = (line * count + first) * inner
                        let after = (line * count + min(first + 1, count - 1)) * inner
                        let start = (line * target + i) * inner
                        for index in 0..<inner {
                            output[start + index] =
                                (1 - share) * values[before + index] + share * values[after + index]
                        }
                    }
                }
            }
            filled = output.count
        }
    }
}

extension ImageAnswer {
    package static func sigmoid(_ value: Float) -> Float { 1 / (1 + exp(-value)) }
}
