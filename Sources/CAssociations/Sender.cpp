// SPDX-License-Identifier: Apache-2.0
#include "CAssociations.h"

#include "CDCMTKDataSet.h"
#include "Channel.hpp"
#include "Commitment.hpp"
#include "FileStream.hpp"
#include "Messages.hpp"
#include "RequestedConnection.hpp"
#include "TLS.hpp"
#include "Transport.hpp"

#include "dcmtk/dcmdata/dcdeftag.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dimse.h"
#include "dcmtk/dcmnet/diutil.h"

#include <cerrno>
#include <memory>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace associations {

namespace {

// Messages of the channel, as CAssociations.h numbers them.
enum Order : uint8_t {
    credentials = 1,
    associate = 30,
    store = 31,
    ask = 32,
    report = 33,
    answer = 34,
    release = 35,
    echo = 36,
};
enum Reply : uint8_t { ready = 1, unusable = 2, ended = 3, accepted = 40, responded = 41, told = 42, failed = 43 };
enum End : uint8_t { released = 0, rejected = 1, abortedByPeer = 2, abortedByUs = 3, lost = 4 };

constexpr uint16_t failureOfProcessing = 0x0110;
constexpr uint16_t unrecognizedOperation = 0x0211;

// A file that came with an order.
class File {
public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    ~File() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    int descriptor() const { return descriptor_; }
    bool holds(uint64_t end) const {
        struct stat status = {};
        return fstat(descriptor_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= end;
    }

private:
    int descriptor_;
};

// A command set that came (PS3.7 annex E).
struct Command {
    Uint16 field = 0;
    Uint16 messageID = 0;
    Uint16 respondedTo = 0;
    Uint16 status = 0;
    Uint16 eventType = 0;
    bool hasStatus = false;
    bool hasDataSet = false;
    OFString sopClass;
    OFString sopInstance;
    T_ASC_PresentationContextID context = 0;

    Command(DcmDataset &set, T_ASC_PresentationContextID id) : context(id) {
        Uint16 dataSetType = DIMSE_DATASET_NULL;
        set.findAndGetUint16(DCM_CommandField, field);
        set.findAndGetUint16(DCM_MessageID, messageID);
        set.findAndGetUint16(DCM_MessageIDBeingRespondedTo, respondedTo);
        set.findAndGetUint16(DCM_EventTypeID, eventType);
        set.findAndGetUint16(DCM_CommandDataSetType, dataSetType);
        hasStatus = set.findAndGetUint16(DCM_Status, status).good();
        hasDataSet = dataSetType != DIMSE_DATASET_NULL;
        set.findAndGetOFString(DCM_AffectedSOPClassUID, sopClass);
        set.findAndGetOFString(DCM_AffectedSOPInstanceUID, sopInstance);
    }

    bool isResponse() const { return (field & 0x8000) != 0; }
};

// One sender: a process that requests one association at a time.
class Sender {
public:
    explicit Sender(int channel) : channel_(channel) {}

    int run() {
        cdcmtk_initialize();
        dcmDisableGethostbyaddr.set(OFTrue);
        dcmEnableAutomaticInputDataCorrection.set(OFFalse);
        // The node holds the deadlines. DCMTK's own only has to be longer.
        constexpr int longest = 100000;
        if (ASC_initializeNetwork(NET_REQUESTOR, 0, longest, &network_).bad()) return 1;
        state_.waitForData = [this](int socket) { return wait(socket, POLLIN); };
        state_.waitForRoom = [this](int socket) { return wait(socket, POLLOUT); };
        layer_ = new RequestedTransportLayer(state_, security_);
        if (ASC_setTransportLayer(network_, layer_, 1).bad()) return 1;
        while (true) {
            Message message(ready);
            channel_.send(message);
            Received order = nextAssociate();
            request(order);
        }
    }

private:
    // The next request for an association. Orders that crossed the end of the last one are discarded.
    Received nextAssociate() {
        while (true) {
            Received order = channel_.receive();
            const File file(order.kind == associate ? -1 : order.descriptor);
            if (order.kind == associate && order.descriptor >= 0) return order;
            if (order.kind == credentials) {
                const std::string cause = security_.take(order);
                Message message(cause.empty() ? ready : unusable);
                if (!cause.empty()) message.text(cause);
                channel_.send(message);
            } else if (order.kind < store || order.kind > echo) {
                _exit(2);
            }
        }
    }

