// SPDX-License-Identifier: Apache-2.0

package import DICOM

/// The answer of a storage SCP to A-ASSOCIATE-RQ (PS3.8 9.3.3, PS3.7 annex D.3).
///
/// The answer is a pure function of the request. A peer that may store can propose any storage class, whether standard,
/// private or unknown. Many senders fail a whole study if one class is refused. A peer that may store can also use
/// storage commitment: it asks the node, and it tells the node the results of the node's own requests. A peer that the
/// node asks for commitment can tell the results in any case.
package enum Negotiation {
    /// Bytes of the longest PDU that the node takes.
    package static let maximumLength: UInt32 = 131_072
    /// Bytes of the shortest P-DATA-TF that holds a fragment: the PDV's length, context ID and control header, and two
    /// bytes, because fragments are even (PS3.8 9.3.5.1).
    private static let shortestData: UInt32 = 8

    /// Answers a request.
    ///
    /// - Parameters:
    ///   - request: the peer's request.
    ///   - aeTitle: the node's AE title.
    ///   - peer: the configured peer that calls; `nil` for an unknown caller.
    /// - Returns: one answer per context, or the rejection.
    package static func answer(
        to request: AssociationProposal, aeTitle: AETitle, peer: Peer?
    ) -> Result<[ContextAnswer], AssociationRejection> {
        guard request.applicationContext == AssociationProposal.applicationContext else {
            return .failure(.applicationContextNameNotSupported)
        }
        guard let peer, !peer.may.isEmpty else { return .failure(.callingAETitleNotRecognized) }
        guard AETitle(request.called) == aeTitle else { return .failure(.calledAETitleNotRecognized) }
        guard request.maximumLength == 0 || request.maximumLength >= shortestData else {
            return .failure(.permanentLocalLimit)
        }
        return .success(request.contexts.map { answer(to: $0, peer) })
    }

    private static func answer(
        to context: AssociationProposal.Context, _ peer: Peer
    ) -> ContextAnswer {
        let (result, role) = judge(context, peer)
        let syntax =
            context.transferSyntaxes.first {
                TransferSyntax(rawValue: $0).map(TransferSyntax.decodable.contains) == true
            }
            ?? context.transferSyntaxes.first { UID($0) != nil && !TransferSyntax.pixelsElsewhere.contains($0) }
        guard result == .acceptance, let syntax else {
            return ContextAnswer(
                id: context.id, result: result == .acceptance ? .transferSyntaxesNotSupported : result,
                transferSyntax: TransferSyntax.implicitVRLittleEndian.rawValue)
        }
        return ContextAnswer(id: context.id, result: .acceptance, transferSyntax: syntax, role: role)
    }

    /// Whether the node provides the service in the roles that the peer proposes (PS3.7 D.3.3.4).
    ///
    /// Without a proposal the peer is the SCU. A role is accepted only if the peer proposed it. The peer may be the SCP
    /// only of storage commitment, where it tells the node its results (PS3.4 J.3.3).
    private static func judge(
        _ context: AssociationProposal.Context, _ peer: Peer
    ) -> (ContextAnswer.Result, ContextRole) {
        guard UID(context.abstractSyntax) != nil else { return (.abstractSyntaxNotSupported, .default) }
        switch context.abstractSyntax {
        case CommitmentRequest.PushModel.sopClassUID:
            let isAllowed = peer.may.contains(.store) || peer.commitment
            return isAllowed ? (.acceptance, context.role) : (.userRejection, .default)
        case SOPClass.verification where !peer.may.contains(.echo):
            return (.userRejection, .default)
        case SOPClass.verification:
            break
        case let sopClass:
            if SOPClass.isService(sopClass) { return (.abstractSyntaxNotSupported, .default) }
            if !peer.may.contains(.store) { return (.userRejection, .default) }
        }
        switch context.role {
        case .default: return (.acceptance, .default)
        case .scu, .both: return (.acceptance, .scu)
        // The peer proposes to be only the SCP: it wants to receive over this association (PS3.4 C.4.3, C-GET).
        case .scp: return (.userRejection, .default)
        }
    }
}
