// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Platform

/// One request on its way, with the task that waits for its result.
// `@unchecked`: the mutable properties are touched only under the queue's lock.
final class QueuedRequest: @unchecked Sendable {
    /// The message, line end included.
    let line: [UInt8]
    /// Size of the weight file that the request needs, in bytes; 0 if it does not need one.
    let weightBytes: Int
    let progress: @Sendable (WorkProgress) -> Void
    let measured: (@Sendable (WorkMeasure) -> Void)?
    fileprivate var continuation: CheckedContinuation<WorkResult, Never>?
    fileprivate var isCancelled = false

    /// - Parameters:
    ///   - line: the message, line end included.
    ///   - weightBytes: size of the weight file that the request needs.
    ///   - progress: called for every progress line; must not block.
    ///   - measured: called once a worker has ended the request; must not block. `nil` saves the measurement.
    init(
        line: [UInt8], weightBytes: Int, progress: @escaping @Sendable (WorkProgress) -> Void,
        measured: (@Sendable (WorkMeasure) -> Void)?
    ) {
        self.line = line
        self.weightBytes = weightBytes
        self.progress = progress
        self.measured = measured
    }
}

/// The requests of one role, and the threads that serve them. Each thread has at most one worker process.
// `@unchecked`: the mutable properties are touched only under `condition`.
final class WorkerQueue: @unchecked Sendable {
    private let role: WorkerRole
    private let workers: Int
    private let configuration: WorkerPoolConfiguration
    private let logger: Logger
    private let condition = MonotonicCondition()
    private var waiting: [QueuedRequest] = []
    /// Numbers of the living threads.
    ///
    /// The number names the file for the standard error of the thread's workers.
    private var threads: Set<Int> = []
    /// The threads that wait for a request, or that look for one in a moment.
    private var idleThreads = 0
    private var isStopping = false
    private var onStopped: (() -> Void)?

    /// - Parameters:
    ///   - role: the kind of requests.
    ///   - workers: most workers at once.
    ///   - configuration: the executable and the limits.
    ///   - logger: receives a message for the start and the end of each worker.
    init(role: WorkerRole, workers: Int, configuration: WorkerPoolConfiguration, logger: Logger) {
        self.role = role
        self.workers = workers
        self.configuration = configuration
        self.logger = logger
    }

    private var limits: WorkerLimits { role == .index ? configuration.indexLimits : configuration.segmentLimits }

    /// Adds a request.
    ///
    /// If all threads are busy and another one is allowed, a thread is started for the request.
    ///
    /// - Parameters:
    ///   - request: cancelled or queued once.
    ///   - continuation: resumed with the result; at once with `.stopped` if the request is cancelled or the queue
    ///     stops.
    func enqueue(_ request: QueuedRequest, continuation: CheckedContinuation<WorkResult, Never>) {
        let refused: Bool = condition.withLock {
            guard !isStopping, !request.isCancelled else { return true }
            request.continuation = continuation
            waiting.append(request)
            if idleThreads < waiting.count, threads.count < workers {
                let number = (0..<workers).first { !threads.contains($0) } ?? 0
                threads.insert(number)
                idleThreads += 1
                DedicatedThread.start(name: "kontur-\(role.rawValue)-\(number)") { self.serve(number: number) }
            }
            condition.wakeAll()
            return false
        }
        if refused { continuation.resume(returning: .stopped) }
    }

    /// Cancels a request.
    ///
    /// A request that waits is answered at once. A request that a worker has is answered when the worker's thread
    /// notices the cancellation.
    func cancel(_ request: QueuedRequest) {
        let continuation = condition.withLock { () -> CheckedContinuation<WorkResult, Never>? in
            request.isCancelled = true
            guard let place = waiting.firstIndex(where: { $0 === request }) else { return nil }
            waiting.remove(at: place)
            defer { request.continuation = nil }
            return request.continuation
        }
        continuation?.resume(returning: .stopped)
    }

    /// Stops the queue permanently.
    ///
    /// All requests are answered with `.stopped`.
    ///
    /// - Parameter done: called after the last worker has been reaped.
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

    /// The life of one thread: it serves requests one after the other.
    private func serve(number: Int) {
        let slot = WorkerSlot(
            role: role, number: number, limits: limits, configuration: configuration, logger: logger)
        repeat {
            while let request = next(stays: role == .index && number == 0) {
                let result = slot.perform(request) {
                    self.condition.withLock { self.isStopping || request.isCancelled }
                }
                let continuation = condition.withLock { () -> CheckedContinuation<WorkResult, Never>? in
                    // Whoever gets the result may have another request at once, and that needs no other worker.
                    idleThreads += 1
                    defer { request.continuation = nil }
                    return request.continuation
                }
                continuation?.resume(returning: result)
            }
            slot.endWorker()
        } while !retire(number: number)
    }

    /// Removes the thread from the list.
    ///
    /// - Returns: `false` if a request came after the thread was idle too long. This thread has to serve it, because
    ///   `enqueue` counted it as idle and did not start another one.
    private func retire(number: Int) -> Bool {
        let (isOver, done) = condition.withLock { () -> (Bool, (() -> Void)?) in
            guard isStopping || waiting.isEmpty else { return (false, nil) }
            threads.remove(number)
            idleThreads -= 1
            return (true, isStopping && threads.isEmpty ? onStopped : nil)
        }
        done?()
        return isOver
    }

    /// Waits for the next request; the thread counts as idle until it has one.
    ///
    /// - Parameter stays: whether the thread waits for any time. The first index worker stays: instances may arrive at
    ///   any time, and the closing of series waits for it.
    /// - Returns: `nil` if the thread has to end.
    private func next(stays: Bool) -> QueuedRequest? {
        condition.withLock {
            while !isStopping {
                if !waiting.isEmpty {
                    idleThreads -= 1
                    return waiting.removeFirst()
                }
                let isInTime = condition.wait(timeout: stays ? nil : configuration.idle)
                if !isInTime, waiting.isEmpty { return nil }
            }
            return nil
        }
    }
}
