// SPDX-License-Identifier: Apache-2.0
#include "Negotiation.hpp"

#include <set>

namespace associations {

namespace {

// Runs `body` with each node of one of DCMTK's lists. ASC_getPresentationContext is not used, because it takes only 50
// transfer syntaxes.
template <class Node, class Body> void forEach(LST_HEAD **list, Body body) {
    if (*list == nullptr) return;
    auto *node = reinterpret_cast<Node *>(LST_Head(list));
    if (node != nullptr) LST_Position(list, reinterpret_cast<LST_NODE *>(node));
    for (; node != nullptr; node = reinterpret_cast<Node *>(LST_Next(list))) body(*node);
}

LST_HEAD **contexts(T_ASC_Association *association) {
    return &association->params->DULparams.requestedPresentationContext;
}

uint8_t roleNumber(DUL_SC_ROLE role) {
    switch (role) {
    case DUL_SC_ROLE_SCU: return 1;
    case DUL_SC_ROLE_SCP: return 2;
    case DUL_SC_ROLE_SCUSCP: return 3;
    default: return 0;
    }
}

T_ASC_SC_ROLE role(uint8_t number) {
    static const T_ASC_SC_ROLE roles[] = {
        ASC_SC_ROLE_DEFAULT, ASC_SC_ROLE_SCU, ASC_SC_ROLE_SCP, ASC_SC_ROLE_SCUSCP};
    return roles[number & 3];
}

} // namespace

bool hasValidContexts(T_ASC_Association *association) {
    std::set<uint8_t> seen;
    bool isValid = true;
    forEach<DUL_PRESENTATIONCONTEXT>(contexts(association), [&](DUL_PRESENTATIONCONTEXT &context) {
        const uint8_t id = context.presentationContextID;
        isValid = isValid && id % 2 == 1 && seen.insert(id).second;
    });
    return isValid && !seen.empty();
}

void putRequest(Message &message, T_ASC_Association *association, const ConnectionState &state) {
    const T_ASC_Parameters *parameters = association->params;
    message.text(parameters->DULparams.callingAPTitle).text(parameters->DULparams.calledAPTitle);
    message.text(parameters->DULparams.applicationContextName);
    message.u32(static_cast<uint32_t>(parameters->theirMaxPDUReceiveSize));
    message.text(parameters->theirImplementationClassUID).text(parameters->theirImplementationVersionName);
    state.certificate.put(message);
    message.u16(static_cast<uint16_t>(ASC_countPresentationContexts(association->params)));
    forEach<DUL_PRESENTATIONCONTEXT>(contexts(association), [&](DUL_PRESENTATIONCONTEXT &context) {
        message.u8(context.presentationContextID).text(context.abstractSyntax);
        message.u8(roleNumber(context.proposedSCRole));
        message.u16(static_cast<uint16_t>(LST_Count(&context.proposedTransferSyntax)));
        forEach<DUL_TRANSFERSYNTAX>(&context.proposedTransferSyntax, [&](DUL_TRANSFERSYNTAX &syntax) {
            message.text(syntax.transferSyntax);
        });
    });
}

std::optional<std::map<uint8_t, AcceptedContext>> takeAnswer(Received &accept, T_ASC_Association *association) {
    std::map<uint8_t, std::string> proposed;
    std::set<std::string> answeredRoles;
    forEach<DUL_PRESENTATIONCONTEXT>(contexts(association), [&](DUL_PRESENTATIONCONTEXT &context) {
        proposed[context.presentationContextID] = context.abstractSyntax;
    });
    std::map<uint8_t, AcceptedContext> accepted;
    for (uint16_t count = accept.u16(); count > 0; count--) {
        const uint8_t id = accept.u8();
        const uint8_t result = accept.u8();
        const std::string syntax = accept.text();
        T_ASC_SC_ROLE answered = role(accept.u8());
        // The roles of a SOP class are answered once (PS3.7 D.3.3.4).
        if (result == ASC_P_ACCEPTANCE && answered != ASC_SC_ROLE_DEFAULT && !answeredRoles.insert(proposed[id]).second)
            answered = ASC_SC_ROLE_DEFAULT;
        T_ASC_Parameters *parameters = association->params;
        const OFCondition condition =
            result == ASC_P_ACCEPTANCE
                ? ASC_acceptPresentationContext(parameters, id, syntax.c_str(), answered)
                : ASC_refusePresentationContext(parameters, id, static_cast<T_ASC_P_ResultReason>(result));
        if (condition.bad() || !accept.isWhole()) return std::nullopt;
        if (result == ASC_P_ACCEPTANCE) accepted[id] = {proposed[id], syntax};
    }
    return accepted;
}

} // namespace associations
