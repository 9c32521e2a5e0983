// SPDX-License-Identifier: Apache-2.0
#include "Messages.hpp"

#include "dcmtk/dcmdata/dcostrmb.h"
#include "dcmtk/dcmdata/dcwcache.h"
#include "dcmtk/dcmnet/dulstruc.h"

#include <algorithm>

namespace associations {

namespace {

constexpr size_t headers = 6;
constexpr size_t encodedAtOnce = 64u << 10;

// As in the File Meta Information of the files that the node writes.
constexpr const char *implementationClassUID = "2.25.113113869798546695159296333199751311506";
constexpr const char *implementationVersionName = "KONTUR_0_1";

} // namespace

void identify(T_ASC_Parameters *parameters) {
    OFStandard::strlcpy(
        parameters->ourImplementationClassUID, implementationClassUID, sizeof parameters->ourImplementationClassUID);
    OFStandard::strlcpy(
        parameters->ourImplementationVersionName, implementationVersionName,
        sizeof parameters->ourImplementationVersionName);
}

size_t longestFragment(const T_ASC_Association *association) {
    const auto announced = static_cast<size_t>(association->params->theirMaxPDUReceiveSize);
    const size_t longest = announced == 0 ? ASC_MAXIMUMPDUSIZE : std::min<size_t>(announced, ASC_MAXIMUMPDUSIZE);
    return longest <= headers ? 0 : (longest - headers) & ~size_t{1};
}

Fragments::Fragments(T_ASC_Association *association, T_ASC_PresentationContextID context, DUL_DATAPDV part)
    : association_(association), context_(context), part_(part), capacity_(longestFragment(association)) {
    // A command is short.
    if (part == DUL_DATASETPDV) fragment_.reserve(capacity_);
    // DCMTK reserves 12 bytes of a PDU for headers, of which 6 are not part of its length.
    auto *key = reinterpret_cast<PRIVATE_ASSOCIATIONKEY *>(association->DULassociation);
    if (key != nullptr) key->maxPDV = static_cast<unsigned long>(capacity_ + 2 * headers);
}

OFCondition Fragments::append(const uint8_t *bytes, size_t length) {
    if (capacity_ == 0) return DUL_ILLEGALPDU;
    while (length > 0) {
        if (fragment_.size() == capacity_) {
            const OFCondition sent = send(false);
            if (sent.bad()) return sent;
        }
        const size_t count = std::min(length, capacity_ - fragment_.size());
        fragment_.insert(fragment_.end(), bytes, bytes + count);
        bytes += count;
        length -= count;
    }
    return EC_Normal;
}

OFCondition Fragments::append(DcmDataset &dataSet, E_TransferSyntax syntax) {
    std::vector<uint8_t> bytes(encodedAtOnce);
    DcmOutputBufferStream buffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
    DcmWriteCache cache;
    dataSet.transferInit();
    while (true) {
        const OFCondition written = dataSet.write(buffer, syntax, EET_ExplicitLength, &cache);
        if (written.bad() && written != EC_StreamNotifyClient) return written;
        void *start = nullptr;
        offile_off_t length = 0;
        buffer.flushBuffer(start, length);
        const OFCondition sent = append(static_cast<const uint8_t *>(start), static_cast<size_t>(length));
        if (sent.bad()) return sent;
        if (written.good()) break;
    }
    dataSet.transferEnd();
    return EC_Normal;
}

OFCondition Fragments::send(bool isLast) {
    if (capacity_ == 0) return DUL_ILLEGALPDU;
    DUL_PDV value = {};
    value.fragmentLength = static_cast<unsigned long>(fragment_.size());
    value.presentationContextID = context_;
    value.pdvType = part_;
    value.lastPDV = isLast;
    value.data = fragment_.data();
    DUL_PDVLIST list = {};
    list.count = 1;
    list.pdv = &value;
    const OFCondition sent = DUL_WritePDVs(&association_->DULassociation, &list);
    fragment_.clear();
    return sent;
}

OFCondition sendCommand(
    T_ASC_Association *association, T_ASC_PresentationContextID context, const std::vector<uint8_t> &command) {
    Fragments fragments(association, context, DUL_COMMANDPDV);
    const OFCondition appended = fragments.append(command.data(), command.size());
    return appended.good() ? fragments.finish() : appended;
}

} // namespace associations
