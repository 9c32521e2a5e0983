// SPDX-License-Identifier: Apache-2.0

/// Statistics of intensities for recipes.
enum Intensities {
    /// The values of the given ranks (0 is the smallest) of non-negative floats, without sorting them: two rounds of
    /// counting by the upper and lower half of the bit pattern, which grows with the value.
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

    /// Percentiles of non-negative floats, as numpy's: linear between the two values around the place. Empty for none.
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

    /// The bin that holds a rank, and how many lie in the bins before it.
    private static func find(_ rank: Int, _ counts: [Int]) -> (bin: Int, before: Int) {
        var before = 0
        for (bin, count) in counts.enumerated() {
            if rank < before + count { return (bin, before) }
            before += count
        }
        preconditionFailure("a rank is below the number of values")
    }

    /// Mean and population deviation, in double precision.
    static func moments(of values: [Float]) -> (mean: Double, deviation: Double) {
        guard !values.isEmpty else { return (0, 0) }
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let variance = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
        return (mean, variance.squareRoot())
    }
}
