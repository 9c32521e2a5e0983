// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace associations {

// The certificate that a peer has shown, as the field `certificate` of the channel describes it. All is empty if the
// connection is plain or the peer showed none.
struct PeerCertificate {
    // The certificate itself (DER).
    std::vector<uint8_t> bytes;
    // RFC 2253.
    std::string subject;
    std::string issuer;
    // The SHA-256 of each certificate of the verified chain, the peer's own first.
    std::vector<std::vector<uint8_t>> chain;

    void put(Message &message) const {
        message.bytes(bytes.data(), bytes.size()).text(subject).text(issuer).u16(static_cast<uint16_t>(chain.size()));
        for (const auto &digest : chain) message.bytes(digest.data(), digest.size());
    }
};

} // namespace associations
