// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Supervision
import Testing

@Suite struct WorkerLimitsTests {
    private let limits = WorkerLimits(
        memory: 1000, silence: .seconds(10), processorTime: .seconds(20), memoryMark: 500)

    private func usage(memory: Int = 10, processor: Int = 0) -> ProcessUsage {
        ProcessUsage(residentMemory: memory, processorTime: .seconds(processor))
    }

    @Test func `a worker within its limits goes on`() {
        var watch = WorkerWatch(limits: limits, now: .seconds(5))
        #expect(watch.check(now: .seconds(15), usage: usage(memory: 1000, processor: 20)) == nil)
    }

    @Test func `resident memory over the limit is an overrun`() {
        var watch = WorkerWatch(limits: limits, now: .zero)
        #expect(watch.check(now: .zero, usage: usage(memory: 1001)) == .memory)
    }

    @Test func `processor time counts from the first sample of the request`() {
        var watch = WorkerWatch(limits: limits, now: .zero)
        #expect(watch.check(now: .zero, usage: usage(processor: 3600)) == nil)
        #expect(watch.check(now: .seconds(1), usage: usage(processor: 3620)) == nil)
        #expect(watch.check(now: .seconds(2), usage: usage(processor: 3621)) == .processorTime)
    }

    @Test func `silence is an overrun and a progress line ends it`() {
        var watch = WorkerWatch(limits: limits, now: .zero)
        #expect(watch.check(now: .seconds(10), usage: nil) == nil)
        watch.progressed(WorkProgress(phase: .segmenting, done: 0, total: 1), now: .seconds(10))
        #expect(watch.check(now: .seconds(20), usage: nil) == nil)
        #expect(watch.check(now: .seconds(21), usage: nil) == .silence)
    }

    @Test func `every finished frame allows more processor time, and other progress does not`() {
        var limits = limits
        limits.processorTimePerStep = .seconds(5)
        var watch = WorkerWatch(limits: limits, now: .zero)
        #expect(watch.check(now: .zero, usage: usage()) == nil)
        watch.progressed(WorkProgress(phase: .reading, done: 50, total: 50), now: .seconds(1))
        #expect(watch.check(now: .seconds(1), usage: usage(processor: 21)) == .processorTime)
        watch.progressed(WorkProgress(phase: .segmenting, done: 2, total: 50), now: .seconds(2))
        #expect(watch.check(now: .seconds(2), usage: usage(processor: 30)) == nil)
        #expect(watch.check(now: .seconds(2), usage: usage(processor: 31)) == .processorTime)
    }

    @Test func `weights from a file raise the limits, up to the size of the machine`() {
        let base = WorkerLimits.segment
        #expect(base.allowing(weightBytes: 0) == base)
        let large = base.allowing(weightBytes: 100 << 20)
        #expect(large.memory >= base.memory && large.memory <= base.memory + 300 << 20)
        #expect(large.memoryMark == base.memoryMark + 300 << 20)
        #expect(large.silence == base.silence + .seconds(200))
        let most = Int(ProcessInfo.processInfo.physicalMemory)
        #expect(base.allowing(weightBytes: .max).memory <= max(base.memory, most))
    }
}
