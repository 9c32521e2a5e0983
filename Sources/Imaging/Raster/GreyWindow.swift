// SPDX-License-Identifier: Apache-2.0

/// A linear map from the values of grey frames to grey levels.
public struct GreyWindow: Sendable, Hashable {
    /// The number of values from which percentiles are taken.
    public static let sampled = 200_000

    /// The value that becomes 0.
    let low: Float
    /// The value that becomes 255.
    let high: Float

    init(low: Float, high: Float) {
        self.low = low
        self.high = high
    }

    /// Makes a window from the 1st to the 99th percentile of the finite values, or of a regular sample of a large
    /// array.
    public init(percentilesOf values: [Float]) {
        let step = max(1, values.count / Self.sampled)
        let sorted = stride(from: 0, to: values.count, by: step).map { values[$0] }.filter(\.isFinite).sorted()
        guard !sorted.isEmpty else {
            self.init(low: 0, high: 1)
            return
        }
        self.init(low: sorted[(sorted.count - 1) / 100], high: sorted[(sorted.count - 1) * 99 / 100])
    }

    /// The window that keeps samples of 0...255.
    public static let whole = GreyWindow(low: 0, high: 255)

    /// The grey level of a value, 0...255; 127 if the window has no width.
    func grey(_ value: Float) -> Float {
        guard value.isFinite else { return 0 }
        guard high > low else { return 127 }
        return min(max((value - low) / (high - low), 0), 1) * 255
    }
}
