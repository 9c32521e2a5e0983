// SPDX-License-Identifier: Apache-2.0

import Foundation

/// One look at the clocks; times are microseconds.
struct ClockReading: Sendable, Equatable {
    /// Names the present run of the machine; empty if it is not known.
    var boot: String
    /// Time since the machine started, by a clock that cannot be set.
    var sinceBoot: Int64
    /// The wall clock, since 1970, which anybody may set.
    var wall: Int64
}

/// The time that a node has lived, on which keep times count; times are microseconds.
///
/// The time lived begins as the wall clock's time at the first start. While the node runs, the time lived follows the
/// machine's monotonic clock. Between a stop and the next start it follows the monotonic clock if the machine ran on,
/// and otherwise the wall clock if the difference is credible: forward, and by a week at most. A jump of the wall clock
/// therefore does not make a file older.
///
/// This type is a value: ``advanced(to:isStart:)`` tells what a new reading means, and the journal stores it.
struct NodeTime: Sendable, Equatable {
    /// Longest time without a note that counts as lived at once: a week.
    static let credible: Int64 = 7 * 86_400_000_000
    /// Longest time that the node may have been off, and that counts as lived once a jump is over: four weeks.
    ///
    /// A longer time counts only if a person says that the node was off.
    static let longestOff: Int64 = 28 * 86_400_000_000
    /// Smallest difference between the clocks that is a jump.
    ///
    /// NTP sets a clock right at once by less, and slowly by more.
    static let tolerance: Int64 = 60_000_000
    /// Time that the node must run until a jump does not hold deletion any more: a day.
    static let hold: Int64 = 86_400_000_000
    /// Largest error of ``ahead``.
    static let precision: Int64 = 1_000_000

    /// Number of the present start, from 1; 0 before the first start that notes the time.
    var start: Int64
    /// The clocks at this moment.
    var reading: ClockReading
    /// The time lived.
    var lived: Int64
    /// The part of the time lived in which the node ran, by the monotonic clock.
    var ran: Int64
    /// Wall clock minus time lived, to within ``precision``.
    var ahead: Int64

    /// A jump of the wall clock against the monotonic clock, or against the last note.
    struct Jump: Sendable, Equatable {
        /// How far the wall clock jumped; negative if it jumped back.
        var difference: Int64
        /// The time that the node may have been off; it does not count as lived.
        var uncounted: Int64
    }

    /// The time of a node that has not lived before.
    init(first reading: ClockReading) {
        start = 1
        self.reading = reading
        lived = reading.wall
        ran = 0
        ahead = 0
    }

    init(start: Int64, reading: ClockReading, lived: Int64, ran: Int64, ahead: Int64) {
        self.start = start
        self.reading = reading
        self.lived = lived
        self.ran = ran
        self.ahead = ahead
    }

    /// The time at a later reading, and the jump that lies between.
    ///
    /// - Parameters:
    ///   - next: the reading.
    ///   - isStart: whether the node started in between.
    /// - Returns: ``ahead`` changes if the old value is not precise enough any more.
    func advanced(to next: ClockReading, isStart: Bool) -> (time: NodeTime, jump: Jump?) {
        let byWall = next.wall - reading.wall
        // A process does not outlive the machine's run, even if the kernel does not name it.
        let isSameBoot =
            next.sinceBoot >= reading.sinceBoot && (!isStart || !next.boot.isEmpty && next.boot == reading.boot)
        let measured = isSameBoot ? next.sinceBoot - reading.sinceBoot : nil
        var counted: Int64 = 0
        var jump: Jump?
        if let measured, measured <= Self.credible {
            counted = measured
            // Both clocks may drift a little in a week.
            if abs(byWall - measured) > Self.tolerance + measured / 10_000 {
                jump = Jump(difference: byWall - measured, uncounted: 0)
            }
        } else if measured == nil, byWall >= -Self.tolerance, byWall <= Self.credible {
            counted = max(0, byWall)
        } else {
            jump = Jump(difference: byWall, uncounted: max(0, min(byWall, measured ?? byWall)))
        }
        var time = self
        time.start += isStart ? 1 : 0
        time.reading = next
        time.lived += counted
        time.ran += isStart ? 0 : counted
        let ahead = next.wall - time.lived
        if abs(ahead - self.ahead) > Self.precision { time.ahead = ahead }
        return (time, jump)
    }

    /// Whether a row that gets the reading's wall clock needs a new note first, because the wall clock jumped.
    func needsNote(at next: ClockReading) -> Bool { advanced(to: next, isStart: false).time.ahead != ahead }

    /// Whether the node has run long enough since a jump, which was noticed when the node had run for `ran`.
    func isOver(jumpAt ran: Int64) -> Bool { self.ran - ran >= Self.hold }
}

/// The clocks of a node, and the note that the journal holds of them.
// `@unchecked`: `noted` is used only under `lock`.
final class NodeTimekeeper: @unchecked Sendable {
    private let lock = NSLock()
    private var noted: NodeTime?
    private let boot: String
    private let sinceBoot: @Sendable () -> Duration
    private let now: @Sendable () -> Date

    init(boot: String, sinceBoot: @escaping @Sendable () -> Duration, now: @escaping @Sendable () -> Date) {
        self.boot = boot
        self.sinceBoot = sinceBoot
        self.now = now
    }

    /// Looks at the clocks.
    func read() -> ClockReading {
        let (seconds, attoseconds) = sinceBoot().components
        return ClockReading(
            boot: boot, sinceBoot: seconds * 1_000_000 + attoseconds / 1_000_000_000_000, wall: now().microseconds)
    }

    /// Whether a transaction at this reading has to note the time, because the wall clock jumped since the last note.
    func needsNote(at reading: ClockReading) -> Bool { lock.withLock { noted?.needsNote(at: reading) ?? false } }

    /// Takes a note that is on disk.
    func adopt(_ time: NodeTime) { lock.withLock { noted = time } }
}
