// SPDX-License-Identifier: Apache-2.0

/// The answer of a storage SCP to A-ASSOCIATE-RQ (PS3.8 9.3.3, PS3.7 annex D.3).
///
/// The answer is a pure function of the request. A peer that may store can propose any storage class, whether standard,
/// private or unknown. Many senders fail a whole study if one class is refused.
package enum Negotiation {
    /// Answers a request.
    ///
    /// - Parameters:
    ///   - request: the peer's request.
    ///   - aeTitle: the node's AE title.
    ///   - peer: the configured peer that calls; `nil` for an unknown caller.
    /// - Returns: the acceptance with one answer per context, or the rejection.
    package static func answer(
        to request: AssociateRequest, aeTitle: AETitle, peer: Peer?
    ) -> Result<AssociateAccept, AssociationRejection> {
        guard request.protocolVersion & 1 == 1 else { return .failure(.protocolVersionNotSupported) }
        guard request.applicationContext == AssociateRequest.applicationContext else {
            return .failure(.applicationContextNameNotSupported)
        }
        guard let peer, !peer.may.isEmpty else { return .failure(.callingAETitleNotRecognized) }
        guard request.calledAETitle == aeTitle else { return .failure(.calledAETitleNotRecognized) }
        let roles = Dictionary(request.user.roles.map { ($0.sopClass, $0) }, uniquingKeysWith: { first, _ in first })
        let contexts = request.contexts.map { answer(to: $0, roles: roles, may: peer.may) }
        let accepted = Set(
            zip(request.contexts, contexts).compactMap { $1.result == .acceptance ? $0.abstractSyntax : nil })
        let answeredRoles = request.user.roles.filter { accepted.contains($0.sopClass) }.map {
            RoleSelection(sopClass: $0.sopClass, scu: true, scp: false)
        }
        return .success(
            AssociateAccept(
                contexts: contexts,
                user: UserInformation(maximumLength: UInt32(PDULimits.ours), roles: answeredRoles)))
    }

    private static func answer(
        to context: ProposedContext, roles: [String: RoleSelection], may: Set<Peer.Permission>
    ) -> ContextAnswer {
        let result: ContextAnswer.Result
        if let abstractSyntax = context.abstractSyntax {
            let role = roles[abstractSyntax]
            if abstractSyntax == SOPClass.verification {
                result = may.contains(.echo) ? .acceptance : .userRejection
            } else if SOPClass.isService(abstractSyntax) {
                result = .abstractSyntaxNotSupported
            } else if !may.contains(.store) {
                result = .userRejection
            } else if let role, !role.scu {
                // The peer proposes to be only the SCP: it wants to receive over this association (PS3.4 C.4.3, C-GET).
                result = .userRejection
            } else {
                result = .acceptance
            }
        } else {
            result = .abstractSyntaxNotSupported
        }
        let syntax =
            context.transferSyntaxes.first {
                TransferSyntax(rawValue: $0).map(TransferSyntax.decodable.contains) == true
            }
            ?? context.transferSyntaxes.first { !TransferSyntax.pixelsElsewhere.contains($0) }
        guard result == .acceptance, let syntax else {
            return ContextAnswer(
                id: context.id, result: result == .acceptance ? .transferSyntaxesNotSupported : result,
                transferSyntax: TransferSyntax.implicitVRLittleEndian.rawValue)
        }
        return ContextAnswer(id: context.id, result: .acceptance, transferSyntax: syntax)
    }
}
