// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dimse.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace associations {

// Names the implementation in an association's parameters (PS3.7 D.3.3.2).
void identify(T_ASC_Parameters *parameters);

// Bytes of the longest fragment that the peer takes, an even number; 0 if its PDUs are too short for any (PS3.8 annex
// D.1).
size_t longestFragment(const T_ASC_Association *association);

// One part of a message, its command or its data set, which is sent in fragments that the peer takes (PS3.8 annex E).
class Fragments {
public:
    Fragments(T_ASC_Association *association, T_ASC_PresentationContextID context, DUL_DATAPDV part);
    // Adds bytes. A fragment leaves when more bytes come, so that the last one can say that it is the last.
    OFCondition append(const uint8_t *bytes, size_t length);
    // Encodes a data set, and adds its bytes.
    OFCondition append(DcmDataset &dataSet, E_TransferSyntax syntax);
    // Sends what is left, as the last fragment.
    OFCondition finish() { return send(true); }

private:
    OFCondition send(bool isLast);

    T_ASC_Association *association_;
    const T_ASC_PresentationContextID context_;
    const DUL_DATAPDV part_;
    const size_t capacity_;
    std::vector<uint8_t> fragment_;
};

// Sends an encoded command set (PS3.7 6.3.1).
OFCondition sendCommand(
    T_ASC_Association *association, T_ASC_PresentationContextID context, const std::vector<uint8_t> &command);

} // namespace associations
