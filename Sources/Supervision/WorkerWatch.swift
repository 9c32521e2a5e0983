// SPDX-License-Identifier: Apache-2.0

public import Platform

/// Decides whether a worker that is busy with one request may go on: a value, so that every limit is tested without a
/// process. Times are readings of one monotonic clock, counted from any origin.
public struct WorkerWatch: Sendable {
    public let limits: WorkerLimits
    /// When the worker last gave a sign of life.
    private var lastSign: Duration
    /// Processor time of the process when the request began; `nil` until the first sample.
    private var processorTimeAtStart: Duration?
    /// Frames or slices done, as far as progress has told.
    private var steps = 0

    public init(limits: WorkerLimits, now: Duration) {
        self.limits = limits
        lastSign = now
    }

    /// A progress line has arrived: the silence ends here, and frames that are done have paid for themselves.
    public mutating func progressed(_ progress: WorkProgress, now: Duration) {
        lastSign = now
        if progress.phase == .segmenting { steps = max(steps, progress.done) }
    }

    /// Judges one sample.
    ///
    /// - Parameter usage: what the process uses; `nil` when it could not be read, as of a process that has just ended.
    /// - Returns: the limit that is overrun, or `nil` while all hold.
    public mutating func check(now: Duration, usage: ProcessUsage?) -> Overrun? {
        if let usage {
            let start = processorTimeAtStart ?? usage.processorTime
            processorTimeAtStart = start
            if usage.residentMemory > limits.memory { return .memory }
            let allowed = limits.processorTime + limits.processorTimePerStep * steps
            if usage.processorTime - start > allowed { return .processorTime }
        }
        return now - lastSign > limits.silence ? .silence : nil
    }
}
