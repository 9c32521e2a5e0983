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
        guard PDULimits.fragment(forMaximum: request.user.maximumLength) != nil else {
            return .failure(.permanentLocalLimit)
        }
        let roles = Dictionary(request.user.roles.map { ($0.sopClass, $0) }, uniquingKeysWith: { first, _ in first })
        let contexts = request.contexts.map { answer(to: $0, roles: roles, may: peer.may) }
        let accepted = Set(
            zip(request.contexts, contexts).compactMap { $1.result == .acceptance ? $0.abstractSyntax : nil })
        return .success(
            AssociateAccept(
                contexts: contexts,
                user: UserInformation(
                    maximumLength: UInt32(PDULimits.ours), roles: answers(to: request.user.roles, accepted: accepted))))
    }

    /// Answers each class for which the peer proposed roles once (PS3.7 D.3.3.4).
    ///
    /// The node is always the SCP. The peer's role of the SCU is accepted only if the peer proposed it, and the role of
    /// the SCP is never accepted.
    private static func answers(to proposed: [RoleSelection], accepted: Set<String>) -> [RoleSelection] {
        var answered: Set<String> = []
        return proposed.filter { answered.insert($0.sopClass).inserted }.map {
            RoleSelection(sopClass: $0.sopClass, scu: $0.scu && accepted.contains($0.sopClass), scp: false)
        }
    }

    private static func answer(
        to context: ProposedContext, roles: [String: RoleSelection], may: Set<Peer.Permission>
    ) -> ContextAnswer {
        let result: ContextAnswer.Result
        if let abstractSyntax = context.abstractSyntax {
            let isVerification = abstractSyntax == SOPClass.verification
            if !isVerification, SOPClass.isService(abstractSyntax) {
                result = .abstractSyntaxNotSupported
            } else if !may.contains(isVerification ? .echo : .store) {
                result = .userRejection
            } else if let role = roles[abstractSyntax], !role.scu {
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