    // Waits for an event of the peer's connection. The process ends if the node is gone.
    bool wait(int socket, short event) {
        while (true) {
            pollfd entries[] = {{socket, event, 0}, {channel_.descriptor(), POLLRDHUP, 0}};
            if (poll(entries, 2, -1) < 0 && errno != EINTR) return false;
            if (entries[1].revents != 0) _exit(0);
            if (entries[0].revents != 0) return true;
        }
    }

    void request(Received &order) {
        const bool isSecure = order.u8() != 0;
        const std::string host = order.text();
        const std::string calling = order.text();
        const std::string called = order.text();
        T_ASC_Parameters *parameters = nullptr;
        if (ASC_createAssociationParameters(&parameters, static_cast<long>(order.u32())).bad()) _exit(1);
        identify(parameters);
        const StandIn standIn;
        ASC_setAPTitles(parameters, calling.c_str(), called.c_str(), nullptr);
        ASC_setPresentationAddresses(parameters, "localhost", standIn.address().c_str());
        ASC_setTransportLayerType(parameters, isSecure);
        bool isValid = standIn.isListening();
        for (uint16_t count = order.u16(); count > 0 && isValid; count--) isValid = propose(parameters, order);

        state_.reset();
        lastMessageID_ = 0;
        isAsked_ = false;
        Abort abort(isSecure ? -1 : order.descriptor);
        layer_->use(order.descriptor, host);
        T_ASC_Association *association = nullptr;
        OFCondition condition = ASC_NULLKEY;
        if (isValid && order.isWhole())
            condition = ASC_requestAssociation(network_, parameters, &association, nullptr, nullptr, DUL_BLOCK, 0);
        if (condition.good() && parameters->DULparams.acceptedPresentationContext == nullptr) {
            // DCMTK has sent an A-ABORT, and reports success.
            abort.isOwed = false;
            end(abortedByUs, "the answer to A-ASSOCIATE-RQ is neither acceptance nor rejection");
        } else if (condition.good()) {
            abort.isOwed = false;
            converse(association);
        } else {
            endUnmade(parameters, condition, abort);
        }
        state_.isOver = true;
        layer_->discard();
        // An association owns its parameters.
        if (association != nullptr) {
            ASC_destroyAssociation(&association);
        } else {
            ASC_destroyAssociationParameters(&parameters);
        }
    }

    static bool propose(T_ASC_Parameters *parameters, Received &order) {
        static const T_ASC_SC_ROLE roles[] = {
            ASC_SC_ROLE_DEFAULT, ASC_SC_ROLE_SCU, ASC_SC_ROLE_SCP, ASC_SC_ROLE_SCUSCP};
        const uint8_t id = order.u8();
        const std::string abstractSyntax = order.text();
        const uint8_t role = order.u8();
        std::vector<std::string> syntaxes;
        for (uint16_t count = order.u16(); count > 0 && order.isWhole(); count--) syntaxes.push_back(order.text());
        std::vector<const char *> pointers;
        for (const auto &syntax : syntaxes) pointers.push_back(syntax.c_str());
        return ASC_addPresentationContext(
                   parameters, id, abstractSyntax.c_str(), pointers.data(), static_cast<int>(pointers.size()),
                   roles[role & 3])
            .good();
    }

