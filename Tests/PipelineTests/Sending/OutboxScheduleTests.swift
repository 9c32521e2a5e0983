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

    /// Begins the sessions of all peers, each with one page.
    private func begin(
        _ schedule: inout OutboxSchedule, _ pending: [OutboxSchedule.Pending], now: Duration
    ) -> (sessions: [String: [DeliveryID]], next: Duration?) {
        var sessions: [String: [DeliveryID]] = [:]
        var next: Duration?
        for (peer, deliveries) in Dictionary(grouping: pending, by: \.peer) {
            let page = deliveries.sorted { $0.id < $1.id }
            switch schedule.turn(of: peer, newest: page[page.count - 1].id, now: now) {
            case .busy: continue
            case .waits(let until): next = min(next ?? until, until)
            case .now:
                let (session, later) = schedule.begin(peer, page, after: nil, now: now)
                if !session.isEmpty { sessions[peer] = session }
                if let later { next = min(next ?? later, later) }
            }
        }
        return (sessions, next)
    }

    private func ids(_ numbers: Int64...) -> [DeliveryID] { numbers.map { DeliveryID(rawValue: $0) } }

    @Test func `all pending deliveries are offered to their peers, oldest first, in one session per peer`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(3), delivery(1), delivery(2, peer: "other")]
        #expect(begin(&schedule, pending, now: .zero).sessions == ["archive": ids(1, 3), "other": ids(2)])
        #expect(begin(&schedule, pending, now: .zero).sessions.isEmpty)
    }

    @Test func `a session that was offered everything frees its peer`() {
        var schedule = OutboxSchedule()
        _ = begin(&schedule, [delivery(1)], now: .zero)
        #expect(schedule.offered(delivery(1), .sent(status: 0), now: .zero, chance: 0) == .sent(status: 0))
        let end = schedule.ended("archive", .finished, first: nil, now: .zero, chance: 0)
        #expect(end.change == nil && !end.accountsAll)
        #expect(begin(&schedule, [delivery(2)], now: .zero).sessions == ["archive": ids(2)])
    }

    @Test func `a refused object waits while the others go on`() {
        var schedule = OutboxSchedule()
        _ = begin(&schedule, [delivery(1), delivery(2)], now: .zero)
        let change = schedule.offered(delivery(1), .retry(reason: "full"), now: .seconds(1), chance: 0)
        #expect(change == .pendingAgain(spent: .seconds(1), rejections: 0, reason: "full"))
        _ = schedule.ended("archive", .finished, first: nil, now: .seconds(1), chance: 0)
        let next = begin(&schedule, [delivery(1)], now: .seconds(2))
        #expect(next.sessions.isEmpty)
        #expect(next.next == .seconds(6))
        #expect(begin(&schedule, [delivery(1), delivery(3)], now: .seconds(2)).sessions == ["archive": ids(3)])
    }

    @Test func `a final refusal is final`() {
        var schedule = OutboxSchedule()
        _ = begin(&schedule, [delivery(1)], now: .zero)
        #expect(schedule.offered(delivery(1), .dead(reason: "r"), now: .zero, chance: 0) == .dead(reason: "r"))
    }

    @Test func `a peer that cannot be reached is called again after longer and longer waits`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(1), delivery(2)]
        var now = Duration.zero
        for wait in [5, 10, 20] {
            #expect(begin(&schedule, pending, now: now).sessions["archive"]?.count == 2)
            // The second one only waits behind the first: its row is not written each time.
            let (change, accountsAll) = schedule.ended(
                "archive", .failed(reason: "r"), first: pending[0], now: now, chance: 0)
            #expect(change != nil && !accountsAll)
            #expect(begin(&schedule, pending, now: now + .seconds(wait - 1)).sessions.isEmpty)
            now += .seconds(wait)
        }
    }

    @Test func `an object that breaks associations does not delay the others`() {
        var schedule = OutboxSchedule()
        let pending = [delivery(1), delivery(2)]
        _ = begin(&schedule, pending, now: .zero)
        _ = schedule.ended("archive", .failed(reason: "r"), first: pending[0], now: .zero, chance: 0)
        #expect(begin(&schedule, pending, now: .seconds(5)).sessions == ["archive": ids(2, 1)])
    }

    @Test func `attempts end after 72 hours, added up over starts of the node`() {
        var schedule = OutboxSchedule()
        let old = delivery(1, tried: .seconds(72 * 3600 - 10))
        _ = begin(&schedule, [old], now: .seconds(100))
        let early = schedule.offered(old, .retry(reason: "r"), now: .seconds(109), chance: 0)
        #expect(early == .pendingAgain(spent: .seconds(9), rejections: 0, reason: "r"))
        let late = schedule.offered(
            delivery(1, tried: .seconds(72 * 3600 - 1)), .retry(reason: "r"), now: .seconds(110), chance: 0)
        #expect(late == .dead(reason: "not delivered in 72 hours: r"))
    }

    @Test func `the time of a delivery behind another one counts too, once an hour`() {
        var schedule = OutboxSchedule()
        let (first, old) = (delivery(1), delivery(2, tried: .seconds(71 * 3600)))
        let (young, late) = (delivery(3), delivery(4))
        _ = begin(&schedule, [first, old, young], now: .zero)
        let failure = OutboxSchedule.SessionEnd.failed(reason: "r")
        #expect(!schedule.ended("archive", failure, first: first, now: .seconds(3599), chance: 0).accountsAll)
        #expect(schedule.ended("archive", failure, first: first, now: .seconds(3600), chance: 0).accountsAll)
        let changes = schedule.account([first, old, young, late], failure, now: .seconds(3600))
        // The first one was charged already, and the last one came after the account began.
        #expect(changes.map(\.0.id) == ids(2, 3))
        #expect(changes[0].1 == .dead(reason: "not delivered in 72 hours: r"))
        #expect(changes[1].1 == .pendingAgain(spent: .seconds(3600), rejections: 0, reason: "r"))
        schedule.accounted("archive", newest: late.id, now: .seconds(3600))
        #expect(schedule.account([young, late], failure, now: .seconds(3600)).isEmpty)
        #expect(
            schedule.account([late], failure, now: .seconds(3700)).map(\.1)
                == [.pendingAgain(spent: .seconds(100), rejections: 0, reason: "r")])
    }

    @Test func `a permanent rejection is tried every hour for a day, for each delivery`() {
        var schedule = OutboxSchedule()
        var now = Duration.zero
        var rejections = 0
        let rejection = OutboxSchedule.SessionEnd.rejected(reason: "r")
        while true {
            let pending = delivery(1, rejections: rejections)
            #expect(!begin(&schedule, [pending], now: now).sessions.isEmpty)
            let end = schedule.ended("archive", rejection, first: pending, now: now, chance: 0)
            #expect(end.change == nil && end.accountsAll)
            let change = schedule.account([pending], rejection, now: now).first?.1
            schedule.accounted("archive", newest: pending.id, now: now)
            if case .dead = change { break }
            guard case .pendingAgain(_, let counted, _) = change else { break }
            rejections = counted
            #expect(begin(&schedule, [pending], now: now + .seconds(3599)).sessions.isEmpty)
            now += .seconds(3600)
        }
        #expect(now == .seconds(24 * 3600))
    }

    @Test func `deliveries behind a page of failed ones are found on the next page`() {
        var schedule = OutboxSchedule()
        let (page, next) = ([delivery(1), delivery(2)], [delivery(3)])
        _ = begin(&schedule, page + next, now: .zero)
        for failed in page { _ = schedule.offered(failed, .retry(reason: "r"), now: .zero, chance: 0) }
        _ = schedule.ended("archive", .finished, first: nil, now: .zero, chance: 0)
        #expect(schedule.turn(of: "archive", newest: next[0].id, now: .seconds(1)) == .now)
        let first = schedule.begin("archive", page, after: nil, now: .seconds(1))
        #expect(first.session.isEmpty && first.next == .seconds(5))
        #expect(schedule.begin("archive", next, after: page[1].id, now: .seconds(1)).session == ids(3))
    }

    @Test func `a delivery that an operator has revived is tried at once`() {
        var schedule = OutboxSchedule()
        let pending = delivery(1, rejections: 24)
        let rejection = OutboxSchedule.SessionEnd.rejected(reason: "r")
        _ = begin(&schedule, [pending], now: .zero)
        _ = schedule.ended("archive", rejection, first: pending, now: .zero, chance: 0)
        _ = schedule.account([pending], rejection, now: .zero)
        #expect(schedule.givenUp == ids(1))
        #expect(begin(&schedule, [delivery(2)], now: .seconds(1)).sessions.isEmpty)
        schedule.revived(pending.id, to: "archive", now: .seconds(2))
        #expect(schedule.givenUp.isEmpty)
        #expect(begin(&schedule, [delivery(1)], now: .seconds(2)).sessions == ["archive": ids(1)])
    }

    @Test func `a stopping node charges neither peers nor deliveries`() {
        var schedule = OutboxSchedule()
        _ = begin(&schedule, [delivery(1)], now: .zero)
        let end = schedule.ended("archive", .stopped, first: delivery(1), now: .zero, chance: 0)
        #expect(end.change == nil && !end.accountsAll)
        #expect(begin(&schedule, [delivery(1)], now: .zero).sessions == ["archive": ids(1)])
    }
}
