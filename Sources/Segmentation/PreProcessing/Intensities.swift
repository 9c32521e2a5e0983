// SPDX-License-Identifier: Apache-2.0

/// Statistics of intensities.
enum Intensities {
    /// The values of the given ranks among non-negative floats, without sorting.
    ///
    /// The bit pattern of a non-negative float grows with its value. Two rounds count the values by
    /// the upper and the lower half of that pattern.
    ///
    /// - Parameters:
    ///   - ranks: 0 is the smallest value's.
    ///   - values: at least one more than the largest rank.
    /// - Returns: one value per rank.
    static func ranked(_ ranks: [Int], of values: [Float]) -> [Float] {
        var counts = [Int](repeating: 0, count: 1 << 16)
        for value in values { counts[Int(value.bitPattern >> 16)] += 1 }
        return ranks.map { rank in
            let (upper, before) = find(rank, counts)
            var fine = [Int](repeating: 0, count: 1 << 16)
            for value in values where Int(value.bitPattern >> 16) == upper { fine[Int(value.bitPattern & 0xffff)] += 1 }
            let (lower, _) = find(rank - before, fine)
            return Float(bitPattern: UInt32(upper) << 16 | UInt32(lower))
        }
    }

    /// Percentiles of non-negative floats, interpolated linearly as numpy does; empty without
    /// values.
    static func percentiles(_ percentiles: [Double], of values: [Float]) -> [Double] {
        guard !values.isEmpty else { return [] }
        let places = percentiles.map { $0 / 100 * Double(values.count - 1) }
        let ranks = places.flatMap { [Int($0), min(Int($0) + 1, values.count - 1)] }
        let found = ranked(ranks, of: values).map(Double.init)
        return places.indices.map { index in
            let share = places[index] - places[index].rounded(.down)
            return found[2 * index] + (found[2 * index + 1] - found[2 * index]) * share
        }
    }

    /// The bin that holds a rank, and the number of values in the bins before it.
    private static func find(_ rank: Int, _ counts: [Int]) -> (bin: Int, before: Int) {
        var before = 0
        for (bin, count) in counts.enumerated() {
            if rank < before + count { return (bin, before) }
            before += count
        }
        preconditionFailure("a rank is below the number of values")
    }

    /// Mean and population standard deviation, in double precision.
    static func moments(of values: [Float]) -> (mean: Double, deviation: Double) {
        guard !values.isEmpty else { return (0, 0) }
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let variance = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
        return (mean, variance.squareRoot())
    }
}

/// Intensities of magnetic resonance images as bytes (MedSAM's pre_CT_MR.py).
///
/// Values are clipped to the 0.5 and 99.5 percentiles of the positive ones, scaled to 0...255 and
/// cut to whole numbers. Zeros stay 0.
package enum MagneticResonance {
    static let percentiles = [0.5, 99.5]

    /// Converts the intensities of a frame or volume, 0...255.
    package static func bytes(_ values: [Float]) -> [UInt8] {
        let limits = Intensities.percentiles(percentiles, of: values.filter { $0 > 0 })
        guard limits.count == 2 else { return [UInt8](repeating: 0, count: values.count) }
        let (low, high) = (limits[0], limits[1])
        // The reference scales the clipped values by their own extremes, which lie inside the
        // limits.
        var (least, greatest) = (Double.infinity, -Double.infinity)
        for value in values {
            let clipped = min(max(Double(value), low), high)
            (least, greatest) = (min(least, clipped), max(greatest, clipped))
        }
        let range = greatest - least
        guard range > 0 else { return [UInt8](repeating: 0, count: values.count) }
        return values.map { value in
            let clipped = min(max(Double(value), low), high)
            return value == 0 ? 0 : UInt8(min(max((clipped - least) / range * 255, 0), 255))
        }
    }
}
