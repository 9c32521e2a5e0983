// SPDX-License-Identifier: Apache-2.0

package import Associations
package import DICOM
import Platform

extension AssociationRequestor: CommitmentCaller {
    package func connect(
        to peer: Peer, _ role: CommitmentRole, interruption: Interruption
    ) throws(AssociationError) -> any CommitmentAssociation {
        // The requestor is the SCU without a negotiation, which every peer understands (PS3.7 D.3.3.4).
        let context = ContextProposal.commitment(role == .asks ? .default : .scp)
        return try connect(to: peer, contexts: [context], interruption: interruption)
    }
}

extension RequestedAssociation: CommitmentAssociation {}
