// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Persistence

/// One association to one peer.
///
/// It offers deliveries in order, until all are offered or the association breaks.
struct PeerSession {
    let sender: StorageSender
    let peer: Peer
    let interruption: Interruption
    /// Refusals in a row after which the session ends.
    ///
    /// The schedule then waits before the next session.
    private static let refusals = 3

    /// Runs the session.
    ///
    /// The call blocks.
    ///
    /// - Parameters:
    ///   - deliveries: the deliveries to offer, in this order.
    ///   - offer: called before each object is sent, and before the association is made. It writes the offer down, and
    ///     throws if it cannot. The answer is `false` if the delivery is not pending any more.
    ///   - record: called with the outcome of each delivery; keeps trying until the outcome is written down.
    /// - Returns: how the session ended, the delivery that was under way or next, and whether it was under way, so that
    ///   the peer may have its object.
    /// - Throws: the error of `offer`; the object was not sent then.
    func run(
        _ deliveries: [Delivery], offer: (DeliveryID) throws -> Bool,
        record: (Delivery, DeliveryOutcome) throws -> Void
    ) throws -> (end: OutboxSchedule.SessionEnd, at: DeliveryID?, isUnderWay: Bool) {
        // Without a way to record answers, the peer is not even called.
        guard let first = try deliveries.first(where: { try offer($0.id) }) else { return (.finished, nil, false) }
        let contexts = deliveries.map {
            SOPClassAndSyntax(sopClassUID: $0.object.sopClassUID, transferSyntaxUID: $0.object.transferSyntaxUID)
        }
        let association: StorageAssociation
        switch Result(catching: { () throws(AssociationError) in
            try sender.connect(to: peer, contexts: contexts, interruption: interruption)
        }) {
        case .success(let connected): association = connected
        case .failure(let error): return (end(error), first.id, false)
        }
        var refusals = 0
        for delivery in deliveries {
            if interruption.isStopped { return (.stopped, nil, false) }
            guard try delivery.id == first.id || offer(delivery.id) else { continue }
            guard let path = delivery.object.path else {
                try record(delivery, .dead(reason: "the file of the object is missing"))
                continue
            }
            let outcome: DeliveryOutcome
            switch Result(catching: { () throws(AssociationError) in try association.store(path: path) }) {
            case .success(let status): outcome = DeliveryOutcome(status: status)
            case .failure(let error):
                guard let itself = DeliveryOutcome(error) else { return (end(error), delivery.id, true) }
                outcome = itself
            }
            try record(delivery, outcome)
            if case .retry = outcome { refusals += 1 } else { refusals = 0 }
            if refusals == Self.refusals {
                association.release()
                return (.failed(reason: "the peer refused \(Self.refusals) objects in a row"), nil, false)
            }
        }
        association.release()
        return (.finished, nil, false)
    }

    private func end(_ error: AssociationError) -> OutboxSchedule.SessionEnd {
        if interruption.isStopped { return .stopped }
        if case .rejected(let rejection) = error, !rejection.isTransient { return .rejected(reason: "\(error)") }
        return .failed(reason: "\(error)")
    }
}

/// The meaning of one attempt to send an object for its delivery.
package enum DeliveryOutcome: Sendable, Hashable {
    /// The peer has the object.
    case sent(status: UInt16)
    /// Try again later, until 72 hours of attempts have passed.
    case retry(reason: String)
    /// Another attempt would fail too.
    case dead(reason: String)

    /// The meaning of the status of a C-STORE response: PS3.4 table B.2-1, PS3.7 C.5.
    package init(status: DIMSEStatus) {
        let code = status
        // A warning says that the object is stored, and `warning(for:)` says what the peer complains about.
        if status.isWarning {
            self = .sent(status: status.rawValue)
            return
        }
        switch status.rawValue {
        // Success. 0111 Duplicate SOP Instance: the peer has it already (PS3.7 C.5.4).
        case 0x0000, 0x0111: self = .sent(status: status.rawValue)
        // PS3.4 B.2.3 Refused: Out of Resources.
        case 0xA700...0xA7FF: self = .retry(reason: "the peer lacks resources (status \(code))")
        // PS3.7 C.5.15 Processing failure.
        case 0x0110: self = .retry(reason: "the peer failed (status \(code))")
        // PS3.7 C.5.7 Invalid SOP Instance, C.5.19 SOP Class not supported, C.5.20 Not authorized.
        case 0x0117: self = .dead(reason: "the peer calls the SOP instance UID invalid (status \(code))")
        case 0x0122: self = .dead(reason: "the peer does not support the SOP class (status \(code))")
        case 0x0124: self = .dead(reason: "the peer does not let us store (status \(code))")
        // PS3.4 B.2.3 Error: Data Set does not match SOP Class; Error: Cannot understand.
        case 0xA900...0xA9FF:
            self = .dead(reason: "the peer says the object does not fit its SOP class (status \(code))")
        case 0xC000...0xCFFF: self = .dead(reason: "the peer cannot understand the object (status \(code))")
        // The meaning of other failures is unknown, so they are retried.
        default: self = .retry(reason: "the peer answered with status \(code)")
        }
    }
}

extension DeliveryOutcome {
    /// The warning in a status with which the peer stored the object; `nil` if the status is not a warning.
    package static func warning(for status: UInt16) -> String? {
        let code = DIMSEStatus(rawValue: status)
        guard code.isWarning else { return nil }
        let words =
            switch status {
            // PS3.7 annex C.4.
            case 0x0001: "it does not support optional attributes"
            case 0x0107: "an attribute list error"
            case 0x0116: "an attribute value is out of range"
            // PS3.4 table B.2-1.
            case 0xB000: "it coerced data elements"
            case 0xB006: "it discarded elements"
            case 0xB007: "the data set does not match the SOP class"
            default: "a warning of the peer's own"
            }
        return "stored with a warning: \(words) (status \(code))"
    }

    /// The meaning of an error for the object that was being sent.
    ///
    /// `nil` if the error concerns the whole association.
    package init?(_ error: AssociationError) {
        switch error {
        case .noPresentationContext: self = .dead(reason: "\(error)")
        case .unreadableFile: self = .retry(reason: "\(error)")
        case .notConnected, .rejected, .aborted, .connectionLost, .timeout: return nil
        }
    }
}
