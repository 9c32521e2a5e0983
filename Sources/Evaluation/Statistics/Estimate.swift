// SPDX-License-Identifier: Apache-2.0

/// How often numbers are resampled, and from which seed: the same cases give the same report.
public struct Resampling: Sendable, Hashable, Codable {
    public var draws: Int
    public var seed: UInt64

    public init(draws: Int = 2000, seed: UInt64 = 1) {
        precondition(draws > 0, "an interval takes draws")
        self.draws = draws
        self.seed = seed
    }
}

/// The mean of a score over cases, with the 95% percentile interval of the bootstrap over cases.
public struct Estimate: Sendable, Hashable, Codable {
    public var mean: Double
    public var low: Double
    public var high: Double
    public var median: Double
    public var smallest: Double
    public var largest: Double
    public var count: Int

    /// - Returns: `nil` without a value.
    public init?(_ values: [Double], resampling: Resampling) {
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

    static func resampledMeans(_ values: [Double], _ resampling: Resampling) -> [Double] {
        var generator = SeededGenerator(seed: resampling.seed)
        return (0..<resampling.draws).map { _ in
            let sum = values.indices.reduce(0) { sum, _ in
                sum + values[Int.random(in: values.indices, using: &generator)]
            }
            return sum / Double(values.count)
        }
    }
}
