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
    // The encoded response to this request, without a data set.
    std::vector<uint8_t> response(uint16_t status) const;
};

// Encodes a command set: Implicit VR Little Endian, flat (PS3.7 6.3.1). Elements are added in the order of their tags.
class CommandEncoder {
public:
    CommandEncoder();
    CommandEncoder &number(const DcmTagKey &key, uint16_t value);
    CommandEncoder &uid(const DcmTagKey &key, const std::string &value);
    // The command set, with its group length.
    std::vector<uint8_t> finish();

private:
    void head(const DcmTagKey &key, size_t length);
    void put(uint64_t value, int width);
    std::vector<uint8_t> bytes_;
};

} // namespace associations
