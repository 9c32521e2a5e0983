// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Testing

/// A node that is stopped and started again, with another clock.
private final class RestartedNode {
    let path = TestNode.temporary()
    let clock = TestClock()
    private(set) var node: TestNode
    private var boots = 1

    init() throws {
        let clock = clock
        node = try TestNode(path: path, now: { clock.wall }, sinceBoot: { clock.sinceBoot }, boot: "1")
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Stops the node, lets something happen, and starts the node again.
    func restart(reboots: Bool, _ meanwhile: (TestClock) -> Void) throws {
        // The old node must let go of its lock first.
        node = try TestNode()
        if reboots {
            boots += 1
            clock.boot()
        }
        meanwhile(clock)
        let clock = clock
        node = try TestNode(path: path, now: { clock.wall }, sinceBoot: { clock.sinceBoot }, boot: "\(boots)")
    }

    /// Receives something that is kept for an hour.
    func receive(_ uid: String) throws {
        let id = try node.receive(uid, now: clock.wall).id
        try node.journal.write { try $0.notAnImage(id, AuditEvent()) }
    }

    /// Number of instances that a pass deletes.
    func deleted() throws -> Int { try Retention(journal: node.journal).run().instances }

    func holds() throws -> [ClockHold] { try node.journal.read { try $0.clockHolds() } }

    func confirm(wasOff: Bool = false) throws -> Int {
        try node.journal.write { try $0.clockConfirmed(wasOff: wasOff, AuditEvent(by: .user("admin"))) }
    }
}

@Suite struct `A clock that jumps` {
    private static let minute = Duration.seconds(60)
    private static let hour = Duration.seconds(3600)
    private static let day = Duration.seconds(86_400)

    @Test(arguments: [365, 30, -1, -2190], [false, true])
    func `deletes nothing young at a start, and is held until somebody confirms it`(
        days: Int, reboots: Bool
    ) async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            try machine.clock.pass(machine.node, Self.minute * 30)
            try machine.restart(reboots: reboots) { $0.set(Self.day * days) }
            #expect(try machine.deleted() == 0)
            let hold = try #require(try machine.holds().first)
            #expect(abs(hold.difference - Double(days) * 86_400) < 60)
            #expect(try machine.node.journal.status().clockHolds.count == 1)
            try machine.clock.pass(machine.node, Self.hour * 2)
            #expect(try machine.deleted() == 0, "held")
            try machine.receive("1.2")
            #expect(try machine.confirm() == 1)
            #expect(try machine.confirm() == 0)
            #expect(try machine.deleted() == 1, "the old one alone")
            #expect(try machine.holds().isEmpty)
            #expect(
                try machine.node.events().filter { $0.hasPrefix("clock") } == ["clockJumped", "clockConfirmed"])
        }
    }

    @Test func `holds deletion for a day of running at most`() async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            try machine.restart(reboots: true) { $0.set(Self.day * 365) }
            try machine.clock.pass(machine.node, Self.hour * 23)
            #expect(try machine.deleted() == 0)
            #expect(try machine.holds().map { Int($0.remaining) } == [3600])
            try machine.receive("1.2")
            try machine.restart(reboots: false) { $0.sleep(Self.hour * 10) }
            #expect(try machine.deleted() == 0, "the node did not run in these ten hours")
            try machine.clock.pass(machine.node, Self.hour)
            #expect(try machine.deleted() == 2)
            #expect(try machine.node.events().contains("clockHoldEnded"))
        }
    }

    @Test(arguments: [365, -365, 2, -2])
    func `ages a row by the time that the node lived, while it runs`(days: Int) async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            machine.clock.set(Self.day * days)
            try machine.receive("1.2")
            #expect(try machine.holds().count == 1, "the first transaction after the jump notes it")
            try machine.clock.pass(machine.node, Self.minute * 40)
            try machine.receive("1.3")
            _ = try machine.confirm()
            try machine.clock.pass(machine.node, Self.minute * 19)
            #expect(try machine.deleted() == 0)
            try machine.clock.pass(machine.node, Self.minute * 2)
            #expect(try machine.deleted() == 2)
            try machine.clock.pass(machine.node, Self.minute * 40)
            #expect(try machine.deleted() + machine.node.files("instances").count == 1)
        }
    }

    @Test func `counts days for which a node was off, and a holiday once the clock is confirmed`() async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            try machine.restart(reboots: true) { $0.set(Self.day * 3) }
            #expect(try machine.holds().isEmpty)
            #expect(try machine.deleted() == 1)
            try machine.receive("1.2")
            try machine.restart(reboots: true) { $0.set(Self.day * 14) }
            #expect(try machine.deleted() == 0)
            try machine.receive("1.3")
            #expect(try machine.confirm() == 1)
            #expect(try machine.deleted() == 1, "the one of before the holiday")
        }
    }

    @Test func `counts a year for which a node was off only if a person says so`() async throws {
        try await blocking {
            for wasOff in [false, true] {
                let machine = try RestartedNode()
                try machine.receive("1.1")
                try machine.restart(reboots: true) { $0.set(Self.day * 365) }
                try machine.receive("1.2")
                _ = try machine.confirm(wasOff: wasOff)
                #expect(try machine.deleted() == (wasOff ? 1 : 0))
            }
        }
    }

    @Test func `takes small steps, sleep and summer time for what they are`() async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            machine.clock.set(.seconds(5))
            try machine.node.journal.noteTime()
            machine.clock.set(.seconds(-12))
            try machine.node.journal.noteTime()
            #expect(try machine.deleted() == 0)
            machine.clock.sleep(Self.hour * 8)
            #expect(try machine.deleted() == 1, "the machine slept, and the file grew older")
            try machine.restart(reboots: false) { $0.sleep(Self.day * 2) }
            try machine.restart(reboots: true) { $0.set(.seconds(-20)) }
            #expect(try machine.holds().isEmpty)
            #expect(try machine.node.events().allSatisfy { !$0.hasPrefix("clock") })
        }
    }

    @Test func `does not believe two clocks that were both set, as libfaketime sets them`() async throws {
        try await blocking {
            let machine = try RestartedNode()
            try machine.receive("1.1")
            try machine.restart(reboots: false) { clock in
                clock.set(Self.day * 3)
                clock.fake(.seconds(1_800_000_000))
            }
            #expect(try machine.holds().count == 1)
            #expect(try machine.deleted() == 0)
        }
    }
}