    // Tells why no association came about.
    void endUnmade(T_ASC_Parameters *parameters, const OFCondition &condition, Abort &abort) {
        if (condition == DUL_ASSOCIATIONREJECTED) {
            T_ASC_RejectParameters rejection = {};
            ASC_getRejectParameters(parameters, &rejection);
            abort.isOwed = false;
            end(rejected, "", static_cast<uint8_t>(rejection.result), static_cast<uint8_t>(rejection.source),
                static_cast<uint8_t>(rejection.reason & 0xFF));
        } else if (state_.watch.sawAbort() || state_.isLost) {
            abort.isOwed = false;
            endByPeer();
        } else {
            end(abortedByUs, condition.text());
        }
    }

    void converse(T_ASC_Association *association) {
        if (longestFragment(association) == 0) {
            abortWith(association, "the peer takes PDUs that are too short for any data");
            return;
        }
        sayAccepted(association);
        while (waitForOrder(association)) {
            Received order = channel_.receive();
            if (!obey(association, order)) return;
        }
    }

    void sayAccepted(T_ASC_Association *association) {
        const T_ASC_Parameters *parameters = association->params;
        Message message(accepted);
        message.u32(static_cast<uint32_t>(parameters->theirMaxPDUReceiveSize));
        message.text(parameters->theirImplementationClassUID).text(parameters->theirImplementationVersionName);
        state_.certificate.put(message);
        const int count = ASC_countPresentationContexts(association->params);
        message.u16(static_cast<uint16_t>(count));
        for (int i = 0; i < count; i++) {
            T_ASC_PresentationContext context;
            ASC_getPresentationContext(association->params, i, &context);
            message.u8(context.presentationContextID).u8(static_cast<uint8_t>(context.resultReason));
            message.text(context.acceptedTransferSyntax).u8(role(context.acceptedRole));
        }
        channel_.send(message);
    }

    static uint8_t role(T_ASC_SC_ROLE role) {
        switch (role) {
        case ASC_SC_ROLE_SCU: return 1;
        case ASC_SC_ROLE_SCP: return 2;
        case ASC_SC_ROLE_SCUSCP: return 3;
        default: return 0;
        }
    }

    // Waits for the node's next order, and serves the peer meanwhile. Returns false if the association is over.
    bool waitForOrder(T_ASC_Association *association) {
        while (true) {
            while (ASC_dataWaiting(association, 0)) {
                if (!takeRequest(association)) return false;
            }
            pollfd entries[] = {{layer_->socket(), POLLIN, 0}, {channel_.descriptor(), POLLIN, 0}};
            if (poll(entries, 2, -1) < 0 && errno != EINTR) return abortWith(association, "the socket cannot be read");
            if (entries[0].revents == 0 && entries[1].revents != 0) return true;
        }
    }

    // Does what the node orders. Returns false if the association is over.
    bool obey(T_ASC_Association *association, Received &order) {
        const File file(order.descriptor);
        switch (order.kind) {
        case store: return sendInstance(association, order, file);
        case ask: return sendCommitment(association, order, DIMSE_N_ACTION_RQ);
        case report: return sendCommitment(association, order, DIMSE_N_EVENT_REPORT_RQ);
        case echo: return sendEcho(association, order.u8());
        case answer: return respondToReport(association, order.u16());
        case release: return releaseAssociation(association);
        default: _exit(2);
        }
    }

    // MARK: Requests to the peer

    bool sendInstance(T_ASC_Association *association, Received &order, const File &file) {
        const uint8_t id = order.u8();
        const std::string sopClass = order.text();
        const std::string sopInstance = order.text();
        const uint64_t offset = order.u64();
        const uint64_t length = order.u64();
        const std::string syntax = order.text();
        T_ASC_PresentationContext context;
        if (!order.isWhole() || ASC_findAcceptedPresentationContext(association->params, id, &context).bad())
            return fail("the presentation context was not accepted");
        if (length > INT64_MAX - offset || !file.holds(offset + length)) return fail("it was cut off");
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

        DcmDataset command;
        const uint16_t messageID = number(command, DIMSE_C_STORE_RQ, true);
        command.putAndInsertString(DCM_AffectedSOPClassUID, sopClass.c_str());
        command.putAndInsertString(DCM_AffectedSOPInstanceUID, sopInstance.c_str());
        command.putAndInsertUint16(DCM_Priority, DIMSE_PRIORITY_MEDIUM);
        const OFCondition sent = sendCommand(association, id, command);
        if (sent.bad()) return lose(association, sent);
        Fragments fragments(association, id, DUL_DATASETPDV);
        OFCondition written = isUnchanged ? copy(file, begin, end, fragments) : fragments.append(dataSet, wanted);
        if (written.good()) written = fragments.finish();
        if (written.bad()) {
            if (state_.isLost) return lose(association, written);
            // Half a data set must not look whole to the peer.
            fail("it was cut off");
            return abortWith(association, "the data set could not be read to its end");
        }
        return awaitResponse(association, DIMSE_C_STORE_RSP, messageID);
    }

