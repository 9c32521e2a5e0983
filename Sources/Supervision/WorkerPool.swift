// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Logging

/// How many workers there are, what they run and what they may use.
public struct WorkerPoolConfiguration: Sendable {
    /// Path of the `kontur` executable, of which every worker is a child.
    public var executable: String
    /// How many stacks are segmented at once.
    public var segmentWorkers: Int
    /// Computing threads of each segment worker, fixed at its start; `nil` shares the processors out.
    public var threads: Int?
    /// Folder for what workers print, one size-capped file each; `nil` drops it.
    public var printFolder: String?
    public var indexLimits: WorkerLimits
    public var segmentLimits: WorkerLimits
    /// How long a segment worker waits for its next request before it leaves.
    public var idle: Duration

    public init(
        executable: String, segmentWorkers: Int = 1, threads: Int? = nil, printFolder: String? = nil,
        indexLimits: WorkerLimits = .index, segmentLimits: WorkerLimits = .segment, idle: Duration = .seconds(60)
    ) {
        precondition(segmentWorkers > 0, "a pool has at least one segment worker")
        self.executable = executable
        self.segmentWorkers = segmentWorkers
        self.threads = threads
        self.printFolder = printFolder
        self.indexLimits = indexLimits
        self.segmentLimits = segmentLimits
        self.idle = idle
    }

    /// The executable of this very process.
    public static var ownExecutable: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// Computing threads of each segment worker.
    var threadsPerWorker: Int {
        threads ?? max(1, min(8, ProcessInfo.processInfo.activeProcessorCount / segmentWorkers))
    }
}

/// The workers of a node or of one command: one for indexing and up to `segmentWorkers` for segmenting.
///
/// Each worker has a thread that starts, feeds, watches, kills and reaps it; nothing here blocks Swift's cooperative
/// pool. Workers start with the first request. After a crash, an overrun, 1,000 requests or a memory mark a worker is
/// replaced. A pool must be shut down before it is let go.
public final class WorkerPool: Sendable {
    public let configuration: WorkerPoolConfiguration
    private let index: WorkerLane
    private let segment: WorkerLane

    public init(configuration: WorkerPoolConfiguration, logger: Logger) {
        self.configuration = configuration
        index = WorkerLane(role: .index, workers: 1, configuration: configuration, logger: logger)
        segment = WorkerLane(
            role: .segment, workers: configuration.segmentWorkers, configuration: configuration, logger: logger)
    }

    /// How many requests of this kind can run at once.
    public func capacity(_ role: WorkerRole) -> Int { role == .index ? 1 : configuration.segmentWorkers }

    /// Asks a worker, waiting for one to be free.
    ///
    /// - Parameters:
    ///   - progress: called on the worker's thread for every progress line; must not block.
    ///   - measured: called there once, before the answer is given, when a worker has been asked; must not block.
    /// - Returns: `.stopped` also when the calling task is cancelled: a worker busy with the request is killed.
    /// - Throws: `WorkMessageError` when the request is no valid message, being too long for instance.
    public func perform(
        _ request: WorkRequest, progress: @escaping @Sendable (WorkProgress) -> Void = { _ in },
        measured: @escaping @Sendable (WorkMeasure) -> Void = { _ in }
    ) async throws(WorkMessageError) -> WorkResult {
        let line = try WorkMessage.line(request)
        let lane = request.role == .index ? index : segment
        let item = WorkItem(
            line: line, weightBytes: request.weightBytes, progress: progress, measured: measured)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { lane.enqueue(item, continuation: $0) }
        } onCancel: {
            lane.cancel(item)
        }
    }

    /// Kills every worker and answers every request with `.stopped`; later requests too. Returns when all are reaped.
    public func shutDown() async {
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            index.stop { self.segment.stop { done.resume() } }
        }
    }
}
