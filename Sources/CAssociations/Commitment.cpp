// SPDX-License-Identifier: Apache-2.0
#include "Commitment.hpp"

#include "CommandSet.hpp"

#include "dcmtk/dcmdata/dcdeftag.h"
#include "dcmtk/dcmdata/dcistrmb.h"

namespace associations {

namespace {

using References = std::vector<Commitment::Reference>;

bool readUID(DcmItem &item, const DcmTagKey &key, std::string &uid) {
    OFString value;
    if (item.findAndGetOFString(key, value).bad() || value.empty()) return false;
    uid.assign(value.c_str(), value.length());
    return true;
}

bool readReferences(DcmItem &dataSet, const DcmTagKey &key, bool isFailed, References &references) {
    DcmSequenceOfItems *sequence = nullptr;
    if (dataSet.findAndGetSequence(key, sequence).bad() || sequence == nullptr) return true;
    // `nextInContainer` finds each item in constant time, where `getItem` seeks from the first.
    for (DcmObject *object = sequence->nextInContainer(nullptr); object != nullptr;
         object = sequence->nextInContainer(object)) {
        auto &item = *static_cast<DcmItem *>(object);
        Commitment::Reference reference = {};
        if (!readUID(item, DCM_ReferencedSOPClassUID, reference.sopClass)
            || !readUID(item, DCM_ReferencedSOPInstanceUID, reference.sopInstance))
            return false;
        Uint16 reason = 0;
        // Without a reason, the failure is one of processing (PS3.3 C.14.1.1).
        if (isFailed) reference.reason = item.findAndGetUint16(DCM_FailureReason, reason).good() ? reason : 0x0110;
        references.push_back(reference);
    }
    return true;
}

bool writeReferences(DcmItem &dataSet, const DcmTagKey &key, const References &references) {
    if (references.empty()) return true;
    auto *sequence = new DcmSequenceOfItems(key);
    if (dataSet.insert(sequence).bad()) {
        delete sequence;
        return false;
    }
    for (const auto &reference : references) {
        auto *item = new DcmItem();
        if (sequence->append(item).bad()) {
            delete item;
            return false;
        }
        bool isWritten = item->putAndInsertString(DCM_ReferencedSOPClassUID, reference.sopClass.c_str()).good()
                         && item->putAndInsertString(DCM_ReferencedSOPInstanceUID, reference.sopInstance.c_str()).good();
        if (reference.reason != 0) isWritten &= item->putAndInsertUint16(DCM_FailureReason, reference.reason).good();
        if (!isWritten) return false;
    }
    return true;
}

References takeReferences(Received &message, bool isFailed) {
    References references;
    // Each entry has at least two bytes, so that a count beyond the message ends the loop.
    for (uint32_t count = message.u32(); count > 0 && message.isWhole(); count--) {
        Commitment::Reference reference = {};
        reference.sopClass = message.text();
        reference.sopInstance = message.text();
        if (isFailed) reference.reason = message.u16();
        references.push_back(reference);
    }
    return references;
}

void putReferences(Message &message, const References &references, bool isFailed) {
    message.u32(static_cast<uint32_t>(references.size()));
    for (const auto &reference : references) {
        message.text(reference.sopClass).text(reference.sopInstance);
        if (isFailed) message.u16(reference.reason);
    }
}

} // namespace

std::optional<Commitment> Commitment::decode(const std::vector<uint8_t> &bytes, const std::string &transferSyntax) {
    const E_TransferSyntax syntax = DcmXfer(transferSyntax.c_str()).getXfer();
    if (syntax == EXS_Unknown || bytes.empty()) return std::nullopt;
    DcmInputBufferStream stream;
    stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
    stream.setEos();
    DcmDataset dataSet;
    dataSet.transferInit();
    const OFCondition condition = dataSet.read(stream, syntax);
    dataSet.transferEnd();
    Commitment commitment;
    if (condition.bad() || !commitment.read(dataSet)) return std::nullopt;
    return commitment;
}

bool Commitment::read(DcmDataset &dataSet) {
    return readUID(dataSet, DCM_TransactionUID, transactionUID)
           && readReferences(dataSet, DCM_ReferencedSOPSequence, false, references)
           && readReferences(dataSet, DCM_FailedSOPSequence, true, failures);
}

bool Commitment::write(DcmDataset &dataSet) const {
    return dataSet.putAndInsertString(DCM_TransactionUID, transactionUID.c_str()).good()
           && writeReferences(dataSet, DCM_ReferencedSOPSequence, references)
           && writeReferences(dataSet, DCM_FailedSOPSequence, failures);
}

std::vector<uint8_t> Commitment::actionCommand(uint16_t messageID) const {
    CommandEncoder command;
    command.uid(DCM_RequestedSOPClassUID, UID_StorageCommitmentPushModelSOPClass);
    command.number(DCM_CommandField, DIMSE_N_ACTION_RQ).number(DCM_MessageID, messageID);
    command.number(DCM_CommandDataSetType, DIMSE_DATASET_PRESENT);
    command.uid(DCM_RequestedSOPInstanceUID, UID_StorageCommitmentPushModelSOPInstance).number(DCM_ActionTypeID, 1);
    return command.finish();
}

std::vector<uint8_t> Commitment::reportCommand(uint16_t messageID) const {
    CommandEncoder command;
    command.uid(DCM_AffectedSOPClassUID, UID_StorageCommitmentPushModelSOPClass);
    command.number(DCM_CommandField, DIMSE_N_EVENT_REPORT_RQ).number(DCM_MessageID, messageID);
    command.number(DCM_CommandDataSetType, DIMSE_DATASET_PRESENT);
    command.uid(DCM_AffectedSOPInstanceUID, UID_StorageCommitmentPushModelSOPInstance);
    command.number(DCM_EventTypeID, failures.empty() ? 1 : 2);
    return command.finish();
}

Commitment Commitment::take(Received &message) {
    Commitment commitment;
    commitment.transactionUID = message.text();
    commitment.references = takeReferences(message, false);
    commitment.failures = takeReferences(message, true);
    return commitment;
}

void Commitment::put(Message &message) const {
    message.text(transactionUID);
    putReferences(message, references, false);
    putReferences(message, failures, true);
}

} // namespace associations
