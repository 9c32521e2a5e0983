// SPDX-License-Identifier: Apache-2.0

/// What a request took, measured from outside.
public struct WorkMeasure: Sendable, Hashable {
    /// From the moment a worker was free for it to its answer or end, the start of the worker included.
    public var duration: Duration
    /// The most resident memory of the worker during the request, bytes; `nil` where the system does not tell, or when
    /// the worker ended.
    public var peakMemory: Int?

    public init(duration: Duration, peakMemory: Int?) {
        self.duration = duration
        self.peakMemory = peakMemory
    }
}
