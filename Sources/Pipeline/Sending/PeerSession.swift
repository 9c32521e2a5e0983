// SPDX-License-Identifier: Apache-2.0

import DICOM
import Persistence

/// One association to one peer: offers deliveries in order until all were offered or it breaks. Blocks its thread.
struct PeerSession {
    let sender: StorageSender
    let peer: Peer
    let interruption: Interruption
    /// Refusals in a row after which the peer is left alone for a while.
    private static let refusals = 3

    /// - Parameters:
    ///   - deliveries: what to offer, in this order.
    ///   - stillPending: asked before each one: it may have been superseded since it was read.
    ///   - record: told what became of each; throws when that cannot be written.
    /// - Returns: how the session ended, and which delivery was under way or next then.
    func run(
        _ deliveries: [Delivery], stillPending: (DeliveryID) throws -> Bool,
        record: (Delivery, DeliveryOutcome) throws -> Void
    ) rethrows -> (end: OutboxSchedule.SessionEnd, at: DeliveryID?) {
        let contexts = deliveries.map {
            SOPClassAndSyntax(sopClassUID: $0.object.sopClassUID, transferSyntaxUID: $0.object.transferSyntaxUID)
        }
        let association: StorageAssociation
        switch Result(catching: { () throws(AssociationError) in
            try sender.connect(to: peer, contexts: contexts, interruption: interruption)
        }) {
        case .success(let connected): association = connected
        case .failure(let error): return (end(error), deliveries.first?.id)
        }
        var refusals = 0
        for delivery in deliveries {
            if interruption.isStopped { return (.stopped, nil) }
            guard try stillPending(delivery.id) else { continue }
            guard let path = delivery.object.path else {
                try record(delivery, .dead(reason: "its file is gone"))
                continue
            }
            let outcome: DeliveryOutcome
            switch Result(catching: { () throws(AssociationError) in try association.store(path: path) }) {
            case .success(let status): outcome = DeliveryOutcome(status: status)
            case .failure(let error):
                guard let itself = DeliveryOutcome(error) else { return (end(error), delivery.id) }
                outcome = itself
            }
            try record(delivery, outcome)
            if case .retry = outcome { refusals += 1 } else { refusals = 0 }
            if refusals == Self.refusals {
                association.release()
                return (.failed(reason: "the peer refuses one object after the other"), nil)
            }
        }
        association.release()
        return (.finished, nil)
    }

    private func end(_ error: AssociationError) -> OutboxSchedule.SessionEnd {
        if interruption.isStopped { return .stopped }
        if case .rejected(let rejection) = error, !rejection.isTransient { return .rejected(reason: "\(error)") }
        return .failed(reason: "\(error)")
    }
}
