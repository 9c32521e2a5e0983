// SPDX-License-Identifier: Apache-2.0

public import Platform

/// The result of a request to the worker pool.
public enum WorkResult: Sendable {
    /// The worker answered. Refusals and failures of the work itself are answers too.
    case response(WorkResponse)
    /// The worker ended before it answered, or broke the protocol and was killed.
    case workerDied(WorkerDeath)
    /// The worker exceeded a limit and was killed.
    case overran(Overrun)
    /// The worker could not be started, which is not the fault of the request.
    case notStarted(SpawnError)
    /// The pool is shutting down, or the calling task was cancelled. The request is not at fault.
    case stopped
}

/// The end of a worker in the middle of a request.
public enum WorkerDeath: Sendable, Hashable, CustomStringConvertible {
    /// The worker exited with this code.
    case exited(Int32)
    /// This signal ended the worker.
    case signalled(Int32)
    /// The worker wrote a line that is not a message, or that is too long.
    case broken(WorkMessageError)

    init(_ ending: ChildProcess.Ending) {
        switch ending {
        case .exited(let code): self = .exited(code)
        case .signalled(let signal): self = .signalled(signal)
        }
    }

    public var description: String {
        switch self {
        case .exited(let code): "the worker exited with code \(code)"
        case .signalled(let signal): "the worker died of signal \(signal)"
        case .broken(let error): "the worker broke the protocol: \(error)"
        }
    }

    /// Whether another process killed the worker with SIGKILL, such as the out-of-memory killer or an operator.
    ///
    /// The request is then probably not the cause.
    public var isFromOutside: Bool { self == .signalled(9) }

    /// Whether the worker died of its own code: SIGILL, SIGTRAP, SIGABRT, SIGFPE or SIGSEGV.
    ///
    /// The same request kills the next worker, too. SIGBUS is not among these signals: see ``mayBeTheDisk``.
    public var isTrap: Bool {
        guard case .signalled(let signal) = self else { return false }
        return [4, 5, 6, 8, 11].contains(signal)
    }

    /// Whether the worker died of SIGBUS, the signal of a mapped file that cannot be read.
    public var mayBeTheDisk: Bool { self == .signalled(7) }
}

/// The time and memory that a request took, measured from outside.
public struct WorkMeasure: Sendable, Hashable {
    /// The time from the moment at which a worker was free for the request, until the worker answered or ended.
    ///
    /// The time includes the start of the worker.
    public var duration: Duration
    /// Peak of the worker's resident memory during the request, in bytes.
    ///
    /// `nil` if the worker has ended, or if the kernel does not provide the value.
    public var peakMemory: Int?

    public init(duration: Duration, peakMemory: Int?) {
        self.duration = duration
        self.peakMemory = peakMemory
    }
}
