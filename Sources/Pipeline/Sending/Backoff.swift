// SPDX-License-Identifier: Apache-2.0

/// How long to wait before the next try: doubling from `shortest` to `longest`, a fifth of each wait left to chance so
/// that what failed together is not tried together.
package struct Backoff: Sendable, Hashable {
    package var shortest: Duration
    package var longest: Duration

    /// Deliveries: 5 seconds to 10 minutes.
    package static let delivery = Backoff(shortest: .seconds(5), longest: .seconds(600))
    /// Jobs whose worker was lost: 2 to 30 seconds.
    package static let job = Backoff(shortest: .seconds(2), longest: .seconds(30))

    /// - Parameters:
    ///   - failures: in a row so far, from 1.
    ///   - chance: 0..<1.
    package func delay(failures: Int, chance: Double) -> Duration {
        var delay = shortest
        for _ in 1..<max(2, failures) where failures > 1 && delay < longest { delay *= 2 }
        return min(delay, longest * 0.8) * (1 + 0.25 * min(max(chance, 0), 1))
    }
}
