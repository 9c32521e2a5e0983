// SPDX-License-Identifier: Apache-2.0

package import Supervision

/// What a job's run means for the job.
package enum JobVerdict: Sendable, Hashable {
    /// Its objects are written and verified, or nothing was found.
    case done(SegmentOutcome)
    /// The segmenter cannot take the stack after all.
    case unfit(reason: String)
    /// Given up; `charged` when the last attempt counts.
    case dead(reason: String, charged: Bool)
    /// To be tried again after a while; `charged` only when the worker died or overran while the node lived.
    case queuedAgain(reason: String, charged: Bool)

    /// Attempts that end by the job's own doing before it is given up.
    package static let attempts = 5
    /// Attempts that end in a kill from outside, of which the job may be innocent.
    package static let attemptsFromOutside = 20

    /// - Parameter attempts: charged before this run.
    package init(_ result: WorkResult, attempts: Int) {
        switch result {
        case .response(.segmented(let outcome)): self = .done(outcome)
        case .response(.unfit(let reason)): self = .unfit(reason: reason)
        case .response(.failed(let reason)): self = .dead(reason: reason, charged: false)
        case .response(.hindered(let reason)): self = .queuedAgain(reason: reason, charged: false)
        case .response(.indexed), .response(.quarantine):
            self = .dead(reason: "the worker gave the answer to another question", charged: false)
        case .workerDied(let death):
            let limit = death.isFromOutside ? Self.attemptsFromOutside : Self.attempts
            self = Self.lost(reason: "\(death)", attempts: attempts, limit: limit)
        case .overran(let overrun):
            self = Self.lost(
                reason: "the worker overran its limit: \(overrun.rawValue)", attempts: attempts, limit: Self.attempts)
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
