// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Supervision
import Testing

@Suite struct WorkerWatchTests {
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

    @Test func `every frame that is done allows more processor time, progress of other kinds does not`() {
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

    @Test func `weights from a file are allowed for, as far as the machine goes`() {
        let base = WorkerLimits.segment
        #expect(base.allowing(weightBytes: 0) == base)
        let large = base.allowing(weightBytes: 100 << 20)
        #expect(large.memory >= base.memory && large.memory <= base.memory + 300 << 20)
        #expect(large.memoryMark == base.memoryMark + 300 << 20)
        #expect(large.silence == base.silence + .seconds(200))
        let most = Int(ProcessInfo.processInfo.physicalMemory)
        #expect(base.allowing(weightBytes: .max).memory <= max(base.memory, most))
    }

    @Test func `usage is parsed whatever the program is called`() throws {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 5 0 0"
        let usage = try #require(ProcessUsage(statm: "900 25 10 1 0 90 0\n", stat: stat))
        #expect(usage.residentMemory == 25 * Int(sysconf(Int32(_SC_PAGESIZE))))
        #expect(usage.processorTime == .milliseconds(200 * 1000 / Int(sysconf(Int32(_SC_CLK_TCK)))))
        #expect(ProcessUsage(statm: "", stat: stat) == nil)
        #expect(ProcessUsage(statm: "900 25", stat: "42 (x") == nil)
    }

    @Test func `the usage of this process is plausible`() throws {
        let usage = try #require(ProcessUsage(processID: ProcessInfo.processInfo.processIdentifier))
        #expect(usage.residentMemory > 1 << 20)
        #expect(ProcessUsage(processID: 0) == nil)
    }
}
