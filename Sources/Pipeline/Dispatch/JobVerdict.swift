// SPDX-License-Identifier: Apache-2.0

package import Supervision

/// The meaning of a run's result for the job.
package enum JobVerdict: Sendable, Hashable {
    /// The objects are written and verified, or no frame has a finding.
    case done(SegmentOutcome)
    /// The segmenter does not accept the stack.
    case unfit(reason: String)
    /// The job is given up. `charged` says whether the last attempt counts.
    case dead(reason: String, charged: Bool)
    /// The job runs again later. Only an attempt whose worker died or exceeded a limit while the node lived is
    /// `charged`.
    case queuedAgain(reason: String, charged: Bool)

    /// Attempts after which a job is given up because its workers crash or exceed a limit.
    private static let attempts = 5
    /// Attempts after which a job is given up because another process kills its workers.
    ///
    /// The job is rarely the cause of such a kill.
    private static let attemptsFromOutside = 20

    /// Judges the result of a run.
    ///
    /// - Parameters:
    ///   - result: the result of the worker pool.
    ///   - attempts: attempts charged before this run.
    package init(_ result: WorkResult, attempts: Int) {
        switch result {
        case .response(.segmented(let outcome)): self = .done(outcome)
        case .response(.unfit(let reason)): self = .unfit(reason: reason)
        case .response(.failed(let reason)): self = .dead(reason: reason, charged: false)
        case .response(.hindered(let reason)): self = .queuedAgain(reason: reason, charged: false)
        case .response(.indexed), .response(.compared), .response(.quarantine):
            self = .dead(reason: "the worker gave the answer to another kind of request", charged: false)
        case .workerDied(let death):
            let limit = death.isFromOutside ? Self.attemptsFromOutside : Self.attempts
            self = Self.lost(reason: "\(death)", attempts: attempts, limit: limit)
        case .overran(let overrun):
            self = Self.lost(reason: "\(overrun)", attempts: attempts, limit: Self.attempts)
        case .notStarted(let error): self = .queuedAgain(reason: "\(error)", charged: false)
        case .stopped: self = .queuedAgain(reason: "the node stopped", charged: false)
        }
    }

    private static func lost(reason: String, attempts: Int, limit: Int) -> JobVerdict {
        attempts + 1 >= limit
            ? .dead(reason: "\(reason), the last of \(attempts + 1) attempts", charged: true)
            : .queuedAgain(reason: reason, charged: true)
    }
}
