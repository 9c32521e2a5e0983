// SPDX-License-Identifier: Apache-2.0
#include "Incoming.hpp"

#include "Ending.hpp"

#include "dcmtk/dcmnet/dulstruc.h"

namespace associations {

Incoming::Outcome Incoming::fail(uint8_t reason, const char *mistake) {
    abortReason_ = reason;
    mistake_ = mistake;
    return Outcome::malformed;
}

bool Incoming::holdsFragment() {
    if (!holdsFragment_) holdsFragment_ = DUL_NextPDV(&association_->DULassociation, &fragment_).good();
    return holdsFragment_;
}

Incoming::Outcome Incoming::readPDU() {
    const OFCondition condition = DUL_ReadPDVs(&association_->DULassociation, nullptr, DUL_BLOCK, 0);
    if (condition == DUL_PDATAPDUARRIVED) return Outcome::whole;
    if (condition == DUL_PEERREQUESTEDRELEASE) return Outcome::released;
    if (state_.watch.sawAbort() || state_.isLost) return Outcome::gone;
    if (state_.isInterrupted) return Outcome::gone;
    // DCMTK reports success if it has answered a PDU out of turn with an A-ABORT.
    if (state_.sentAbort) return fail(unexpectedPDU, "a PDU came that is not allowed in data transfer");
    if (condition.code() == DULC_UNRECOGNIZEDPDUTYPE) return fail(unrecognizedPDU, "unrecognized PDU type");
    return fail(invalidPDUParameter, "a PDU is malformed, or longer than was negotiated");
}

Incoming::Outcome Incoming::nextFragment(DUL_PDV &fragment) {
    if (!holdsFragment()) {
        const Outcome outcome = readPDU();
        if (outcome != Outcome::whole) return outcome;
        if (!holdsFragment()) return fail(invalidPDUParameter, "a PDU does not hold a fragment");
    }
    holdsFragment_ = false;
    fragment = fragment_;
    if (contexts_.count(fragment.presentationContextID) == 0)
        return fail(invalidPDUParameter, "a fragment names a presentation context that was not accepted");
    // A peer could otherwise send empty fragments of one message for ever, without reaching a limit on its length.
    if (fragment.fragmentLength == 0 && !fragment.lastPDV)
        return fail(invalidPDUParameter, "an empty fragment is not the last");
    return Outcome::whole;
}

Incoming::Outcome Incoming::read(CommandSet &command) {
    std::vector<uint8_t> bytes;
    for (bool isFirst = true;; isFirst = false) {
        DUL_PDV fragment;
        const Outcome outcome = nextFragment(fragment);
        if (outcome == Outcome::released && !isFirst)
            return fail(unexpectedPDU, "the peer requested the release within a command set");
        if (outcome != Outcome::whole) return outcome;
        if (isFirst) {
            command.context = fragment.presentationContextID;
            if (fragment.pdvType != DUL_COMMANDPDV) return fail(unexpectedPDU, "a data set came without a command");
        } else if (fragment.pdvType != DUL_COMMANDPDV || fragment.presentationContextID != command.context) {
            return fail(unexpectedPDU, "another message came within a command set");
        }
        if (fragment.fragmentLength > CommandSet::longest - bytes.size())
            return fail(invalidPDUParameter, "a command set is too long");
        const auto *data = static_cast<const uint8_t *>(fragment.data);
        bytes.insert(bytes.end(), data, data + fragment.fragmentLength);
        if (!fragment.lastPDV) continue;
        const char *mistake = command.read(bytes);
        return mistake == nullptr ? Outcome::whole : fail(invalidPDUParameter, mistake);
    }
}

Incoming::Outcome Incoming::readDataSet(const CommandSet &command, const Take &take) {
    while (true) {
        DUL_PDV fragment;
        const Outcome outcome = nextFragment(fragment);
        if (outcome == Outcome::released)
            return fail(unexpectedPDU, "the peer requested the release within a data set");
        if (outcome != Outcome::whole) return outcome;
        if (fragment.pdvType != DUL_DATASETPDV || fragment.presentationContextID != command.context)
            return fail(unexpectedPDU, "another message came within a data set");
        if (fragment.fragmentLength > 0) take(static_cast<const uint8_t *>(fragment.data), fragment.fragmentLength);
        if (fragment.lastPDV) return Outcome::whole;
    }
}

void sendAbort(T_ASC_Association *association, const ConnectionState &state, uint8_t source, uint8_t reason) {
    if (association == nullptr || state.sentAbort || state.isOver) return;
    // ASC_abortAssociation sends nothing before the request is whole, names the service user as the source, and waits
    // for the peer to close the connection.
    const auto *key = reinterpret_cast<const PRIVATE_ASSOCIATIONKEY *>(association->DULassociation);
    if (key == nullptr || key->connection == nullptr) return;
    unsigned char abort[] = {7, 0, 0, 0, 0, 4, 0, 0, source, reason};
    key->connection->write(abort, sizeof abort);
}

} // namespace associations
