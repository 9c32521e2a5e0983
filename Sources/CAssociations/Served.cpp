// SPDX-License-Identifier: Apache-2.0
#include "Served.hpp"

#include "Messages.hpp"

#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmnet/dimse.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace associations {

namespace {

// Statuses that the receiver answers with itself (PS3.7 annex C).
constexpr uint16_t success = 0x0000;
constexpr uint16_t failureOfProcessing = 0x0110;
constexpr uint16_t noSuchInstance = 0x0112;
constexpr uint16_t noSuchEventType = 0x0113;
constexpr uint16_t noSuchSOPClass = 0x0118;
constexpr uint16_t noSuchAction = 0x0123;
constexpr uint16_t classNotSupported = 0x0122;
constexpr uint16_t unrecognizedOperation = 0x0211;
constexpr uint16_t notSent = 0xFFFF;

// The longest time without `served` while the peer sends requests that the receiver answers alone, and the pause of the
// peer after which it is said earlier.
constexpr std::chrono::seconds servedInterval(1);
constexpr std::chrono::milliseconds servedPause(100);

// Bytes of a data set that are held while the node opens its file.
constexpr size_t heldAtMost = 256u << 10;

// Bytes of the longest data set of Storage Commitment Push Model that is read: some 50,000 references.
constexpr size_t longestCommitment = 8u << 20;

} // namespace

// MARK: The node

// The next message, which is one of two; nothing if the node ends the association instead.
std::optional<Received> Served::next(ReceiverOrder one, ReceiverOrder other) {
    while (!ordered_) {
        Received message = channel_.receive();
        if (message.kind == one || message.kind == other) return message;
        takeInterruption(message);
    }
    return std::nullopt;
}

// Takes a message that the node may send at any time.
void Served::takeInterruption(Received &message) {
    switch (message.kind) {
    case stop: isStopping_ = true; return;
    case abortNow:
        ordered_ = {message.u8(), message.u8()};
        return;
    case take:
    case refuse:
        if (file_ == nullptr || isDecided_) break;
        decide(message);
        return;
    case discard:
        // Without a file, the message has crossed `whole`.
        if (file_ != nullptr) file_->fail(static_cast<int>(message.u32()));
        return;
    case report:
        if (report_ || reportID_) break;
        report_ = Commitment::take(message);
        return;
    default: break;
    }
    // The two ends disagree, and the association cannot go on.
    _exit(2);
}

