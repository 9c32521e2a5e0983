// SPDX-License-Identifier: Apache-2.0
#include "Requested.hpp"

#include "Commitment.hpp"
#include "FileStream.hpp"
#include "Messages.hpp"

#include "dcmtk/dcmdata/dcdeftag.h"
#include "dcmtk/dcmnet/dimse.h"
#include "dcmtk/dcmnet/diutil.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace associations {

namespace {

// Statuses that the sender answers with itself (PS3.7 annex C).
constexpr uint16_t failureOfProcessing = 0x0110;
constexpr uint16_t unrecognizedOperation = 0x0211;

// Bytes of the longest commitment result that is read: some 50,000 references.
constexpr size_t longestCommitment = 8u << 20;

std::set<uint8_t> acceptedContexts(T_ASC_Association *association) {
    std::set<uint8_t> ids;
    const int count = ASC_countPresentationContexts(association->params);
    for (int i = 0; i < count; i++) {
        T_ASC_PresentationContext context;
        ASC_getPresentationContext(association->params, i, &context);
        if (context.resultReason == ASC_P_ACCEPTANCE) ids.insert(context.presentationContextID);
    }
    return ids;
}

uint8_t number(T_ASC_SC_ROLE role) {
    switch (role) {
    case ASC_SC_ROLE_SCU: return 1;
    case ASC_SC_ROLE_SCP: return 2;
    case ASC_SC_ROLE_SCUSCP: return 3;
    default: return 0;
    }
}

// Reads the data set that is encoded anew. Its long values stay in the file.
OFCondition decode(DcmDataset &dataSet, const File &file, offile_off_t begin, offile_off_t end, E_TransferSyntax syntax) {
    if (syntax == EXS_Unknown) return EC_UnsupportedEncoding;
    FileStream stream(file.descriptor(), begin, end);
    dataSet.transferInit();
    const OFCondition read = dataSet.read(stream, syntax);
    dataSet.transferEnd();
    if (read.bad()) return read;
    return stream.eos() ? EC_Normal : EC_CorruptedData;
}

OFCondition copy(const File &file, offile_off_t begin, offile_off_t end, Fragments &fragments) {
    FileProducer producer(file.descriptor(), begin, end);
    std::vector<uint8_t> bytes(128u << 10);
    while (!producer.eos()) {
        const offile_off_t count = producer.read(bytes.data(), static_cast<offile_off_t>(bytes.size()));
        if (!producer.good()) return producer.status();
        const OFCondition appended = fragments.append(bytes.data(), static_cast<size_t>(count));
        if (appended.bad()) return appended;
    }
    return EC_Normal;
}

} // namespace

File::~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

