// SPDX-License-Identifier: Apache-2.0

/// The settings of the bootstrap.
///
/// The same cases and settings give the same report.
public struct Bootstrap: Sendable, Hashable, Codable {
    /// The number of resamples.
    public var draws: Int
    /// The start of the random numbers.
    public var seed: UInt64

    /// Settings with at least one draw.
    public init(draws: Int = 2000, seed: UInt64 = 1) {
        precondition(draws > 0, "an interval needs at least one draw")
        self.draws = draws
        self.seed = seed
    }
}

/// The mean of a score over cases, with the 95% percentile interval of the bootstrap over cases.
public struct Estimate: Sendable, Hashable, Codable {
    /// The mean of the values.
    public var mean: Double
    /// The lower end of the interval.
    public var low: Double
    /// The upper end of the interval.
    public var high: Double
    /// The median of the values.
    public var median: Double
    /// The smallest value.
    public var smallest: Double
    /// The largest value.
    public var largest: Double
    /// The number of values.
    public var count: Int

    /// Estimates the mean of `values`.
    ///
    /// The result is `nil` without a value.
    public init?(_ values: [Double], resampling: Bootstrap) {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        mean = Quantiles.mean(values)
        median = Quantiles.quantile(0.5, of: sorted)
        smallest = sorted[0]
        largest = sorted[sorted.count - 1]
        count = values.count
        let means = Self.resampledMeans(values, resampling).sorted()
        low = Quantiles.quantile(0.025, of: means)
        high = Quantiles.quantile(0.975, of: means)
    }

    /// The means of the resamples.
    static func resampledMeans(_ values: [Double], _ resampling: Bootstrap) -> [Double] {
        var generator = SplitMix64(seed: resampling.seed)
        return (0..<resampling.draws).map { _ in
            let sum = values.indices.reduce(0) { sum, _ in
                sum + values[Int.random(in: values.indices, using: &generator)]
            }
            return sum / Double(values.count)
        }
    }
}

/// Means and quantiles of plain numbers.
enum Quantiles {
    /// A quantile, interpolated linearly between ranks as numpy does by default.
    ///
    /// - Parameters:
    ///   - share: 0...1.
    ///   - sorted: ascending, not empty.
    /// - Returns: the quantile.
    static func quantile(_ share: Double, of sorted: [Double]) -> Double {
        precondition(!sorted.isEmpty, "a quantile needs a value")
        let place = share * Double(sorted.count - 1)
        let low = Int(place)
        let high = min(low + 1, sorted.count - 1)
        return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
    }

    /// The mean; NaN without a value.
    static func mean(_ values: some Collection<Double>) -> Double {
        values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
///
/// A seed gives the same numbers on every machine.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
