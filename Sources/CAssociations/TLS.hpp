// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"
#include "Transport.hpp"

#include "dcmtk/dcmnet/assoc.h"

#include <string>

namespace associations {

// Makes secure connections from the newest credentials that the node has sent.
class Security {
public:
    explicit Security(T_ASC_NetworkRole role) : role_(role) {}
    // Reads the fields of `credentials`. Returns the cause if TLS cannot be set up from them; otherwise nothing.
    std::string take(Received &credentials);
    // Makes a secure connection; null if there are no credentials. `host` is the name that the peer's certificate has to
    // hold; empty for any.
    DcmTransportConnection *connect(DcmNativeSocketType socket, ConnectionState &state, const std::string &host);

private:
    T_ASC_NetworkRole role_;
};

} // namespace associations
