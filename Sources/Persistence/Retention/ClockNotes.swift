// SPDX-License-Identifier: Apache-2.0
//
// The journal's notes of the clocks: the time lived, the spans in which the wall clock was ahead of it by one amount,
// and the jumps that hold deletion.

public import Foundation
import GRDB

/// A jump of the wall clock that holds deletion, as `kontur status` shows it.
public struct ClockHold: Sendable, Equatable, Codable {
    /// The wall clock's time when the jump was noticed.
    public let noticedAt: Date
    /// Seconds by which the wall clock jumped; negative if it jumped back.
    public let difference: Double
    /// Seconds that the node has to run until deletion goes on without a confirmation.
    public let remaining: Double
}

extension ReadTransaction {
    /// The newest note of the clocks; `nil` before the first start.
    func nodeTime() throws -> NodeTime? {
        guard let row = try row("SELECT * FROM clock"),
            let span = try self.row("SELECT ahead FROM clockSpan ORDER BY id DESC LIMIT 1")
        else { return nil }
        return NodeTime(
            start: row["start"],
            reading: ClockReading(boot: row["boot"], sinceBoot: row["sinceBoot"], wall: row["wall"]),
            lived: row["lived"], ran: row["ran"], ahead: span["ahead"])
    }

    /// The jumps of the wall clock that hold deletion, oldest first.
    public func clockHolds() throws -> [ClockHold] {
        let ran = try nodeTime()?.ran ?? 0
        return try rows(
            "SELECT noticedAt, difference, ran FROM clockJump WHERE endedAt IS NULL AND confirmedAt IS NULL ORDER BY id"
        ).map { row in
            let (difference, jumpedAt): (Int64, Int64) = (row["difference"], row["ran"])
            return ClockHold(
                noticedAt: Date(microseconds: row["noticedAt"]), difference: Double(difference) / 1e6,
                remaining: Double(max(0, NodeTime.hold - (ran - jumpedAt))) / 1e6)
        }
    }
}

extension WriteTransaction {
    /// Notes the clocks, reports a jump, and ends the jumps that do not hold deletion any more.
    ///
    /// - Parameters:
    ///   - reading: the clocks.
    ///   - isStart: whether this is the first note of a start.
    /// - Returns: the time of the node.
    /// - Throws: the errors of the database.
    func clockNoted(_ reading: ClockReading, isStart: Bool) throws -> NodeTime {
        guard let last = try nodeTime() else {
            let first = NodeTime(first: reading)
            try store(first)
            return first
        }
        var (time, jump) = last.advanced(to: reading, isStart: isStart)
        if time.ahead != last.ahead {
            // The wall clock may have been set right after the last note.
            try execute(
                "INSERT INTO clockSpan (start, fromLived, ahead) VALUES (?, ?, ?)",
                [time.start, last.lived, time.ahead])
        }
        if let jump {
            try execute(
                """
                INSERT INTO clockJump (spanId, noticedAt, ran, difference, uncounted)
                VALUES ((SELECT max(id) FROM clockSpan), ?, ?, ?, ?)
                """, [reading.wall, time.ran, jump.difference, jump.uncounted])
            try record(.clockJumped, AuditEvent(reason: jump.description))
        }
        try end(&time)
        try store(time)
        return time
    }

    /// Ends the jumps that were confirmed, and those after which the node has run long enough.
    ///
    /// The time that the node was off counts as lived then, so that the files of before the jump grow older by it.
    private func end(_ time: inout NodeTime) throws {
        let jumps = try rows("SELECT * FROM clockJump WHERE endedAt IS NULL ORDER BY id")
        for jump in jumps {
            let id: Int64 = jump["id"]
            let isConfirmed = (jump["confirmedAt"] as Int64?) != nil
            guard isConfirmed || time.isOver(jumpAt: jump["ran"]) else { continue }
            let off: Int64 = jump["uncounted"]
            if off > 0, off <= NodeTime.longestOff || jump["wasOff"] == 1 {
                try execute(
                    "UPDATE clockSpan SET fromLived = fromLived + ?, ahead = ahead - ? WHERE id >= ?",
                    [off, off, jump["spanId"] as Int64])
                time.lived += off
                time.ahead -= off
            }
            try execute("UPDATE clockJump SET endedAt = ? WHERE id = ?", [time.reading.wall, id])
            if !isConfirmed {
                try record(.clockHoldEnded, AuditEvent(reason: "the node has run for 24 hours since the clock jumped"))
            }
        }
    }

    private func store(_ time: NodeTime) throws {
        try execute(
            """
            INSERT INTO clock (id, start, boot, sinceBoot, wall, lived, ran) VALUES (1, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET start = excluded.start, boot = excluded.boot,
                sinceBoot = excluded.sinceBoot, wall = excluded.wall, lived = excluded.lived, ran = excluded.ran
            """,
            [
                time.start, time.reading.boot, time.reading.sinceBoot, time.reading.wall, time.lived, time.ran,
            ])
    }

    /// Records that a person confirms the wall clock; deletion then goes on.
    ///
    /// - Parameters:
    ///   - wasOff: whether the person also says that the node was off for the whole time that the clock shows. The files
    ///     of before the jump then grow older by it, however long it is.
    ///   - event: the cause.
    /// - Returns: the number of jumps that held deletion.
    /// - Throws: the errors of the database.
    public func clockConfirmed(wasOff: Bool, _ event: AuditEvent) throws -> Int {
        let count = try changes(
            "UPDATE clockJump SET confirmedAt = ?, wasOff = ? WHERE endedAt IS NULL AND confirmedAt IS NULL",
            [now, wasOff ? 1 : 0])
        if count > 0 { try record(.clockConfirmed, event, AuditSubject(count: Int64(count))) }
        return count
    }
}

extension NodeTime.Jump: CustomStringConvertible {
    var description: String {
        let (size, unit): (Int64, String) =
            switch abs(difference) / 1_000_000 {
            case let seconds where seconds < 7200: (seconds, "seconds")
            case let seconds where seconds < 172_800: (seconds / 3600, "hours")
            case let seconds: (seconds / 86_400, "days")
            }
        return "the wall clock jumped \(difference < 0 ? "back" : "ahead") by \(size) \(unit); deletion is held for "
            + "24 hours, or until 'kontur spool confirm-clock'"
    }
}

extension Journal {
    /// Notes the clocks of a new start.
    func startTime() throws {
        guard let timekeeper else { return }
        timekeeper.adopt(try write { try $0.clockNoted(timekeeper.read(), isStart: true) })
    }

    /// Notes the clocks; a node calls this about every minute.
    ///
    /// - Returns: the jumps of the wall clock that hold deletion.
    @discardableResult
    public func noteTime() throws -> [ClockHold] {
        guard let timekeeper else { return [] }
        let (time, holds) = try write { transaction in
            let time = try transaction.clockNoted(timekeeper.read(), isStart: false)
            return (time, try transaction.clockHolds())
        }
        timekeeper.adopt(time)
        return holds
    }
}
