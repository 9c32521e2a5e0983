// SPDX-License-Identifier: Apache-2.0
#include "CommandSet.hpp"

#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dctk.h"

namespace associations {

namespace {

uint32_t number(const uint8_t *bytes, int width) {
    uint32_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

// Checks that the elements are flat and in order: Implicit VR Little Endian, group 0000. DCMTK reads sequences
// recursively without a limit, and a command set has none.
const char *checkElements(const std::vector<uint8_t> &bytes) {
    constexpr size_t head = 8;
    int64_t last = -1;
    for (size_t offset = 0; offset < bytes.size();) {
        const uint8_t *element = bytes.data() + offset;
        const size_t rest = bytes.size() - offset;
        if (rest < head) return "an element of a command set is cut off";
        const uint32_t length = number(element + 4, 4);
        if (number(element, 2) != 0) return "an element of a command set is outside group 0000";
        if (number(element + 2, 2) <= last) return "the elements of a command set are out of order";
        if (length == DCM_UndefinedLength) return "an element of a command set has undefined length";
        if (length > rest - head) return "an element of a command set is longer than the command set";
        last = number(element + 2, 2);
        offset += head + length;
    }
    return nullptr;
}

// A text as it was sent, without padding.
std::string text(DcmDataset &command, const DcmTagKey &key) {
    DcmElement *element = nullptr;
    char *value = nullptr;
    Uint32 length = 0;
    if (command.findAndGetElement(key, element).bad() || element->getString(value, length).bad() || value == nullptr)
        return {};
    while (length > 0 && (value[length - 1] == '\0' || value[length - 1] == ' ')) length--;
    return std::string(value, length);
}

std::string text(DcmDataset &command, const DcmTagKey &affected, const DcmTagKey &requested) {
    const std::string value = text(command, affected);
    return value.empty() ? text(command, requested) : value;
}

// Repeats a UID of the peer, unless it cannot be one.
void repeat(DcmDataset &response, const DcmTagKey &key, const std::string &uid) {
    if (!uid.empty() && uid.size() <= 64) response.putAndInsertString(key, uid.c_str());
}

} // namespace

const char *CommandSet::read(const std::vector<uint8_t> &bytes) {
    if (const char *mistake = checkElements(bytes)) return mistake;
    DcmInputBufferStream stream;
    stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
    stream.setEos();
    DcmDataset command;
    command.transferInit();
    const OFCondition condition = command.read(stream, EXS_LittleEndianImplicit, EGL_withoutGL);
    command.transferEnd();
    if (condition.bad()) return "a command set cannot be read";
    uint16_t dataSetType = DIMSE_DATASET_NULL;
    if (command.findAndGetUint16(DCM_CommandField, field).bad()) return "Command Field is missing";
    if (command.findAndGetUint16(DCM_CommandDataSetType, dataSetType).bad()) return "Command Data Set Type is missing";
    hasDataSet = dataSetType != DIMSE_DATASET_NULL;
    const bool isAbout = isResponse() || field == DIMSE_C_CANCEL_RQ;
    if (command.findAndGetUint16(isAbout ? DCM_MessageIDBeingRespondedTo : DCM_MessageID, messageID).bad())
        return "the message ID is missing";
    hasStatus = command.findAndGetUint16(DCM_Status, status).good();
    command.findAndGetUint16(DCM_EventTypeID, eventType);
    command.findAndGetUint16(DCM_ActionTypeID, actionType);
    sopClass = text(command, DCM_AffectedSOPClassUID, DCM_RequestedSOPClassUID);
    sopInstance = text(command, DCM_AffectedSOPInstanceUID, DCM_RequestedSOPInstanceUID);
    return nullptr;
}

void CommandSet::respond(DcmDataset &response, uint16_t code) const {
    repeat(response, DCM_AffectedSOPClassUID, sopClass);
    response.putAndInsertUint16(DCM_CommandField, static_cast<Uint16>(field | 0x8000));
    response.putAndInsertUint16(DCM_MessageIDBeingRespondedTo, messageID);
    response.putAndInsertUint16(DCM_CommandDataSetType, DIMSE_DATASET_NULL);
    response.putAndInsertUint16(DCM_Status, code);
    repeat(response, DCM_AffectedSOPInstanceUID, sopInstance);
    if (field == DIMSE_N_EVENT_REPORT_RQ && eventType != 0) response.putAndInsertUint16(DCM_EventTypeID, eventType);
    if (field == DIMSE_N_ACTION_RQ && actionType != 0) response.putAndInsertUint16(DCM_ActionTypeID, actionType);
}

} // namespace associations
