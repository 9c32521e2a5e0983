// SPDX-License-Identifier: Apache-2.0
#include "TLS.hpp"

namespace associations {

std::string Security::take(Received &) { return role_ == NET_REQUESTOR ? "TLS is not available" : ""; }

DcmTransportConnection *Security::connect(DcmNativeSocketType, ConnectionState &, const std::string &) {
    return nullptr;
}

} // namespace associations