    static OFCondition decode(
        DcmDataset &dataSet, const File &file, offile_off_t begin, offile_off_t end, E_TransferSyntax syntax) {
        if (syntax == EXS_Unknown) return EC_UnsupportedEncoding;
        FileStream stream(file.descriptor(), begin, end);
        dataSet.transferInit();
        const OFCondition read = dataSet.read(stream, syntax);
        dataSet.transferEnd();
        if (read.bad()) return read;
        return stream.eos() ? EC_Normal : EC_CorruptedData;
    }

    static OFCondition copy(const File &file, offile_off_t begin, offile_off_t end, Fragments &fragments) {
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

    bool sendCommitment(T_ASC_Association *association, Received &order, T_DIMSE_Command field) {
        const uint8_t id = order.u8();
        const Commitment commitment = Commitment::take(order);
        const bool isReport = field == DIMSE_N_EVENT_REPORT_RQ;
        T_ASC_PresentationContext context;
        if (!order.isWhole() || ASC_findAcceptedPresentationContext(association->params, id, &context).bad())
            return fail("the presentation context was not accepted");
        DcmDataset dataSet;
        if (!commitment.write(dataSet)) return fail("the data set could not be made");
        DcmDataset command;
        const uint16_t messageID = number(command, field, true);
        command.putAndInsertString(
            isReport ? DCM_AffectedSOPClassUID : DCM_RequestedSOPClassUID, UID_StorageCommitmentPushModelSOPClass);
        command.putAndInsertString(
            isReport ? DCM_AffectedSOPInstanceUID : DCM_RequestedSOPInstanceUID,
            UID_StorageCommitmentPushModelSOPInstance);
        if (isReport) {
            command.putAndInsertUint16(DCM_EventTypeID, commitment.failures.empty() ? 1 : 2);
        } else {
            command.putAndInsertUint16(DCM_ActionTypeID, 1);
        }
        OFCondition sent = sendCommand(association, id, command);
        Fragments fragments(association, id, DUL_DATASETPDV);
        if (sent.good()) sent = fragments.append(dataSet, DcmXfer(context.acceptedTransferSyntax).getXfer());
        if (sent.good()) sent = fragments.finish();
        if (sent.bad()) return lose(association, sent);
        return awaitResponse(association, static_cast<Uint16>(field | 0x8000), messageID);
    }

    bool sendEcho(T_ASC_Association *association, uint8_t id) {
        DcmDataset command;
        const uint16_t messageID = number(command, DIMSE_C_ECHO_RQ, false);
        command.putAndInsertString(DCM_AffectedSOPClassUID, UID_VerificationSOPClass);
        const OFCondition sent = sendCommand(association, id, command);
        if (sent.bad()) return lose(association, sent);
        return awaitResponse(association, DIMSE_C_ECHO_RSP, messageID);
    }

    // Fills the elements that every request has. At most one message is unanswered, so that IDs may begin anew.
    uint16_t number(DcmDataset &command, T_DIMSE_Command field, bool hasDataSet) {
        lastMessageID_ = lastMessageID_ == 0xFFFF ? 1 : static_cast<uint16_t>(lastMessageID_ + 1);
        command.putAndInsertUint16(DCM_CommandField, static_cast<Uint16>(field));
        command.putAndInsertUint16(DCM_MessageID, lastMessageID_);
        command.putAndInsertUint16(
            DCM_CommandDataSetType, static_cast<Uint16>(hasDataSet ? DIMSE_DATASET_PRESENT : DIMSE_DATASET_NULL));
        return lastMessageID_;
    }

    // Waits for a response, and tells the node its status. Returns false if the association is over.
    bool awaitResponse(T_ASC_Association *association, Uint16 field, Uint16 messageID) {
        while (true) {
            const std::unique_ptr<Command> command = receiveCommand(association);
            if (!command) return false;
            if (!command->isResponse()) {
                if (!serve(association, *command)) return false;
                continue;
            }
            if (command->field != field || command->respondedTo != messageID || !command->hasStatus)
                return abortWith(association, "the message is not the response to the request");
            if (command->hasDataSet && !discardDataSet(association)) return false;
            Message message(responded);
            message.u16(command->status);
            channel_.send(message);
            return true;
        }
    }

    // MARK: Requests of the peer

    // Receives the next command, or the peer's release; null if the association is over.
    std::unique_ptr<Command> receiveCommand(T_ASC_Association *association) {
        T_ASC_PresentationContextID context = 0;
        T_DIMSE_Message message;
        DcmDataset *found = nullptr;
        // A command set may be sent in many fragments. Two PDUs of the longest length hold any that is meant well.
        state_.isLimited = true;
        state_.budget = 2 * (static_cast<uint64_t>(association->params->ourMaxPDUReceiveSize) + 6);
        const OFCondition condition =
            DIMSE_receiveCommand(association, DIMSE_BLOCKING, 0, &context, &message, nullptr, &found);
        const std::unique_ptr<DcmDataset> set(found);
        state_.isLimited = false;
        if (condition == DUL_PEERREQUESTEDRELEASE) {
            ASC_acknowledgeRelease(association);
            end(released, "");
            return nullptr;
        }
        if (!set) {
            lose(association, condition);
            return nullptr;
        }
        return std::make_unique<Command>(*set, context);
    }

    bool takeRequest(T_ASC_Association *association) {
        const std::unique_ptr<Command> command = receiveCommand(association);
        if (!command) return false;
        if (command->isResponse()) return abortWith(association, "a response came without a request");
        return serve(association, *command);
    }

    bool serve(T_ASC_Association *association, const Command &command) {
        const bool isReport =
            command.field == DIMSE_N_EVENT_REPORT_RQ && command.sopClass == UID_StorageCommitmentPushModelSOPClass;
        if (!isReport || !command.hasDataSet) {
            return (!command.hasDataSet || discardDataSet(association))
                   && respond(association, command, unrecognizedOperation);
        }
        if (isAsked_) return abortWith(association, "a second request came before the response to the first");
        T_ASC_PresentationContextID context = 0;
        DcmDataset *found = nullptr;
        const OFCondition condition =
            DIMSE_receiveDataSetInMemory(association, DIMSE_BLOCKING, 0, &context, &found, nullptr, nullptr);
        const std::unique_ptr<DcmDataset> dataSet(found);
        if (condition.bad() || !dataSet) return lose(association, condition);
        Commitment commitment;
        if (!commitment.read(*dataSet)) return respond(association, command, failureOfProcessing);
        isAsked_ = true;
        asked_ = std::make_unique<Command>(command);
        Message message(told);
        commitment.put(message);
        channel_.send(message);
        return true;
    }

    bool respondToReport(T_ASC_Association *association, uint16_t status) {
        if (!isAsked_) _exit(2);
        isAsked_ = false;
        return respond(association, *asked_, status);
    }

    bool respond(T_ASC_Association *association, const Command &command, uint16_t status) {
        DcmDataset response;
        if (!command.sopClass.empty()) response.putAndInsertOFStringArray(DCM_AffectedSOPClassUID, command.sopClass);
        response.putAndInsertUint16(DCM_CommandField, static_cast<Uint16>(command.field | 0x8000));
        response.putAndInsertUint16(DCM_MessageIDBeingRespondedTo, command.messageID);
        response.putAndInsertUint16(DCM_CommandDataSetType, DIMSE_DATASET_NULL);
        response.putAndInsertUint16(DCM_Status, status);
        if (!command.sopInstance.empty())
            response.putAndInsertOFStringArray(DCM_AffectedSOPInstanceUID, command.sopInstance);
        if (command.field == DIMSE_N_EVENT_REPORT_RQ) response.putAndInsertUint16(DCM_EventTypeID, command.eventType);
        const OFCondition sent = sendCommand(association, command.context, response);
        return sent.good() || lose(association, sent);
    }

    bool discardDataSet(T_ASC_Association *association) {
        DIC_UL bytes = 0, values = 0;
        const OFCondition condition = DIMSE_ignoreDataSet(association, DIMSE_BLOCKING, 0, &bytes, &values);
        return condition.good() || lose(association, condition);
    }

    // MARK: Ends

    bool releaseAssociation(T_ASC_Association *association) {
        const OFCondition condition = ASC_releaseAssociation(association);
        // Both sides may request the release at once (PS3.8 9.2, states 9 to 12).
        if (condition == DUL_PEERREQUESTEDRELEASE) ASC_acknowledgeRelease(association);
        if (state_.watch.sawAbort() || state_.isLost) return endByPeer();
        if (condition.good() || condition == DUL_PEERREQUESTEDRELEASE) return end(released, "");
        return abortWith(association, condition.text());
    }

    // Tells the node that an order could not be carried out, and that the association goes on.
    bool fail(const char *cause) {
        Message message(failed);
        message.text(cause);
        channel_.send(message);
        return true;
    }

    // Ends an association whose last call failed. Returns false.
    bool lose(T_ASC_Association *association, const OFCondition &condition) {
        if (state_.isLost && !state_.watch.sawAbort()) readLastWords(association);
        if (state_.watch.sawAbort() || state_.isLost) return endByPeer();
        return abortWith(association, condition.text());
    }

    // A peer that aborts while it is sent to closes its connection at once. Its A-ABORT may still wait to be read.
    void readLastWords(T_ASC_Association *association) {
        DUL_PDVLIST values = {};
        state_.isLimited = true;
        state_.budget = 2 * (static_cast<uint64_t>(association->params->ourMaxPDUReceiveSize) + 6);
        if (ASC_dataWaiting(association, 0)) DUL_ReadPDVs(&association->DULassociation, &values, DUL_NOBLOCK, 0);
    }

    bool abortWith(T_ASC_Association *association, const char *cause) {
        // DCMTK would otherwise wait for the peer to close the connection.
        state_.isOver = true;
        ASC_abortAssociation(association);
        return end(abortedByUs, cause);
    }

    bool endByPeer() {
        if (state_.watch.sawAbort()) return end(abortedByPeer, "", 0, state_.watch.source(), state_.watch.reason());
        return end(lost, state_.failure.empty() ? "the peer closed the connection" : state_.failure.c_str());
    }

    bool end(End how, const char *cause, uint8_t result = 0, uint8_t source = 0, uint8_t reason = 0) {
        Message message(ended);
        message.u8(how).u8(result).u8(source).u8(reason).text(cause);
        channel_.send(message);
        return false;
    }

    Channel channel_;
    ConnectionState state_;
    Security security_{NET_REQUESTOR};
    T_ASC_Network *network_ = nullptr;
    RequestedTransportLayer *layer_ = nullptr;
    uint16_t lastMessageID_ = 0;
    // Whether the peer awaits the response to its N-EVENT-REPORT, which is `asked_`.
    bool isAsked_ = false;
    std::unique_ptr<Command> asked_;
};

} // namespace

} // namespace associations

extern "C" int cassociations_sender_run(int channel) {
    associations::Sender sender(channel);
    return sender.run();
}
