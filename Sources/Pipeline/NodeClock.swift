// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// Time and chance, as the services see them: passed in, so that tests hold them.
///
/// Whatever waits, waits on `monotonic`. The wall clock is written into records and objects and decides nothing.
public struct NodeClock: Sendable {
    /// A reading of a clock that only moves forward, counted from any origin.
    public var monotonic: @Sendable () -> Duration
    public var wall: @Sendable () -> Date
    /// Seconds east of UTC where the node runs.
    public var offsetFromUTC: @Sendable (Date) -> Int
    /// 0..<1.
    public var chance: @Sendable () -> Double
    /// Names a run.
    public var uuid: @Sendable () -> UUID

    public init(
        monotonic: @escaping @Sendable () -> Duration, wall: @escaping @Sendable () -> Date,
        offsetFromUTC: @escaping @Sendable (Date) -> Int = { _ in 0 },
        chance: @escaping @Sendable () -> Double, uuid: @escaping @Sendable () -> UUID
    ) {
        self.monotonic = monotonic
        self.wall = wall
        self.offsetFromUTC = offsetFromUTC
        self.chance = chance
        self.uuid = uuid
    }

    /// The machine's.
    public static let system = NodeClock(
        monotonic: {
            var now = timespec()
            clock_gettime(CLOCK_MONOTONIC, &now)
            return .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
        },
        wall: { Date() },
        offsetFromUTC: { TimeZone.current.secondsFromGMT(for: $0) },
        chance: { Double.random(in: 0..<1) },
        uuid: { UUID() })
}
