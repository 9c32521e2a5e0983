// SPDX-License-Identifier: Apache-2.0

import Persistence
import Pipeline
import Testing

@Suite struct DispatchScheduleTests {
    private func job(_ number: Int64, attempts: Int = 0) -> (id: JobID, attempts: Int) {
        (JobID(rawValue: number), attempts)
    }

    private func ids(_ numbers: Int64...) -> [JobID] { numbers.map { JobID(rawValue: $0) } }

    @Test func `jobs start oldest first, as many as there are workers`() {
        var schedule = DispatchSchedule(capacity: 2)
        #expect(schedule.start([job(1), job(2), job(3)], now: .zero).start == ids(1, 2))
        #expect(schedule.start([job(1), job(2), job(3)], now: .zero).start == [])
        schedule.ended(JobID(rawValue: 1))
        #expect(schedule.start([job(2), job(3)], now: .zero).start == ids(3))
    }

    @Test func `a job that is queued again waits, longer each time, and lets others pass`() {
        var schedule = DispatchSchedule(capacity: 1)
        _ = schedule.start([job(1), job(2)], now: .zero)
        schedule.queuedAgain(JobID(rawValue: 1), attempts: 1, now: .zero, chance: 0)
        let second = schedule.start([job(1, attempts: 1), job(2)], now: .zero)
        #expect(second.start == ids(2))
        #expect(second.next == .seconds(2))
        schedule.ended(JobID(rawValue: 2))
        #expect(schedule.start([job(1, attempts: 1)], now: .seconds(1.9)).start == [])
        #expect(schedule.start([job(1, attempts: 1)], now: .seconds(2)).start == ids(1))
        schedule.queuedAgain(JobID(rawValue: 1), attempts: 2, now: .seconds(2), chance: 0)
        #expect(schedule.start([job(1, attempts: 2)], now: .seconds(2)).next == .seconds(6))
    }

    @Test func `a job that an operator has revived runs at once`() {
        var schedule = DispatchSchedule(capacity: 1)
        _ = schedule.start([job(1, attempts: 3)], now: .zero)
        schedule.queuedAgain(JobID(rawValue: 1), attempts: 4, now: .zero, chance: 1)
        #expect(schedule.start([job(1, attempts: 4)], now: .zero).start == [])
        #expect(schedule.start([job(1, attempts: 0)], now: .zero).start == ids(1))
    }

    @Test func `a job that is no longer queued leaves no memory`() {
        var schedule = DispatchSchedule(capacity: 1)
        _ = schedule.start([job(1)], now: .zero)
        schedule.queuedAgain(JobID(rawValue: 1), attempts: 1, now: .zero, chance: 0)
        #expect(schedule.start([], now: .zero).start == [])
        #expect(schedule.start([job(1, attempts: 1)], now: .zero).start == ids(1))
    }
}
