// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dimse.h"

#include <cstdint>
#include <string>
#include <vector>

namespace associations {

// A command set (PS3.7 6.3 and annex E).
struct CommandSet {
    // Bytes of the longest command set that is read. The longest one of the standard has less than 400.
    static constexpr size_t longest = 16u << 10;

    T_ASC_PresentationContextID context = 0;
    uint16_t field = 0;
    // Message ID, or Message ID Being Responded To of a response and of C-CANCEL-RQ.
    uint16_t messageID = 0;
    uint16_t status = 0;
    uint16_t eventType = 0;
    uint16_t actionType = 0;
    bool hasStatus = false;
    bool hasDataSet = false;
    // Affected or requested; without padding, otherwise as the peer sent them.
    std::string sopClass;
    std::string sopInstance;

    // Reads the bytes of a command set. Returns the mistake in them; null if there is none.
    const char *read(const std::vector<uint8_t> &bytes);
    bool isResponse() const { return (field & 0x8000) != 0; }
    // Fills an empty command set with the response to this request, without a data set.
    void respond(DcmDataset &response, uint16_t status) const;
};

} // namespace associations