bool File::holds(uint64_t bytes) const {
    struct stat status = {};
    return fstat(descriptor_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= bytes;
}

Requested::Requested(Channel &channel, ConnectionState &state, T_ASC_Association *association, int socket)
    : channel_(channel), state_(state), association_(association), socket_(socket),
      incoming_(association, state, acceptedContexts(association)) {}

void Requested::serve() {
    if (longestFragment(association_) == 0) {
        abort(noReason, "the peer takes PDUs that are too short for any data");
        return;
    }
    sayAccepted();
    while (waitForOrder()) {
        Received order = channel_.receive();
        if (!obey(order)) return;
    }
}

void Requested::sayAccepted() {
    const T_ASC_Parameters *parameters = association_->params;
    Message message(accepted);
    message.u32(static_cast<uint32_t>(parameters->theirMaxPDUReceiveSize));
    message.text(parameters->theirImplementationClassUID).text(parameters->theirImplementationVersionName);
    state_.certificate.put(message);
    const int count = ASC_countPresentationContexts(association_->params);
    message.u16(static_cast<uint16_t>(count));
    for (int i = 0; i < count; i++) {
        T_ASC_PresentationContext context;
        ASC_getPresentationContext(association_->params, i, &context);
        message.u8(context.presentationContextID).u8(static_cast<uint8_t>(context.resultReason));
        message.text(context.acceptedTransferSyntax).u8(number(context.acceptedRole));
    }
    channel_.send(message);
}

// Waits for the node's next order, and serves the peer meanwhile.
bool Requested::waitForOrder() {
    while (true) {
        while (incoming_.holdsFragment() || ASC_dataWaiting(association_, 0)) {
            if (!takeRequest()) return false;
        }
        pollfd entries[] = {{socket_, POLLIN, 0}, {channel_.descriptor(), POLLIN, 0}};
        if (poll(entries, 2, -1) > 0 && entries[0].revents == 0) return true;
    }
}

bool Requested::obey(Received &order) {
    const File file(order.descriptor);
    switch (order.kind) {
    case store: return sendInstance(order, file);
    case ask: return sendCommitment(order, DIMSE_N_ACTION_RQ);
    case report: return sendCommitment(order, DIMSE_N_EVENT_REPORT_RQ);
    case echo: return sendEcho(order.u8());
    case answer: return respondToReport(order.u16());
    case release: return releaseAssociation();
    default: _exit(2);
    }
}

// MARK: Requests to the peer

bool Requested::sendInstance(Received &order, const File &file) {
    const uint8_t id = order.u8();
    const std::string sopClass = order.text();
    const std::string sopInstance = order.text();
    const uint64_t offset = order.u64();
    const uint64_t length = order.u64();
    const std::string syntax = order.text();
    T_ASC_PresentationContext context;
    if (!order.isWhole() || ASC_findAcceptedPresentationContext(association_->params, id, &context).bad())
        return fail("the presentation context was not accepted");
    if (length > INT64_MAX || offset > INT64_MAX - length || !file.holds(offset + length))
        return fail("it was cut off");
    const auto begin = static_cast<offile_off_t>(offset);
    const auto end = static_cast<offile_off_t>(offset + length);

    DcmDataset dataSet;
    const bool isUnchanged = syntax == context.acceptedTransferSyntax;
    const E_TransferSyntax wanted = DcmXfer(context.acceptedTransferSyntax).getXfer();
    if (!isUnchanged) {
        const OFCondition read = decode(dataSet, file, begin, end, DcmXfer(syntax.c_str()).getXfer());
        if (read.bad()) return fail(read.text());
        if (!dataSet.canWriteXfer(wanted)) return fail("it cannot be encoded in the peer's transfer syntax");
    }

    const uint16_t messageID = nextMessageID();
    CommandEncoder command;
    command.uid(DCM_AffectedSOPClassUID, sopClass).number(DCM_CommandField, DIMSE_C_STORE_RQ);
    command.number(DCM_MessageID, messageID).number(DCM_Priority, DIMSE_PRIORITY_MEDIUM);
    command.number(DCM_CommandDataSetType, DIMSE_DATASET_PRESENT).uid(DCM_AffectedSOPInstanceUID, sopInstance);
    const OFCondition sent = sendCommand(association_, id, command.finish());
    if (sent.bad()) return lose(sent);
    Fragments fragments(association_, id, DUL_DATASETPDV);
    OFCondition written = isUnchanged ? copy(file, begin, end, fragments) : fragments.append(dataSet, wanted);
    if (written.good()) written = fragments.finish();
    if (written.bad()) {
        if (state_.isLost) return lose(written);
        // Half a data set must not look whole to the peer.
        fail("it was cut off");
        return abort(noReason, "the data set could not be read to its end");
    }
    return awaitResponse(DIMSE_C_STORE_RSP, messageID);
}

bool Requested::sendCommitment(Received &order, T_DIMSE_Command field) {
    const uint8_t id = order.u8();
    const Commitment commitment = Commitment::take(order);
    const bool isReport = field == DIMSE_N_EVENT_REPORT_RQ;
    T_ASC_PresentationContext context;
    if (!order.isWhole() || ASC_findAcceptedPresentationContext(association_->params, id, &context).bad())
        return fail("the presentation context was not accepted");
    DcmDataset dataSet;
    if (!commitment.write(dataSet)) return fail("the data set could not be made");
    const uint16_t messageID = nextMessageID();
    OFCondition sent = sendCommand(
        association_, id, isReport ? commitment.reportCommand(messageID) : commitment.actionCommand(messageID));
    Fragments fragments(association_, id, DUL_DATASETPDV);
    if (sent.good()) sent = fragments.append(dataSet, DcmXfer(context.acceptedTransferSyntax).getXfer());
    if (sent.good()) sent = fragments.finish();
    if (sent.bad()) return lose(sent);
    return awaitResponse(static_cast<uint16_t>(field | 0x8000), messageID);
}

bool Requested::sendEcho(uint8_t context) {
    const uint16_t messageID = nextMessageID();
    CommandEncoder command;
    command.uid(DCM_AffectedSOPClassUID, UID_VerificationSOPClass).number(DCM_CommandField, DIMSE_C_ECHO_RQ);
    command.number(DCM_MessageID, messageID).number(DCM_CommandDataSetType, DIMSE_DATASET_NULL);
    const OFCondition sent = sendCommand(association_, context, command.finish());
    return sent.good() ? awaitResponse(DIMSE_C_ECHO_RSP, messageID) : lose(sent);
}

bool Requested::releaseAssociation() {
    const OFCondition condition = ASC_releaseAssociation(association_);
    // Both sides may request the release at once (PS3.8 9.2, states 9 to 12).
    if (condition == DUL_PEERREQUESTEDRELEASE) ASC_acknowledgeRelease(association_);
    if (state_.watch.sawAbort() || state_.isLost) return sayGone(channel_, state_);
    if (condition.good() || condition == DUL_PEERREQUESTEDRELEASE) return sayEnded(channel_, released, "");
    return abort(unexpectedPDU, "the peer went on after the request for the release");
}

// At most one message is unanswered, so that IDs may begin anew.
uint16_t Requested::nextMessageID() {
    lastMessageID_ = lastMessageID_ == 0xFFFF ? 1 : static_cast<uint16_t>(lastMessageID_ + 1);
    return lastMessageID_;
}

// Waits for a response, and tells the node its status.
bool Requested::awaitResponse(uint16_t field, uint16_t messageID) {
    while (true) {
        CommandSet command;
        const Incoming::Outcome outcome = incoming_.read(command);
        if (outcome != Incoming::Outcome::whole) return end(outcome);
        if (!command.isResponse()) {
            if (!serve(command)) return false;
            continue;
        }
        if (command.field != field || command.messageID != messageID || !command.hasStatus)
            return abort(unexpectedPDU, "the message is not the response to the request");
        if (!receive(command, [](const uint8_t *, size_t) {})) return false;
        Message message(responded);
        message.u16(command.status);
        channel_.send(message);
        return true;
    }
}

// MARK: Requests of the peer

bool Requested::takeRequest() {
    CommandSet command;
    const Incoming::Outcome outcome = incoming_.read(command);
    if (outcome != Incoming::Outcome::whole) return end(outcome);
    if (command.isResponse()) return abort(unexpectedPDU, "a response came without a request");
    return serve(command);
}

bool Requested::serve(const CommandSet &command) {
    std::vector<uint8_t> bytes;
    bool isTooLong = false;
    const bool isThere = receive(command, [&](const uint8_t *piece, size_t length) {
        isTooLong = isTooLong || length > longestCommitment - bytes.size();
        if (!isTooLong) bytes.insert(bytes.end(), piece, piece + length);
    });
    if (!isThere) return false;
    if (command.field != DIMSE_N_EVENT_REPORT_RQ || command.sopClass != UID_StorageCommitmentPushModelSOPClass)
        return respond(command, unrecognizedOperation);
    if (asked_) return abort(unexpectedPDU, "a second request came before the response to the first");
    T_ASC_PresentationContext context;
    ASC_findAcceptedPresentationContext(association_->params, command.context, &context);
    const auto commitment = Commitment::decode(bytes, context.acceptedTransferSyntax);
    if (isTooLong || !commitment) return respond(command, failureOfProcessing);
    asked_ = command;
    Message message(told);
    commitment->put(message);
    channel_.send(message);
    return true;
}

bool Requested::respondToReport(uint16_t status) {
    if (!asked_) _exit(2);
    const CommandSet command = *asked_;
    asked_.reset();
    return respond(command, status);
}

bool Requested::respond(const CommandSet &command, uint16_t status) {
    const OFCondition sent = sendCommand(association_, command.context, command.response(status));
    return sent.good() || lose(sent);
}

// Receives the data set of a command, if there is one.
bool Requested::receive(const CommandSet &command, const Incoming::Take &take) {
    if (!command.hasDataSet) return true;
    const Incoming::Outcome outcome = incoming_.readDataSet(command, take);
    return outcome == Incoming::Outcome::whole || end(outcome);
}

// MARK: Ends

// Tells the node that an order could not be carried out, and that the association goes on.
bool Requested::fail(const char *cause) {
    Message message(failed);
    message.text(firstLine(cause));
    channel_.send(message);
    return true;
}

bool Requested::end(Incoming::Outcome outcome) {
    if (outcome == Incoming::Outcome::gone) return sayGone(channel_, state_);
    if (outcome != Incoming::Outcome::released) return abort(incoming_.abortReason(), incoming_.mistake());
    ASC_acknowledgeRelease(association_);
    return sayEnded(channel_, released, "");
}

// Ends an association in which a message could not be sent.
bool Requested::lose(const OFCondition &condition) {
    if (!state_.isLost) return abort(invalidPDUParameter, condition.text());
    // A peer that aborts while it is sent to closes its connection at once. Its A-ABORT may still wait to be read.
    CommandSet command;
    if (!state_.watch.sawAbort() && ASC_dataWaiting(association_, 0)) incoming_.read(command);
    return sayGone(channel_, state_);
}

bool Requested::abort(uint8_t reason, const std::string &cause) {
    sendAbort(association_, state_, serviceProvider, reason);
    return sayEnded(channel_, abortedByUs, cause, 0, serviceProvider, reason);
}

} // namespace associations
