// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace associations {

// The data set of a request of Storage Commitment Push Model (PS3.4 annex J), as the channel carries it.
struct Commitment {
    struct Reference {
        std::string sopClass;
        std::string sopInstance;
        // Failure Reason (PS3.3 C.14.1.1); 0 for a reference that did not fail.
        uint16_t reason;
    };

    std::string transactionUID;
    // The instances that are asked about (N-ACTION) or committed (N-EVENT-REPORT): Referenced SOP Sequence.
    std::vector<Reference> references;
    // Failed SOP Sequence.
    std::vector<Reference> failures;

    // Reads an encoded data set; nothing if it is not such a data set.
    static std::optional<Commitment> decode(const std::vector<uint8_t> &bytes, const std::string &transferSyntax);
    // Reads a data set; false if it is not such a data set.
    bool read(DcmDataset &dataSet);
    // Fills an empty data set.
    bool write(DcmDataset &dataSet) const;
    // The encoded N-ACTION-RQ that asks for the commitment.
    std::vector<uint8_t> actionCommand(uint16_t messageID) const;
    // The encoded N-EVENT-REPORT-RQ that reports the commitment.
    std::vector<uint8_t> reportCommand(uint16_t messageID) const;
    // Reads the fields of a message.
    static Commitment take(Received &message);
    // Writes the fields of a message.
    void put(Message &message) const;
};

} // namespace associations
