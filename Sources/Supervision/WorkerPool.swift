// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Logging

/// The number of workers, their executable and their limits.
public struct WorkerPoolConfiguration: Sendable {
    /// Path of the `kontur` executable.
    ///
    /// Every worker runs its `worker` command.
    public var executable: String
    /// The number of instances that are indexed at once.
    ///
    /// One slow file then does not delay the others. The workers beyond the first start only if they are needed.
    public var indexWorkers: Int
    /// The number of stacks that are segmented at once.
    public var segmentWorkers: Int
    /// Computing threads of each segment worker, fixed at its start.
    ///
    /// `nil` divides the processors among the workers.
    public var threads: Int?
    /// Folder for the standard error of workers, one size-capped file each.
    ///
    /// `nil` drops the text.
    public var printFolder: String?
    /// Limits for indexing an instance.
    public var indexLimits: WorkerLimits
    /// Limits for segmenting a stack, without its weights.
    public var segmentLimits: WorkerLimits
    /// How long a worker waits for its next request before it is ended; the first index worker stays.
    public var idle: Duration

    public init(
        executable: String, indexWorkers: Int = 3, segmentWorkers: Int = 1, threads: Int? = nil,
        printFolder: String? = nil, indexLimits: WorkerLimits = .index, segmentLimits: WorkerLimits = .segment,
        idle: Duration = .seconds(60)
    ) {
        precondition(indexWorkers > 0 && segmentWorkers > 0, "a pool has at least one worker of each role")
        self.executable = executable
        self.indexWorkers = indexWorkers
        self.segmentWorkers = segmentWorkers
        self.threads = threads
        self.printFolder = printFolder
        self.indexLimits = indexLimits
        self.segmentLimits = segmentLimits
        self.idle = idle
    }

    /// Computing threads of each worker.
    var threadsPerWorker: Int {
        threads ?? max(1, min(8, ProcessInfo.processInfo.activeProcessorCount / segmentWorkers))
    }
}

/// The workers of a node or of one command: up to `indexWorkers` for indexing and `segmentWorkers` for segmenting.
///
/// Each worker has a thread that starts, feeds, watches, kills and reaps it. The pool does not block Swift's
/// cooperative threads. Workers start with the first request. A worker is replaced after a crash, an overrun, 1,000
/// requests, or a request that leaves it above its memory mark. Shut a pool down before you release it.
public final class WorkerPool: Sendable {
    /// The executable, the number of workers and their limits.
    public let configuration: WorkerPoolConfiguration
    private let index: WorkerQueue
    private let segment: WorkerQueue

    /// - Parameters:
    ///   - configuration: the executable, the number of workers and their limits.
    ///   - logger: receives a message for the start and the end of each worker.
    public init(configuration: WorkerPoolConfiguration, logger: Logger) {
        self.configuration = configuration
        index = WorkerQueue(
            role: .index, workers: configuration.indexWorkers, configuration: configuration, logger: logger)
        segment = WorkerQueue(
            role: .segment, workers: configuration.segmentWorkers, configuration: configuration, logger: logger)
    }

    /// The number of requests of this role that can run at once.
    public func capacity(_ role: WorkerRole) -> Int {
        role == .index ? configuration.indexWorkers : configuration.segmentWorkers
    }

    /// Gives a request to a worker once one is free, and waits for the result.
    ///
    /// If the calling task is cancelled, a worker that is busy with the request is killed.
    ///
    /// - Parameters:
    ///   - request: the work of the worker.
    ///   - progress: called on the worker's thread for every progress line; must not block.
    ///   - measured: called once on the worker's thread before the result is returned, if a worker was given the
    ///     request; must not block.
    /// - Returns: `.stopped` also if the calling task is cancelled.
    /// - Throws: `WorkMessageError` if the request is not a valid message, for instance because it is too long.
    public func perform(
        _ request: WorkRequest, progress: @escaping @Sendable (WorkProgress) -> Void = { _ in },
        measured: (@Sendable (WorkMeasure) -> Void)? = nil
    ) async throws(WorkMessageError) -> WorkResult {
        let line = try WorkMessage.line(request)
        let queue = request.role == .index ? index : segment
        let queued = QueuedRequest(
            line: line, weightBytes: request.weightBytes, progress: progress, measured: measured)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { queue.enqueue(queued, continuation: $0) }
        } onCancel: {
            queue.cancel(queued)
        }
    }

    /// Kills every worker, and answers all requests with `.stopped`, including later ones.
    ///
    /// The call returns after all workers are reaped.
    public func shutDown() async {
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            index.stop { self.segment.stop { done.resume() } }
        }
    }
}
