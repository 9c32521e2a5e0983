// SPDX-License-Identifier: Apache-2.0

package import DICOM

/// What one try to send one object means for its delivery.
package enum DeliveryOutcome: Sendable, Hashable {
    /// The peer has it.
    case sent(status: UInt16)
    /// Try again later, until 72 hours of trying have passed.
    case retry(reason: String)
    /// Trying again gives the same.
    case dead(reason: String)

    /// What a C-STORE response status means: PS3.4 table B.2-1, PS3.7 C.5.
    package init(status: DIMSEStatus) {
        let code = status
        switch status.rawValue {
        // Success; B000 Coercion of Data Elements, B006 Elements Discarded, B007 Data Set does not match SOP Class (all
        // PS3.4 B.2.3: stored, with a warning); 0111 Duplicate SOP Instance (PS3.7 C.5.4: the peer has it already).
        case 0x0000, 0xB000, 0xB006, 0xB007, 0x0111: self = .sent(status: status.rawValue)
        // PS3.4 B.2.3 Refused: Out of Resources.
        case 0xA700...0xA7FF: self = .retry(reason: "the peer has no room (status \(code))")
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
        // Other warnings say that it was stored; of any other failure nothing is known, so it is tried again.
        case 0xB000...0xBFFF: self = .sent(status: status.rawValue)
        default: self = .retry(reason: "the peer answered with status \(code)")
        }
    }
}

extension DeliveryOutcome {
    /// What an error means for the object that was being sent; `nil` when it says something about the association.
    package init?(_ error: AssociationError) {
        switch error {
        case .noPresentationContext: self = .dead(reason: "\(error)")
        case .unreadableFile: self = .retry(reason: "\(error)")
        case .notConnected, .rejected, .aborted, .connectionLost, .timeout: return nil
        }
    }
}
