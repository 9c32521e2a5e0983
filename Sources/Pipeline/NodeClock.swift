// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Platform

/// The time and the randomness of the services.
///
/// The clocks and the randomness are passed in, so that tests control them.
///
/// Everything that waits uses `monotonic`. The wall clock is only written into records and objects.
public struct NodeClock: Sendable {
    /// A reading of a clock that only moves forward, from any origin.
    public var monotonic: @Sendable () -> Duration
    /// The time since the machine started, sleep included; keep times count on this clock.
    public var sinceBoot: @Sendable () -> Duration
    /// The date and time that records and objects get.
    public var wall: @Sendable () -> Date
    /// Seconds east of UTC at the node, for a date.
    public var offsetFromUTC: @Sendable (Date) -> Int
    /// A random number, `0..<1`.
    public var chance: @Sendable () -> Double
    /// A new name for a run or an association.
    public var uuid: @Sendable () -> UUID

    public init(
        monotonic: @escaping @Sendable () -> Duration,
        sinceBoot: (@Sendable () -> Duration)? = nil,
        wall: @escaping @Sendable () -> Date,
        offsetFromUTC: @escaping @Sendable (Date) -> Int = { _ in 0 },
        chance: @escaping @Sendable () -> Double, uuid: @escaping @Sendable () -> UUID
    ) {
        self.monotonic = monotonic
        self.sinceBoot = sinceBoot ?? MonotonicClock.sinceBoot
        self.wall = wall
        self.offsetFromUTC = offsetFromUTC
        self.chance = chance
        self.uuid = uuid
    }

    /// The clocks and the random numbers of this machine.
    public static let system = NodeClock(
        monotonic: MonotonicClock.now,
        wall: { Date() },
        offsetFromUTC: { TimeZone.current.secondsFromGMT(for: $0) },
        chance: { Double.random(in: 0..<1) },
        uuid: { UUID() })
}

/// The wait before the next attempt: it doubles from `shortest` to `longest`.
///
/// A fifth of the longest wait is random, so that work that failed together is not tried again together.
package struct Backoff: Sendable, Hashable {
    /// The wait after the first failure, without the random part.
    package var shortest: Duration
    /// The longest wait, random part included.
    package var longest: Duration

    /// - Parameters:
    ///   - shortest: the wait after the first failure, without the random part.
    ///   - longest: the longest wait, random part included.
    package init(shortest: Duration, longest: Duration) {
        self.shortest = shortest
        self.longest = longest
    }

    /// The waits of deliveries: 5 seconds to 10 minutes.
    package static let delivery = Backoff(shortest: .seconds(5), longest: .seconds(600))
    /// The waits of jobs after a lost worker, or without room for their objects: 2 seconds to 10 minutes.
    package static let job = Backoff(shortest: .seconds(2), longest: .seconds(600))

    /// The wait after a failure.
    ///
    /// - Parameters:
    ///   - failures: failures in a row so far, from 1.
    ///   - chance: a random number, `0..<1`.
    /// - Returns: the time to wait, at most `longest`.
    package func delay(failures: Int, chance: Double) -> Duration {
        var delay = shortest
        for _ in 1..<max(2, failures) where failures > 1 && delay < longest { delay *= 2 }
        return min(delay, longest * 0.8) * (1 + 0.25 * min(max(chance, 0), 1))
    }
}
