// SPDX-License-Identifier: Apache-2.0

/// Means and quantiles of plain numbers.
enum Quantiles {
    /// Interpolated linearly between ranks, as numpy does by default.
    ///
    /// - Parameters:
    ///   - share: 0...1.
    ///   - sorted: ascending, not empty.
    static func quantile(_ share: Double, of sorted: [Double]) -> Double {
        precondition(!sorted.isEmpty, "there is a value to take")
        let place = share * Double(sorted.count - 1)
        let low = Int(place)
        let high = min(low + 1, sorted.count - 1)
        return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
    }

    static func median(_ values: [Double]) -> Double { quantile(0.5, of: values.sorted()) }

    static func mean(_ values: some Collection<Double>) -> Double {
        values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
    }
}
