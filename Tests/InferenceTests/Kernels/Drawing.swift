// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Numbers in [-1, 1), the same for the same seed, by a linear congruential generator (Knuth's MMIX constants).
struct Drawing {
    private var state: UInt64

    init(seed: Int) { state = UInt64(seed) &+ 1 }

    mutating func values(_ count: Int, scale: Float = 1) -> [Float] {
        (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Float(state >> 40) / Float(1 << 23) - 1) * scale
        }
    }
}

func rounded(_ values: [Float]) -> [UInt16] {
    var result = [UInt16](repeating: 0, count: values.count)
    ck_to_bf16(Int64(values.count), values, &result)
    return result
}

func widened(_ values: [UInt16]) -> [Float] {
    values.map { Float(bitPattern: UInt32($0) << 16) }
}

/// The norm of the difference divided by the norm of `b`; infinite if a number is not finite.
func relativeError(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count, a.allSatisfy(\.isFinite) else { return .infinity }
    var (difference, size) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += Double(x - y) * Double(x - y)
        size += Double(y) * Double(y)
    }
    return (difference / max(size, 1e-30)).squareRoot()
}
