// SPDX-License-Identifier: Apache-2.0
#include "CommandSet.hpp"

#include "dcmtk/dcmdata/dctk.h"

namespace associations {

namespace {

constexpr size_t elementHead = 8;
constexpr size_t longestUID = 64;

uint32_t number(const uint8_t *bytes, int width) {
    uint32_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

// The elements of a command set: Implicit VR Little Endian, flat, group 0000 (PS3.7 6.3.1). DCMTK would read sequences
// recursively without a limit, and a command set has none.
class Elements {
public:
    explicit Elements(const std::vector<uint8_t> &bytes) : bytes_(bytes) {}

    // The mistake in the elements; null if there is none.
    const char *mistake() const {
        int64_t last = -1;
        for (size_t offset = 0; offset < bytes_.size();) {
            const uint8_t *element = bytes_.data() + offset;
            const size_t rest = bytes_.size() - offset;
            if (rest < elementHead) return "an element of a command set is cut off";
            const uint32_t length = number(element + 4, 4);
            if (number(element, 2) != 0) return "an element of a command set is outside group 0000";
            if (number(element + 2, 2) <= last) return "the elements of a command set are out of order";
            if (length == DCM_UndefinedLength) return "an element of a command set has undefined length";
            if (length > rest - elementHead) return "an element of a command set is longer than the command set";
            last = number(element + 2, 2);
            offset += elementHead + length;
        }
        return nullptr;
    }

    // The number of type US; false if it is missing or too short.
    bool read(const DcmTagKey &key, uint16_t &value) const {
        size_t length = 0;
        const uint8_t *bytes = find(key, length);
        if (bytes == nullptr || length < 2) return false;
        value = static_cast<uint16_t>(number(bytes, 2));
        return true;
    }

    // A text as it was sent, without padding; of two elements the first that is not empty.
    std::string text(const DcmTagKey &key, const DcmTagKey &other) const {
        for (const DcmTagKey &one : {key, other}) {
            size_t length = 0;
            const uint8_t *bytes = find(one, length);
            while (length > 0 && (bytes[length - 1] == 0 || bytes[length - 1] == ' ')) length--;
            if (length > 0) return std::string(reinterpret_cast<const char *>(bytes), length);
        }
        return {};
    }

private:
    const uint8_t *find(const DcmTagKey &key, size_t &length) const {
        for (size_t offset = 0; offset < bytes_.size(); offset += elementHead + length) {
            const uint8_t *element = bytes_.data() + offset;
            length = number(element + 4, 4);
            if (number(element + 2, 2) == key.getElement()) return element + elementHead;
        }
        length = 0;
        return nullptr;
    }

    const std::vector<uint8_t> &bytes_;
};

} // namespace

const char *CommandSet::read(const std::vector<uint8_t> &bytes) {
    const Elements elements(bytes);
    if (const char *mistake = elements.mistake()) return mistake;
    uint16_t dataSetType = DIMSE_DATASET_NULL;
    if (!elements.read(DCM_CommandField, field)) return "Command Field is missing";
    if (!elements.read(DCM_CommandDataSetType, dataSetType)) return "Command Data Set Type is missing";
    hasDataSet = dataSetType != DIMSE_DATASET_NULL;
    const bool isAbout = isResponse() || field == DIMSE_C_CANCEL_RQ;
    if (!elements.read(isAbout ? DCM_MessageIDBeingRespondedTo : DCM_MessageID, messageID))
        return "the message ID is missing";
    hasStatus = elements.read(DCM_Status, status);
    elements.read(DCM_EventTypeID, eventType);
    elements.read(DCM_ActionTypeID, actionType);
    sopClass = elements.text(DCM_AffectedSOPClassUID, DCM_RequestedSOPClassUID);
    sopInstance = elements.text(DCM_AffectedSOPInstanceUID, DCM_RequestedSOPInstanceUID);
    return nullptr;
}

std::vector<uint8_t> CommandSet::response(uint16_t code) const {
    CommandEncoder response;
    // A text of the peer that cannot be a UID is not repeated.
    if (!sopClass.empty() && sopClass.size() <= longestUID) response.uid(DCM_AffectedSOPClassUID, sopClass);
    response.number(DCM_CommandField, static_cast<uint16_t>(field | 0x8000));
    response.number(DCM_MessageIDBeingRespondedTo, messageID);
    response.number(DCM_CommandDataSetType, DIMSE_DATASET_NULL);
    response.number(DCM_Status, code);
    if (!sopInstance.empty() && sopInstance.size() <= longestUID)
        response.uid(DCM_AffectedSOPInstanceUID, sopInstance);
    if (field == DIMSE_N_EVENT_REPORT_RQ && eventType != 0) response.number(DCM_EventTypeID, eventType);
    if (field == DIMSE_N_ACTION_RQ && actionType != 0) response.number(DCM_ActionTypeID, actionType);
    return response.finish();
}

CommandEncoder::CommandEncoder() {
    bytes_.reserve(256);
    head(DCM_CommandGroupLength, 4);
    put(0, 4);
}

CommandEncoder &CommandEncoder::number(const DcmTagKey &key, uint16_t value) {
    head(key, 2);
    put(value, 2);
    return *this;
}

CommandEncoder &CommandEncoder::uid(const DcmTagKey &key, const std::string &value) {
    const bool isOdd = value.size() % 2 != 0;
    head(key, value.size() + isOdd);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    if (isOdd) bytes_.push_back(0);
    return *this;
}

std::vector<uint8_t> CommandEncoder::finish() {
    const size_t groupLength = bytes_.size() - elementHead - 4;
    for (int i = 0; i < 4; i++) bytes_[elementHead + i] = static_cast<uint8_t>(groupLength >> (8 * i));
    return std::move(bytes_);
}

void CommandEncoder::head(const DcmTagKey &key, size_t length) {
    put(key.getGroup(), 2);
    put(key.getElement(), 2);
    put(length, 4);
}

void CommandEncoder::put(uint64_t value, int width) {
    for (int i = 0; i < width; i++) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

} // namespace associations
