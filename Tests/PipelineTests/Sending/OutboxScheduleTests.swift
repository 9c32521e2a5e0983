// SPDX-License-Identifier: Apache-2.0

import Persistence
import Pipeline
import Testing

/// What is sent when, and when it is given up: one test per event.
@Suite struct OutboxScheduleTests {
    private func delivery(
        _ number: Int64, peer: String = "archive", tried: Duration = .zero, rejections: Int = 0
    ) -> OutboxSchedule.Pending {
        OutboxSchedule.Pending(id: DeliveryID(rawValue: number), peer: peer, tried: tried, rejections: rejections)
    }

    private func ids(_ numbers: Int64...) -> [DeliveryID] { numbers.map { DeliveryID(rawValue: $0) } }

    @Test func `all pending deliveries are offered to their peers, oldest first, in one session per peer`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(3), delivery(1), delivery(2, peer: "other")]
        #expect(schedule.begin(pending, now: .zero).sessions == ["archive": ids(1, 3), "other": ids(2)])
        #expect(schedule.begin(pending, now: .zero).sessions.isEmpty)
    }

    @Test func `a session that was offered everything frees its peer`() {
        var schedule = OutboxSchedule()
        _ = schedule.begin([delivery(1)], now: .zero)
        #expect(schedule.offered(delivery(1), .sent(status: 0), now: .zero, chance: 0) == .sent(status: 0))
        #expect(schedule.ended("archive", .finished, first: nil, rest: [], now: .zero, chance: 0).isEmpty)
        #expect(schedule.begin([delivery(2)], now: .zero).sessions == ["archive": ids(2)])
    }

    @Test func `a refused object waits while the others go on`() {
        var schedule = OutboxSchedule()
        _ = schedule.begin([delivery(1), delivery(2)], now: .zero)
        let change = schedule.offered(delivery(1), .retry(reason: "full"), now: .seconds(1), chance: 0)
        #expect(change == .pendingAgain(spent: .seconds(1), rejections: 0, reason: "full"))
        _ = schedule.ended("archive", .finished, first: nil, rest: [], now: .seconds(1), chance: 0)
        let next = schedule.begin([delivery(1)], now: .seconds(2))
        #expect(next.sessions.isEmpty)
        #expect(next.next == .seconds(6))
        #expect(schedule.begin([delivery(1), delivery(3)], now: .seconds(2)).sessions == ["archive": ids(3)])
    }

    @Test func `a final refusal is final`() {
        var schedule = OutboxSchedule()
        _ = schedule.begin([delivery(1)], now: .zero)
        #expect(schedule.offered(delivery(1), .dead(reason: "r"), now: .zero, chance: 0) == .dead(reason: "r"))
    }

    @Test func `a peer that cannot be reached is called again after longer and longer waits`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(1), delivery(2)]
        var now = Duration.zero
        for wait in [5, 10, 20] {
            #expect(schedule.begin(pending, now: now).sessions["archive"]?.count == 2)
            let changes = schedule.ended(
                "archive", .failed(reason: "r"), first: pending[0], rest: [pending[1]], now: now, chance: 0)
            // The second one only waits behind the first: its row is not written each time.
            #expect(Array(changes.keys) == ids(1))
            #expect(schedule.begin(pending, now: now + .seconds(wait - 1)).sessions.isEmpty)
            now += .seconds(wait)
        }
    }

    @Test func `an object that breaks associations does not delay the others`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(1), delivery(2)]
        _ = schedule.begin(pending, now: .zero)
        _ = schedule.ended(
            "archive", .failed(reason: "r"), first: pending[0], rest: [pending[1]], now: .zero, chance: 0)
        #expect(schedule.begin(pending, now: .seconds(5)).sessions == ["archive": ids(2, 1)])
    }

    @Test func `attempts end after 72 hours, added up over starts of the node`() {
        var schedule = OutboxSchedule()
        let old = delivery(1, tried: .seconds(72 * 3600 - 10))
        _ = schedule.begin([old], now: .seconds(100))
        let early = schedule.offered(old, .retry(reason: "r"), now: .seconds(109), chance: 0)
        #expect(early == .pendingAgain(spent: .seconds(9), rejections: 0, reason: "r"))
        let late = schedule.offered(
            delivery(1, tried: .seconds(72 * 3600 - 1)), .retry(reason: "r"), now: .seconds(110), chance: 0)
        #expect(late == .dead(reason: "not delivered in 72 hours: r"))
    }

    @Test func `the time of a delivery behind another one counts too`() {
        var schedule = OutboxSchedule()
        let (first, second) = (delivery(1), delivery(2, tried: .seconds(72 * 3600 - 5)))
        _ = schedule.begin([first, second], now: .zero)
        let changes = schedule.ended(
            "archive", .failed(reason: "r"), first: first, rest: [second], now: .seconds(5), chance: 0)
        #expect(changes[second.id] == .dead(reason: "not delivered in 72 hours: r"))
    }

    @Test func `a permanent rejection is tried every hour for a day`() {
        var schedule = OutboxSchedule()
        var now = Duration.zero
        var rejections = 0
        while true {
            let pending = delivery(1, rejections: rejections)
            #expect(!schedule.begin([pending], now: now).sessions.isEmpty)
            let changes = schedule.ended(
                "archive", .rejected(reason: "r"), first: pending, rest: [], now: now, chance: 0)
            if case .dead = changes[pending.id] { break }
            guard case .pendingAgain(_, let counted, _) = changes[pending.id] else { break }
            rejections = counted
            #expect(schedule.begin([pending], now: now + .seconds(3599)).sessions.isEmpty)
            now += .seconds(3600)
        }
        #expect(now == .seconds(24 * 3600))
    }

    @Test func `a delivery that an operator has revived is tried at once`() {
        var schedule = OutboxSchedule()
        let pending = delivery(1, rejections: 24)
        _ = schedule.begin([pending], now: .zero)
        _ = schedule.ended("archive", .rejected(reason: "r"), first: pending, rest: [], now: .zero, chance: 0)
        #expect(schedule.begin([delivery(2)], now: .seconds(1)).sessions.isEmpty)
        #expect(schedule.begin([delivery(1)], now: .seconds(2)).sessions == ["archive": ids(1)])
    }

    @Test func `a stopping node charges neither peers nor deliveries`() {
        var schedule = OutboxSchedule()
        _ = schedule.begin([delivery(1)], now: .zero)
        #expect(schedule.ended("archive", .stopped, first: delivery(1), rest: [], now: .zero, chance: 0).isEmpty)
        #expect(schedule.begin([delivery(1)], now: .zero).sessions == ["archive": ids(1)])
    }
}
