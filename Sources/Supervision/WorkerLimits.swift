// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What one worker may use before it is killed, and when it is replaced without blame.
///
/// Memory is resident memory, watched from outside: under an address-space limit OpenBLAS retries `mmap` for ever.
public struct WorkerLimits: Sendable, Hashable {
    /// Bytes of resident memory above which the worker is killed.
    public var memory: Int
    /// Seconds without an answer or a progress line after which the worker is killed.
    public var silence: Duration
    /// Seconds of processor time, all threads together, that one request may take.
    public var processorTime: Duration
    /// What each step of the progress adds to it: large networks take minutes a frame, and videos have many frames.
    public var processorTimePerStep: Duration
    /// Requests after which a worker is replaced.
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

    /// Reading a header: a second is already long, and a file of 1 GiB is hashed once.
    public static let index = WorkerLimits(
        memory: 3 << 30, silence: .seconds(60), processorTime: .seconds(60), memoryMark: 256 << 20)
    /// Segmenting a stack: a progress line is due with every frame or slice.
    public static let segment = WorkerLimits(
        memory: min(6 << 30, mostMemory), silence: .seconds(300), processorTime: .seconds(4 * 3600),
        processorTimePerStep: .seconds(300 * 8), memoryMark: 1536 << 20)

    /// Three quarters of the machine.
    private static let mostMemory = Int(ProcessInfo.processInfo.physicalMemory / 4 * 3)

    /// The limits for a request whose weights come from a file: it is mapped, packed, and may be held a third time while
    /// that goes on. A worker that has loaded large weights is not replaced for their sake. A frame takes longer the larger
    /// the network is, and workers stand behind everything else that runs: two seconds more for each MiB.
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

/// What a request used more of than it may.
public enum Overrun: String, Sendable, Hashable, Codable {
    case memory
    case silence
    case processorTime
}
