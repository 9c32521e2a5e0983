// SPDX-License-Identifier: Apache-2.0

package import Associations
package import Persistence

/// The meaning of a peer's commitment result for one delivery.
package enum CommitmentVerdict: Sendable, Hashable {
    /// The peer keeps the object.
    case committed
    /// The peer does not have the object, which is sent again.
    case lost(reason: String)
    /// A new request follows after a pause.
    case askAgain(reason: String)
    /// Another request would not help.
    case dead(reason: String)

    /// How often an object is sent again to a peer that says that it does not have it.
    package static let mostLosses = 3

    /// The verdicts of a result about the deliveries of its request.
    ///
    /// A failure counts if the request is the newest one about the object. A late commitment counts in any case: the
    /// object was not sent again since, because that takes it out of the request.
    ///
    /// - Parameters:
    ///   - result: the peer's result.
    ///   - request: the request that the result answers.
    ///   - time: time lived.
    /// - Returns: the verdicts of the deliveries that change.
    package static func judge(
        _ result: CommitmentResult, of request: StoredCommitmentRequest, at time: Duration
    ) -> [(delivery: UncommittedDelivery, verdict: CommitmentVerdict)] {
        let committed = Set(result.committed)
        let failed = Dictionary(result.failed.map { ($0.reference, $0.reason) }) { first, _ in first }
        return request.deliveries.compactMap { delivery in
            let reference = delivery.reference
            let isNewest = delivery.request == request.id
            // An instance in both lists is not kept for certain.
            if let reason = failed[reference] {
                return isNewest ? (delivery, failure(reason, delivery, at: time)) : nil
            }
            if committed.contains(reference) { return (delivery, .committed) }
            return isNewest
                ? (delivery, again("the peer's result leaves the object out", delivery, at: time)) : nil
        }
    }

    private static func failure(
        _ reason: CommitmentFailureReason, _ delivery: UncommittedDelivery, at time: Duration
    ) -> CommitmentVerdict {
        switch reason {
        case .noSuchObjectInstance where delivery.losses < mostLosses:
            .lost(reason: "the peer does not have the object: \(reason)")
        case .noSuchObjectInstance:
            .dead(reason: "the peer has lost the object \(delivery.losses + 1) times: \(reason)")
        case .classInstanceConflict, .sopClassNotSupported:
            .dead(reason: "the peer does not commit itself to keep the object: \(reason)")
        default: again("the peer does not commit itself yet: \(reason)", delivery, at: time)
        }
    }

    /// A new request, or the end after 72 hours without commitment.
    package static func again(_ reason: String, _ delivery: UncommittedDelivery, at time: Duration) -> Self {
        time >= delivery.commitBy ? .dead(reason: "not committed in 72 hours: \(reason)") : .askAgain(reason: reason)
    }
}

extension UncommittedDelivery {
    /// The object as a commitment names it.
    var reference: SOPReference { SOPReference(sopClassUID: sopClassUID, sopInstanceUID: sopInstanceUID) }
}

/// The times and the bounds of storage commitment.
package struct CommitmentLimits: Sendable {
    /// The time by which a peer has to commit itself, from the answer to C-STORE on; and the time for which the node tries
    /// to deliver a report.
    package var longest: Duration = .seconds(72 * 3600)
    /// How often the services look for objects that were sent, and for work that has become due.
    package var polling: Duration = .seconds(2)
    /// How long the node gathers deliveries for one request.
    package var gathering: Duration = .seconds(3)
    /// Most instances in one request of the node.
    package var mostInRequest = 500
    /// How long the node waits for a result on the association of its request.
    package var patience: Duration = .seconds(5)
    /// The time of a peer to answer a request: it doubles with each request in a row that was not answered.
    package var answer = Backoff(shortest: .seconds(3600), longest: .seconds(24 * 3600))
    /// The wait before a new request after the peer did not take the last one or did not commit itself, and before a report
    /// that the peer did not take.
    package var again = Backoff(shortest: .seconds(5), longest: .seconds(3600))
    /// The wait before a peer is called again that could not be reached.
    package var unreachable = Backoff(shortest: .seconds(5), longest: .seconds(600))
    /// How long the node leaves a peer that has asked alone, before it sends the report on the same association.
    ///
    /// Many peers release the association at once, and take the report on another one.
    package var courtesy: Duration = .milliseconds(500)
    /// Most instances in one request of a peer.
    package var mostAsked = 10_000
    /// Most requests of one peer that are open.
    package var mostOpen = 100

    /// The times and bounds of a node.
    package init() {}

    /// The time for the answer to a request, the random part of a wait left out.
    package func answerTime(unanswered: Int) -> Duration { answer.delay(failures: unanswered + 1, chance: 0) }
}
