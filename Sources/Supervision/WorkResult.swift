// SPDX-License-Identifier: Apache-2.0

/// What became of a request.
public enum WorkResult: Sendable {
    /// The worker answered; refusals and failures of the work itself are answers too.
    case response(WorkResponse)
    /// The worker ended, or broke the protocol and was killed, before it answered.
    case workerDied(WorkerDeath)
    /// The worker took more than its limits allow and was killed.
    case overran(Overrun)
    /// No worker could be started: nothing is known about the request.
    case notStarted(WorkerSpawnError)
    /// The pool is shutting down, or the asking task was cancelled: nothing is known about the request.
    case stopped
}

/// How a worker came to its end in the middle of a request.
public enum WorkerDeath: Sendable, Hashable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)
    /// It wrote what is no message, or one over the limit.
    case broken(WorkMessageError)

    public var description: String {
        switch self {
        case .exited(let code): "the worker exited with code \(code)"
        case .signalled(let signal): "the worker died of signal \(signal)"
        case .broken(let error): "the worker broke the protocol: \(error)"
        }
    }

    /// Whether somebody else killed it: the out-of-memory killer, or an operator. Of the work this says little.
    public var isFromOutside: Bool { self == .signalled(9) }
}
