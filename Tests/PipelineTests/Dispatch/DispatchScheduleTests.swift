// SPDX-License-Identifier: Apache-2.0

import Persistence
import Pipeline
import Testing

@Suite struct DispatchScheduleTests {
    private func ids(_ numbers: Int64...) -> [JobID] { numbers.map { JobID(rawValue: $0) } }
    private let first = JobID(rawValue: 1)
    private let second = JobID(rawValue: 2)

    @Test func `jobs start oldest first, as many as there are workers`() {
        var schedule = DispatchSchedule(capacity: 2)
        #expect(schedule.free == 2)
        #expect(schedule.start(ids(1, 2, 3), now: .zero) == ids(1, 2))
        #expect(schedule.free == 0 && schedule.untried(ids(1, 2, 3)) == ids(3))
        #expect(schedule.start(ids(3), now: .zero) == [])
        schedule.ended(first)
        #expect(schedule.start(ids(3), now: .zero) == ids(3))
    }

    @Test func `a job that is queued again waits, longer each time, and lets others pass`() {
        var schedule = DispatchSchedule(capacity: 1)
        #expect(schedule.start(ids(1, 2), now: .zero) == ids(1))
        schedule.queuedAgain(first, now: .zero, chance: 0)
        #expect(schedule.untried(ids(1, 2)) == ids(2))
        #expect(schedule.start(ids(2), now: .zero) == ids(2))
        #expect(schedule.next == .seconds(2))
        schedule.ended(second)
        #expect(schedule.start([], now: .seconds(1.9)) == [])
        #expect(schedule.start([], now: .seconds(2)) == ids(1))
        schedule.queuedAgain(first, now: .seconds(2), chance: 0)
        #expect(schedule.next == .seconds(6))
    }

    @Test func `jobs that failed and jobs that have not run take turns`() {
        var schedule = DispatchSchedule(capacity: 1)
        for failing in ids(1, 2) {
            _ = schedule.start([failing], now: .zero)
            schedule.queuedAgain(failing, now: .zero, chance: 0)
        }
        var order: [JobID] = []
        var others = ids(3, 4)
        while let job = schedule.start(others, now: .seconds(2)).first {
            order.append(job)
            others.removeAll { $0 == job }
            schedule.ended(job)
        }
        #expect(order == ids(1, 3, 2, 4))
    }

    @Test func `a job that is no longer queued leaves no memory`() {
        var schedule = DispatchSchedule(capacity: 1)
        _ = schedule.start(ids(1), now: .zero)
        schedule.queuedAgain(first, now: .zero, chance: 0)
        schedule.ended(first)
        #expect(schedule.next == nil)
        #expect(schedule.start(ids(1), now: .zero) == ids(1))
    }
}
