// SPDX-License-Identifier: Apache-2.0
//
// The messages of a peer, joined from fragments (PS3.7 6.3, PS3.8 annex E.2).
//
// DCMTK's upper layer reads the PDUs. Its DIMSE functions are not used, because they read command sets of any length and
// depth, and refuse the data sets of transfer syntaxes that DCMTK does not know.
#pragma once

#include "CommandSet.hpp"
#include "Transport.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dul.h"

#include <functional>
#include <set>
#include <vector>

namespace associations {

// Reads what a peer sends over an association.
class Incoming {
public:
    enum class Outcome {
        whole,
        // The peer requested the release.
        released,
        // The peer aborted the association, or the connection is lost: ConnectionState tells.
        gone,
        // The peer made a mistake: `mistake` and `abortReason` tell.
        malformed,
    };
    using Take = std::function<void(const uint8_t *bytes, size_t length)>;

    // `contexts`: the presentation contexts that were accepted.
    Incoming(T_ASC_Association *association, const ConnectionState &state, std::set<uint8_t> contexts)
        : association_(association), state_(state), contexts_(std::move(contexts)) {}

    // Whether a fragment is there that was not taken, so that the next call does not wait for the peer.
    bool holdsFragment();
    // Reads the next command set.
    Outcome read(CommandSet &command);
    // Reads the data set that follows a command set, piece by piece.
    Outcome readDataSet(const CommandSet &command, const Take &take);

    const char *mistake() const { return mistake_; }
    // The reason of the A-ABORT by the service provider that answers the mistake (PS3.8 table 9-26).
    uint8_t abortReason() const { return abortReason_; }

private:
    Outcome nextFragment(DUL_PDV &fragment);
    Outcome readPDU();
    Outcome fail(uint8_t reason, const char *mistake);

    T_ASC_Association *association_;
    const ConnectionState &state_;
    const std::set<uint8_t> contexts_;
    bool holdsFragment_ = false;
    DUL_PDV fragment_ = {};
    const char *mistake_ = "";
    uint8_t abortReason_ = 0;
};

// Sends an A-ABORT (PS3.8 9.3.8) in any state of the association, unless one was sent.
void sendAbort(T_ASC_Association *association, const ConnectionState &state, uint8_t source, uint8_t reason);

} // namespace associations
