// SPDX-License-Identifier: Apache-2.0
//
// TLS by DCMTK's layer (DICOM PS3.15 annex B: the non-downgrading and the extended BCP 195 profile), with certificates
// and keys from memory.
#pragma once

#include "Channel.hpp"
#include "Transport.hpp"

#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmtls/tlslayer.h"

#include <memory>
#include <string>

namespace associations {

// Makes secure connections from the newest credentials that the node has sent.
class Security {
public:
    // `role` is NET_ACCEPTOR for the side that peers call, and NET_REQUESTOR for the side that calls peers.
    explicit Security(T_ASC_NetworkRole role) : role_(role) {}
    // Reads the fields of `credentials`. Returns the cause if TLS cannot be set up from them; otherwise nothing. A
    // failure leaves the last credentials in force.
    std::string take(Received &credentials);
    // Makes a secure connection; null if there are no credentials. `host` is the name or the address that the
    // peer's certificate has to hold; empty for any.
    DcmTransportConnection *connect(DcmNativeSocketType socket, ConnectionState &state, const std::string &host);

private:
    const T_ASC_NetworkRole role_;
    std::unique_ptr<DcmTLSTransportLayer> layer_;
};

} // namespace associations