bool Served::wait(int socket, short event) {
    while (!ordered_) {
        pollfd entries[] = {{socket, event, 0}, {channel_.descriptor(), POLLIN, 0}};
        if (poll(entries, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return false;
        }
        if (entries[1].revents != 0) {
            Received message = channel_.receive();
            takeInterruption(message);
        } else if (entries[0].revents != 0) {
            return true;
        }
    }
    state_.isInterrupted = true;
    state_.abortSource = ordered_->source;
    state_.abortReason = ordered_->reason;
    return false;
}

// MARK: Negotiation

void Served::serve() {
    if (!negotiate()) return;
    while (serveNext()) {}
}

// Asks the node who may call. Returns false if no association came about.
bool Served::negotiate() {
    Message message(requested);
    putRequest(message, association_, state_);
    channel_.send(message);
    std::optional<Received> verdict = next(accept, reject);
    if (!verdict) return lose();
    if (verdict->kind == reject) {
        rejectAssociation(*verdict);
        return false;
    }
    const auto accepted = takeAnswer(*verdict, association_);
    if (!accepted) return abort(noReason, "the node's answer does not fit the request");
    contexts_ = *accepted;
    identify(association_->params);
    if (ASC_acknowledgeAssociation(association_).bad()) return lose();
    std::set<uint8_t> ids;
    for (const auto &context : contexts_) ids.insert(context.first);
    incoming_ = std::make_unique<Incoming>(association_, state_, std::move(ids));
    return true;
}

void Served::rejectAssociation(Received &verdict) {
    const uint8_t result = verdict.u8(), source = verdict.u8(), reason = verdict.u8();
    T_ASC_RejectParameters parameters;
    parameters.result = static_cast<T_ASC_RejectParametersResult>(result);
    parameters.source = static_cast<T_ASC_RejectParametersSource>(source);
    parameters.reason = static_cast<T_ASC_RejectParametersReason>(source << 8 | reason);
    if (ASC_rejectAssociation(association_, &parameters).bad()) {
        lose();
    } else {
        sayEnded(channel_, rejected, "", result, source, reason);
    }
}

// MARK: Requests

// Serves the next request, or sends the node's report. Returns false if the association is over.
bool Served::serveNext() {
    waitForRequest();
    if (ordered_) return lose();
    if (isStopping_) return abort(noReason, "the node stops");
    if (report_) return sendReport();
    CommandSet command;
    const Incoming::Outcome outcome = incoming_->read(command);
    if (outcome != Incoming::Outcome::whole) return end(outcome);
    return command.isResponse() ? takeResponse(command) : serve(command);
}

// Waits until a request begins, or the node interrupts.
void Served::waitForRequest() {
    while (!ordered_ && !isStopping_ && !report_ && !incoming_->holdsFragment() && !ASC_dataWaiting(association_, 0)) {
        pollfd entries[] = {{socket_, POLLIN, 0}, {channel_.descriptor(), POLLIN, 0}};
        // The node is woken for `served` only if the peer pauses.
        const int count = poll(entries, 2, unsaid_ ? static_cast<int>(servedPause.count()) : -1);
        if (count == 0) sayServed();
        if (count <= 0) continue;
        if (entries[1].revents == 0) return;
        Received message = channel_.receive();
        takeInterruption(message);
    }
}

bool Served::serve(const CommandSet &command) {
    const std::string &abstractSyntax = contexts_[command.context].abstractSyntax;
    const bool isCommitment = abstractSyntax == UID_StorageCommitmentPushModelSOPClass;
    switch (command.field) {
    case DIMSE_C_STORE_RQ: return serveStore(command);
    // The request that it cancels has been answered already.
    case DIMSE_C_CANCEL_RQ: return discardDataSet(command);
    case DIMSE_C_ECHO_RQ:
        return discardDataSet(command)
               && respondAlone(command, abstractSyntax == UID_VerificationSOPClass ? success : classNotSupported);
    case DIMSE_N_ACTION_RQ:
    case DIMSE_N_EVENT_REPORT_RQ:
        if (isCommitment) return serveCommitment(command);
        [[fallthrough]];
    default: return discardDataSet(command) && respondAlone(command, unrecognizedOperation);
    }
}

// The data set is read while the node decides about it and opens its file.
bool Served::serveStore(const CommandSet &command) {
    Message message(store);
    message.u8(command.context).text(command.sopClass).text(command.sopInstance).u8(command.hasDataSet ? 1 : 0);
    channel_.send(message);
    DataSetFile file(held_);
    file_ = &file;
    isDecided_ = false;
    refusal_.reset();
    Incoming::Outcome outcome = Incoming::Outcome::whole;
    if (command.hasDataSet) {
        outcome = incoming_->readDataSet(command, [&](const uint8_t *bytes, size_t length) {
            if (!isDecided_ && file.held() + length > heldAtMost) awaitDecision();
            file.append(bytes, length);
        });
    }
    awaitDecision();
    file_ = nullptr;
    if (outcome != Incoming::Outcome::whole) return end(outcome);
    if (!isDecided_) return lose();
    if (refusal_) return respond(command, *refusal_);
    uint8_t digest[32];
    file.finish(digest);
    Message done(whole);
    done.u64(file.bytes()).raw(digest, sizeof digest).u32(static_cast<uint32_t>(file.failure()));
    channel_.send(done);
    return respondAsAnswered(command);
}

// Waits until the node has taken or refused the data set, or ends the association.
void Served::awaitDecision() {
    while (!isDecided_ && !ordered_) {
        Received message = channel_.receive();
        takeInterruption(message);
    }
}

void Served::decide(Received &message) {
    isDecided_ = true;
    if (message.kind == refuse) {
        refusal_ = message.u16();
        file_->fail(ECANCELED);
    } else if (message.descriptor >= 0) {
        file_->open(message.descriptor, message.u64());
    } else {
        _exit(2);
    }
}

// N-ACTION and N-EVENT-REPORT of Storage Commitment Push Model (PS3.4 annex J).
bool Served::serveCommitment(const CommandSet &command) {
    const bool isReport = command.field == DIMSE_N_EVENT_REPORT_RQ;
    bool isOver = false;
    const auto commitment = readCommitment(command, isOver);
    if (isOver) return false;
    if (command.sopClass != UID_StorageCommitmentPushModelSOPClass) return respondAlone(command, noSuchSOPClass);
    if (command.sopInstance != UID_StorageCommitmentPushModelSOPInstance) return respondAlone(command, noSuchInstance);
    if (isReport && command.eventType != 1 && command.eventType != 2) return respondAlone(command, noSuchEventType);
    if (!isReport && command.actionType != 1) return respondAlone(command, noSuchAction);
    if (!commitment) return respondAlone(command, failureOfProcessing);
    Message message(isReport ? told : asked);
    commitment->put(message);
    channel_.send(message);
    return respondAsAnswered(command);
}

// Receives the data set of a commitment; nothing if it is not one.
std::optional<Commitment> Served::readCommitment(const CommandSet &command, bool &isOver) {
    std::vector<uint8_t> bytes;
    bool isTooLong = false;
    isOver = command.hasDataSet && !receiveDataSet(command, [&](const uint8_t *piece, size_t length) {
        isTooLong = isTooLong || length > longestCommitment - bytes.size();
        if (!isTooLong) bytes.insert(bytes.end(), piece, piece + length);
    });
    if (isOver || isTooLong) return std::nullopt;
    return Commitment::decode(bytes, contexts_[command.context].transferSyntax);
}

// MARK: Reports

bool Served::sendReport() {
    const Commitment commitment = std::move(*report_);
    report_.reset();
    auto context = contexts_.begin();
    while (context != contexts_.end() && context->second.abstractSyntax != UID_StorageCommitmentPushModelSOPClass)
        ++context;
    DcmDataset dataSet;
    if (context == contexts_.end() || !commitment.write(dataSet)) {
        sayReported(notSent);
        return true;
    }
    reportID_ = ++lastMessageID_;
    OFCondition sent = sendCommand(association_, context->first, commitment.reportCommand(*reportID_));
    Fragments fragments(association_, context->first, DUL_DATASETPDV);
    const E_TransferSyntax syntax = DcmXfer(context->second.transferSyntax.c_str()).getXfer();
    if (sent.good()) sent = fragments.append(dataSet, syntax);
    if (sent.good()) sent = fragments.finish();
    return sent.good() || lose();
}

bool Served::takeResponse(const CommandSet &response) {
    const bool isExpected =
        response.field == DIMSE_N_EVENT_REPORT_RSP && response.hasStatus && reportID_ == response.messageID;
    if (!isExpected) return abort(unexpectedPDU, "a response came without a request");
    if (!discardDataSet(response)) return false;
    reportID_.reset();
    sayReported(response.status);
    return true;
}

void Served::sayReported(uint16_t status) {
    Message message(reported);
    message.u16(status);
    channel_.send(message);
}

// MARK: Data sets and responses

bool Served::receiveDataSet(const CommandSet &command, const Incoming::Take &consume) {
    const Incoming::Outcome outcome = incoming_->readDataSet(command, consume);
    return outcome == Incoming::Outcome::whole || end(outcome);
}

bool Served::discardDataSet(const CommandSet &command) {
    return !command.hasDataSet || receiveDataSet(command, [](const uint8_t *, size_t) {});
}

bool Served::respond(const CommandSet &command, uint16_t status) {
    return sendCommand(association_, command.context, command.response(status)).good() || lose();
}

// Responds with the status that the node answers.
bool Served::respondAsAnswered(const CommandSet &command) {
    std::optional<Received> message = next(answer, answer);
    return message ? respond(command, message->u16()) : lose();
}

// Responds without asking the node.
bool Served::respondAlone(const CommandSet &command, uint16_t status) {
    if (!respond(command, status)) return false;
    unsaid_ = command.field;
    if (std::chrono::steady_clock::now() - saidServedAt_ > servedInterval) sayServed();
    return true;
}

// Says `served` for the last request that the receiver has answered alone, if it was not said yet.
void Served::sayServed() {
    if (!unsaid_) return;
    Message message(served);
    message.u16(*unsaid_);
    channel_.send(message);
    unsaid_.reset();
    saidServedAt_ = std::chrono::steady_clock::now();
}

// MARK: Ends

bool Served::end(Incoming::Outcome outcome) {
    if (outcome == Incoming::Outcome::gone) return lose();
    if (outcome != Incoming::Outcome::released) return abort(incoming_->abortReason(), incoming_->mistake());
    ASC_acknowledgeRelease(association_);
    return sayEnded(channel_, released, "");
}

// Ends an association whose connection failed, or that one side aborts. Returns false.
bool Served::lose() {
    if (ordered_) {
        sendAbort(association_, state_, ordered_->source, ordered_->reason);
        return sayEnded(channel_, abortedByUs, "the node aborts", 0, ordered_->source, ordered_->reason);
    }
    if (state_.watch.sawAbort() || state_.isLost || !state_.failure.empty()) return sayGone(channel_, state_);
    return abort(noReason, "DCMTK could not send");
}

bool Served::abort(uint8_t reason, const char *cause) {
    sendAbort(association_, state_, serviceProvider, reason);
    return sayEnded(channel_, abortedByUs, cause, 0, serviceProvider, reason);
}

} // namespace associations
