// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Platform

/// The way by which other threads send N-EVENT-REPORTs over an association that a peer requested (PS3.4 J.3.3).
///
/// The association's thread takes a report at its next look, and sends it between two requests of the peer.
// `@unchecked`: the mutable property is touched only under `condition`.
package final class CommitmentReports: @unchecked Sendable {
    private enum State {
        case free
        case waiting(CommitmentResult)
        case sent
        case answered(DIMSEStatus?)
        case over
    }

    private let condition = MonotonicCondition()
    private var state = State.free

    init() {}

    /// Sends a report, from any thread but the association's.
    ///
    /// Blocks until the peer has answered or the association is over.
    ///
    /// - Returns: the status of the peer's response; `nil` if the association is over, or ends before the response.
    package func report(_ result: CommitmentResult) -> DIMSEStatus? {
        condition.withLock {
            while true {
                if case .over = state { return nil }
                if case .free = state { break }
                _ = condition.wait(timeout: nil)
            }
            state = .waiting(result)
            while true {
                switch state {
                case .over: return nil
                case .answered(let status):
                    state = .free
                    condition.wakeAll()
                    return status
                case .free, .waiting, .sent: _ = condition.wait(timeout: nil)
                }
            }
        }
    }

    /// The report to send now, if there is one.
    func take() -> CommitmentResult? {
        condition.withLock {
            guard case .waiting(let result) = state else { return nil }
            state = .sent
            return result
        }
    }

    /// Notes the peer's answer to the report; `nil` if the report could not be sent.
    func answered(_ status: DIMSEStatus?) { move(to: .answered(status)) }

    /// Ends the reports, because the association is over.
    func close() { move(to: .over) }

    private func move(to next: State) {
        condition.withLock {
            state = next
            condition.wakeAll()
        }
    }
}
