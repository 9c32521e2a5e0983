// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Platform

/// The resources that one worker may use before it is killed, and the marks at which it is replaced.
///
/// Memory means resident memory without the pages of mapped files, watched from outside. An address-space limit would
/// make OpenBLAS retry `mmap` for ever.
public struct WorkerLimits: Sendable, Hashable {
    /// Bytes of resident memory above which the worker is killed.
    public var memory: Int
    /// The time without an answer or a progress line after which the worker is killed.
    public var silence: Duration
    /// The processor time, all threads together, that one request may take.
    public var processorTime: Duration
    /// The processor time that each finished frame or slice adds.
    ///
    /// Large networks take minutes per frame, and videos have many frames.
    public var processorTimePerStep: Duration
    /// The number of requests after which a worker is replaced.
    public var requests: Int
    /// Bytes of resident memory at the end of a request above which the worker is replaced.
    public var memoryMark: Int

    public init(
        memory: Int, silence: Duration, processorTime: Duration, processorTimePerStep: Duration = .zero,
        requests: Int = 1000, memoryMark: Int
    ) {
        self.memory = memory
        self.silence = silence
        self.processorTime = processorTime
        self.processorTimePerStep = processorTimePerStep
        self.requests = requests
        self.memoryMark = memoryMark
    }

    /// The limits for reading a header.
    ///
    /// A request usually takes less than a second. The limits leave time to hash a file of 1 GiB, and memory for an
    /// inflated data set of the largest size, once more while it grows.
    public static let index = WorkerLimits(
        memory: 1536 << 20, silence: .seconds(60), processorTime: .seconds(60), memoryMark: 256 << 20)
    /// The limits for segmenting a stack.
    ///
    /// A progress line is due with every frame or slice.
    public static let segment = WorkerLimits(
        memory: min(6 << 30, mostMemory), silence: .seconds(300), processorTime: .seconds(4 * 3600),
        processorTimePerStep: .seconds(300 * 8), memoryMark: 1536 << 20)

    /// Three quarters of the machine's memory, in bytes.
    private static let mostMemory = Int(ProcessInfo.processInfo.physicalMemory / 4 * 3)

    /// The limits for a request with weights from a file.
    ///
    /// The memory limit and the memory mark grow by three times the size of the file: it is mapped, packed, and held a
    /// third time for a moment. The raised mark keeps a worker that holds large weights. The allowed silence grows by
    /// two seconds per MiB, because larger networks take longer per frame, and workers have a lower priority than other
    /// processes.
    ///
    /// - Parameter weightBytes: size of the file; 0 leaves the limits as they are.
    /// - Returns: the raised limits.
    package func allowing(weightBytes: Int) -> WorkerLimits {
        guard weightBytes > 0 else { return self }
        var limits = self
        let more = 3 * min(weightBytes, 1 << 40)
        limits.memory = max(memory, min(memory + more, Self.mostMemory))
        limits.memoryMark += more
        let patience = Duration.seconds(2 * (min(weightBytes, 1 << 40) >> 20))
        limits.silence += patience
        limits.processorTimePerStep += patience * 8
        return limits
    }
}

/// The limit that a worker exceeded.
public enum Overrun: String, Sendable, Hashable, Codable, CustomStringConvertible {
    case memory
    case silence
    case processorTime

    public var description: String {
        switch self {
        case .memory: "the worker exceeded its memory limit"
        case .silence: "the worker gave no sign of life for too long"
        case .processorTime: "the worker exceeded its processor time"
        }
    }
}

/// Decides whether a worker may go on with its request.
///
/// This is a value, so that tests cover every limit without a process. Times are readings of one monotonic clock.
public struct WorkerWatch: Sendable {
    private let limits: WorkerLimits
    /// The time of the last sign of life.
    private var lastSign: Duration
    /// Processor time of the process when the request began; `nil` until the first sample.
    private var processorTimeAtStart: Duration?
    /// Frames or slices that progress lines have reported as done.
    private var steps = 0

    /// - Parameters:
    ///   - limits: the limits of the request.
    ///   - now: when the request was given to the worker.
    public init(limits: WorkerLimits, now: Duration) {
        self.limits = limits
        lastSign = now
    }

    /// Takes a progress line.
    ///
    /// The silence starts anew, and finished frames add processor time.
    public mutating func progressed(_ progress: WorkProgress, now: Duration) {
        lastSign = now
        if progress.phase == .segmenting { steps = max(steps, progress.done) }
    }

    /// Checks one sample against the limits.
    ///
    /// - Parameters:
    ///   - now: when the sample was taken.
    ///   - usage: the resources that the process uses; `nil` if it could not be read, as for a process that has just
    ///     ended.
    /// - Returns: the exceeded limit, or `nil` if all limits hold.
    public mutating func check(now: Duration, usage: ProcessUsage?) -> Overrun? {
        if let usage {
            let start = processorTimeAtStart ?? usage.processorTime
            processorTimeAtStart = start
            if usage.residentMemory - usage.mappedMemory > limits.memory { return .memory }
            let allowed = limits.processorTime + limits.processorTimePerStep * steps
            if usage.processorTime - start > allowed { return .processorTime }
        }
        return now - lastSign > limits.silence ? .silence : nil
    }
}
