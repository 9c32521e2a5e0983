// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Platform

/// One request on its way, with the task that waits for it.
// `@unchecked`: the mutable properties are touched only under the lane's lock.
final class WorkItem: @unchecked Sendable {
    let line: [UInt8]
    /// Size of the file of weights that it needs, 0 for none.
    let weightBytes: Int
    let progress: @Sendable (WorkProgress) -> Void
    let measured: @Sendable (WorkMeasure) -> Void
    fileprivate var continuation: CheckedContinuation<WorkResult, Never>?
    fileprivate var isCancelled = false

    init(
        line: [UInt8], weightBytes: Int = 0, progress: @escaping @Sendable (WorkProgress) -> Void,
        measured: @escaping @Sendable (WorkMeasure) -> Void = { _ in }
    ) {
        self.line = line
        self.weightBytes = weightBytes
        self.progress = progress
        self.measured = measured
    }
}

/// The queue of one role and the threads that serve it, each with at most one worker process.
// `@unchecked`: the mutable properties are touched only under `condition`.
final class WorkerLane: @unchecked Sendable {
    private let role: WorkerRole
    private let workers: Int
    private let configuration: WorkerPoolConfiguration
    private let logger: Logger
    private let condition = MonotonicCondition()
    private var waiting: [WorkItem] = []
    /// Numbers of the threads that live; a thread's number names the file of what its workers print.
    private var threads: Set<Int> = []
    private var idleThreads = 0
    private var isStopping = false
    private var onStopped: (() -> Void)?

    init(role: WorkerRole, workers: Int, configuration: WorkerPoolConfiguration, logger: Logger) {
        self.role = role
        self.workers = workers
        self.configuration = configuration
        self.logger = logger
    }

    var limits: WorkerLimits { role == .index ? configuration.indexLimits : configuration.segmentLimits }

    func enqueue(_ item: WorkItem, continuation: CheckedContinuation<WorkResult, Never>) {
        let refused: Bool = condition.withLock {
            guard !isStopping, !item.isCancelled else { return true }
            item.continuation = continuation
            waiting.append(item)
            if idleThreads < waiting.count, threads.count < workers {
                let number = (0..<workers).first { !threads.contains($0) } ?? 0
                threads.insert(number)
                let thread = Thread { self.serve(number: number) }
                thread.name = "kontur-\(role.rawValue)-\(number)"
                thread.stackSize = 1 << 20
                thread.start()
            }
            condition.wakeAll()
            return false
        }
        if refused { continuation.resume(returning: .stopped) }
    }

    /// Takes a request back: one still waiting is answered at once, one being worked on when its thread notices.
    func cancel(_ item: WorkItem) {
        let continuation = condition.withLock { () -> CheckedContinuation<WorkResult, Never>? in
            item.isCancelled = true
            guard let place = waiting.firstIndex(where: { $0 === item }) else { return nil }
            waiting.remove(at: place)
            defer { item.continuation = nil }
            return item.continuation
        }
        continuation?.resume(returning: .stopped)
    }

    /// Stops for good; `done` runs when the last worker has been reaped.
    func stop(_ done: @escaping () -> Void) {
        let (orphans, isStopped) = condition.withLock { () -> ([CheckedContinuation<WorkResult, Never>], Bool) in
            isStopping = true
            let orphans = waiting.compactMap(\.continuation)
            waiting = []
            if !threads.isEmpty { onStopped = done }
            condition.wakeAll()
            return (orphans, threads.isEmpty)
        }
        for orphan in orphans { orphan.resume(returning: .stopped) }
        if isStopped { done() }
    }

    /// The life of one thread: request after request, with a worker that is replaced when it must be.
    private func serve(number: Int) {
        let station = WorkerStation(
            role: role, number: number, limits: limits, configuration: configuration, logger: logger)
        repeat {
            while let item = next() {
                let result = station.perform(item) { self.condition.withLock { self.isStopping || item.isCancelled } }
                let continuation = condition.withLock { () -> CheckedContinuation<WorkResult, Never>? in
                    defer { item.continuation = nil }
                    return item.continuation
                }
                continuation?.resume(returning: result)
            }
            station.leave()
        } while !retire(number: number)
    }

    /// Takes the thread off the list; `false` when a request has come since it had nothing to do, which only this thread
    /// can serve: no other was started for it.
    private func retire(number: Int) -> Bool {
        let (isOver, done) = condition.withLock { () -> (Bool, (() -> Void)?) in
            guard isStopping || waiting.isEmpty else { return (false, nil) }
            threads.remove(number)
            return (true, isStopping && threads.isEmpty ? onStopped : nil)
        }
        done?()
        return isOver
    }

    /// The next request for a thread; `nil` when the thread shall end.
    private func next() -> WorkItem? {
        condition.withLock {
            idleThreads += 1
            defer { idleThreads -= 1 }
            while !isStopping {
                if !waiting.isEmpty { return waiting.removeFirst() }
                // The index worker stays: instances arrive at any time, and the closing of series waits for it.
                let isInTime = condition.wait(timeout: role == .index ? nil : configuration.idle)
                if !isInTime, waiting.isEmpty { return nil }
            }
            return nil
        }
    }
}
