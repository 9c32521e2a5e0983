// SPDX-License-Identifier: Apache-2.0
#include "CAssociations.h"

#include "CDCMTKDataSet.h"
#include "Channel.hpp"
#include "TLS.hpp"
#include "Transport.hpp"

#include "dcmtk/dcmdata/dcdeftag.h"
#include "dcmtk/dcmdata/dcostrmb.h"
#include "dcmtk/dcmdata/dcostrma.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dimse.h"
#include "dcmtk/dcmnet/diutil.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <poll.h>
#include <unistd.h>

namespace associations {

namespace {

// Messages of the channel, as CAssociations.h numbers them.
enum ToReceiver : uint8_t { associate = 1, accept = 2, reject = 3, take = 4, refuse = 5, answer = 6, stop = 7 };
enum ToNode : uint8_t { ready = 1, requested = 2, store = 3, whole = 4, ended = 5 };
enum End : uint8_t { released = 0, rejected = 1, abortedByPeer = 2, abortedByUs = 3, lost = 4 };

// Takes a data set as it arrives: appends it to a descriptor and hashes it.
//
// A failed write is remembered and not reported to DCMTK, because DCMTK would then skip to the end of a data set that
// may have ended already.
class HashingConsumer : public DcmConsumer {
public:
    // `descriptor` is -1 for a data set that is discarded.
    explicit HashingConsumer(int descriptor) : descriptor_(descriptor), digest_(EVP_MD_CTX_new()) {
        EVP_DigestInit_ex(digest_, EVP_sha256(), nullptr);
    }
    ~HashingConsumer() override { EVP_MD_CTX_free(digest_); }
    HashingConsumer(const HashingConsumer &) = delete;
    HashingConsumer &operator=(const HashingConsumer &) = delete;

    OFBool good() const override { return OFTrue; }
    OFCondition status() const override { return EC_Normal; }
    OFBool isFlushed() const override { return OFTrue; }
    offile_off_t avail() const override { return 1 << 30; }
    void flush() override {}
    offile_off_t write(const void *buffer, offile_off_t length) override {
        if (descriptor_ >= 0 && failure_ == 0) append(static_cast<const char *>(buffer), static_cast<size_t>(length));
        return length;
    }

    uint64_t bytes() const { return bytes_; }
    int failure() const { return failure_; }
    void finish(uint8_t digest[32]) { EVP_DigestFinal_ex(digest_, digest, nullptr); }

private:
    void append(const char *bytes, size_t length) {
        EVP_DigestUpdate(digest_, bytes, length);
        bytes_ += length;
        while (length > 0) {
            const ssize_t count = ::write(descriptor_, bytes, length);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) {
                failure_ = errno;
                return;
            }
            bytes += count;
            length -= static_cast<size_t>(count);
        }
    }

    int descriptor_;
    EVP_MD_CTX *digest_;
    uint64_t bytes_ = 0;
    int failure_ = 0;
};

class ConsumerStream : public DcmOutputStream {
public:
    explicit ConsumerStream(HashingConsumer &consumer) : DcmOutputStream(&consumer) {}
};

// A request as its command set describes it (PS3.7 annex E).
struct Request {
    Uint16 field = 0;
    Uint16 messageID = 0;
    bool hasDataSet = false;
    std::string sopClass;
    std::string sopInstance;

    explicit Request(DcmDataset &command) {
        Uint16 dataSetType = DIMSE_DATASET_NULL;
        command.findAndGetUint16(DCM_CommandField, field);
        command.findAndGetUint16(DCM_MessageID, messageID);
        command.findAndGetUint16(DCM_CommandDataSetType, dataSetType);
        hasDataSet = dataSetType != DIMSE_DATASET_NULL;
        sopClass = uid(command, DCM_AffectedSOPClassUID, DCM_RequestedSOPClassUID);
        sopInstance = uid(command, DCM_AffectedSOPInstanceUID, DCM_RequestedSOPInstanceUID);
    }

    bool isResponse() const { return (field & 0x8000) != 0; }

private:
    static std::string uid(DcmDataset &command, const DcmTagKey &affected, const DcmTagKey &wanted) {
        OFString value;
        if (command.findAndGetOFString(affected, value).bad()) command.findAndGetOFString(wanted, value);
        return std::string(value.c_str(), value.length());
    }
};

// One receiver: a process that serves one association at a time.
class Receiver {
public:
    explicit Receiver(int channel) : channel_(channel) {}

    int run() {
        cdcmtk_initialize();
        dcmDisableGethostbyaddr.set(OFTrue);
        dcmEnableAutomaticInputDataCorrection.set(OFFalse);
        // Any valid descriptor keeps DCMTK from opening a port of its own.
        dcmExternalSocketHandle.set(channel_.descriptor());
        if (ASC_initializeNetwork(NET_ACCEPTOR, 0, 1000, &network_).bad()) return 1;
        state_.waitForData = [this](int socket) { return waitForData(socket); };
        if (ASC_setTransportLayer(network_, new TransportLayer(state_, security_), 1).bad()) return 1;
        while (true) {
            Message message(ready);
            channel_.send(message);
            Received order = next(associate);
            const uint32_t maximumLength = order.u32();
            const bool isSecure = order.u8() != 0;
            if (order.descriptor < 0 || !order.isWhole()) return 2;
            serve(order.descriptor, maximumLength, isSecure);
        }
    }

private:
    // The next message, which has to be `expected`. A `stop` that comes instead is remembered.
    Received next(ToReceiver expected) { return next(expected, expected); }

    Received next(ToReceiver one, ToReceiver other) {
        while (true) {
            Received message = channel_.receive();
            if (message.kind == one || message.kind == other) return message;
            // Anything else means that the two ends disagree, and an association cannot go on.
            if (message.kind != stop) _exit(2);
            isStopping_ = true;
        }
    }

    bool waitForData(int socket) {
        while (true) {
            if (isIdle_ && isStopping_) return false;
            pollfd entries[] = {{socket, POLLIN, 0}, {channel_.descriptor(), POLLIN, 0}};
            if (poll(entries, 2, -1) < 0) {
                if (errno == EINTR) continue;
                return false;
            }
            if (entries[1].revents != 0) {
                Received message = channel_.receive();
                if (message.kind != stop) _exit(2);
                isStopping_ = true;
                continue;
            }
            isIdle_ = false;
            return true;
        }
    }

    void serve(int socket, uint32_t maximumLength, bool isSecure) {
        const auto waitForData = state_.waitForData;
        state_ = ConnectionState();
        state_.waitForData = waitForData;
        isStopping_ = false;
        isIdle_ = false;
        maximumLength_ = maximumLength;
        dcmExternalSocketHandle.set(socket);
        T_ASC_Association *association = nullptr;
        const OFCondition condition = ASC_receiveAssociation(
            network_, &association, static_cast<long>(maximumLength), nullptr, nullptr, isSecure, DUL_BLOCK);
        if (condition.good()) {
            converse(association);
        } else {
            end(state_.isLost ? lost : abortedByUs, condition.text());
        }
        state_.isOver = true;
        if (association != nullptr) {
            ASC_dropAssociation(association);
            ASC_destroyAssociation(&association);
        } else {
            ::close(socket);
        }
    }

    void converse(T_ASC_Association *association) {
        sayRequested(association);
        Received verdict = next(accept, reject);
        if (verdict.kind == reject) {
            T_ASC_RejectParameters parameters;
            parameters.result = static_cast<T_ASC_RejectParametersResult>(verdict.u8());
            const uint8_t source = verdict.u8();
            parameters.source = static_cast<T_ASC_RejectParametersSource>(source);
            parameters.reason = static_cast<T_ASC_RejectParametersReason>(source << 8 | verdict.u8());
            ASC_rejectAssociation(association, &parameters);
            end(rejected, "");
            return;
        }
        if (!answerContexts(association, verdict) || ASC_acknowledgeAssociation(association).bad()) {
            abort(association, "the answer to the association could not be sent");
            return;
        }
        while (serveRequest(association)) {}
    }

    void sayRequested(T_ASC_Association *association) {
        T_ASC_Parameters *parameters = association->params;
        char calling[256] = "", called[256] = "", responding[256] = "", application[256] = "";
        ASC_getAPTitles(parameters, calling, sizeof calling, called, sizeof called, responding, sizeof responding);
        ASC_getApplicationContextName(parameters, application, sizeof application);
        Message message(requested);
        message.text(calling).text(called).text(application);
        message.u32(static_cast<uint32_t>(parameters->theirMaxPDUReceiveSize));
        message.text(parameters->theirImplementationClassUID).text(parameters->theirImplementationVersionName);
        const unsigned long length = ASC_getPeerCertificateLength(association);
        std::vector<uint8_t> certificate(length);
        const unsigned long written = ASC_getPeerCertificate(association, certificate.data(), length);
        message.u32(static_cast<uint32_t>(written)).raw(certificate.data(), written);
        const int count = ASC_countPresentationContexts(parameters);
        message.u16(static_cast<uint16_t>(count));
        for (int i = 0; i < count; i++) {
            T_ASC_PresentationContext context;
            ASC_getPresentationContext(parameters, i, &context);
            message.u8(context.presentationContextID).text(context.abstractSyntax).u8(role(context.proposedRole));
            message.u16(context.transferSyntaxCount);
            for (int j = 0; j < context.transferSyntaxCount; j++) message.text(context.proposedTransferSyntaxes[j]);
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

    static bool answerContexts(T_ASC_Association *association, Received &verdict) {
        static const T_ASC_SC_ROLE roles[] = {
            ASC_SC_ROLE_DEFAULT, ASC_SC_ROLE_SCU, ASC_SC_ROLE_SCP, ASC_SC_ROLE_SCUSCP};
        for (uint16_t count = verdict.u16(); count > 0; count--) {
            const uint8_t id = verdict.u8();
            const uint8_t result = verdict.u8();
            const std::string syntax = verdict.text();
            const uint8_t role = verdict.u8();
            const OFCondition condition =
                result == 0 ? ASC_acceptPresentationContext(
                                  association->params, id, syntax.c_str(), roles[role & 3])
                            : ASC_refusePresentationContext(
                                  association->params, id, static_cast<T_ASC_P_ResultReason>(result));
            if (condition.bad()) return false;
        }
        return verdict.isWhole();
    }

    // Serves the next request; false if the association is over.
    bool serveRequest(T_ASC_Association *association) {
        isIdle_ = !state_.holdsBytes;
        // A command set may be sent in many fragments. Two PDUs of the longest length hold any that is meant well.
        state_.isLimited = true;
        state_.budget = 2 * (static_cast<uint64_t>(maximumLength_) + 6);
        T_ASC_PresentationContextID context = 0;
        T_DIMSE_Message message;
        DcmDataset *found = nullptr;
        const OFCondition condition =
            DIMSE_receiveCommand(association, DIMSE_BLOCKING, 0, &context, &message, nullptr, &found);
        const std::unique_ptr<DcmDataset> command(found);
        state_.isLimited = false;
        isIdle_ = false;
        if (condition == DUL_PEERREQUESTEDRELEASE) {
            ASC_acknowledgeRelease(association);
            end(released, "");
            return false;
        }
        if (command == nullptr) return fail(association, condition);
        const Request request(*command);
        if (request.isResponse()) return abort(association, "a response came without a request");
        switch (request.field) {
        case DIMSE_C_STORE_RQ: return serveStore(association, context, request);
        // The request that it cancels has been answered already.
        case DIMSE_C_CANCEL_RQ: return true;
        case DIMSE_C_ECHO_RQ:
            return discardDataSet(association, request)
                   && respond(association, context, request, isVerification(association, context) ? 0x0000 : 0x0122);
        default: return discardDataSet(association, request) && respond(association, context, request, 0x0211);
        }
    }

    static bool isVerification(T_ASC_Association *association, T_ASC_PresentationContextID id) {
        T_ASC_PresentationContext context;
        return ASC_findAcceptedPresentationContext(association->params, id, &context).good()
               && std::string(context.abstractSyntax) == UID_VerificationSOPClass;
    }

    bool serveStore(T_ASC_Association *association, T_ASC_PresentationContextID context, const Request &request) {
        Message message(store);
        message.u8(context).text(request.sopClass).text(request.sopInstance).u8(request.hasDataSet ? 1 : 0);
        channel_.send(message);
        Received order = next(take, refuse);
        if (order.kind == refuse) {
            const uint16_t status = order.u16();
            return discardDataSet(association, request) && respond(association, context, request, status);
        }
        HashingConsumer consumer(order.descriptor);
        if (!receiveDataSet(association, consumer)) {
            if (order.descriptor >= 0) ::close(order.descriptor);
            return false;
        }
        if (order.descriptor >= 0) ::close(order.descriptor);
        uint8_t digest[32];
        consumer.finish(digest);
        Message done(whole);
        done.u64(consumer.bytes()).raw(digest, sizeof digest).u8(consumer.failure() == 0 ? 1 : 0);
        done.u32(static_cast<uint32_t>(consumer.failure()));
        channel_.send(done);
        const uint16_t status = next(answer).u16();
        return respond(association, context, request, status);
    }

    bool discardDataSet(T_ASC_Association *association, const Request &request) {
        if (!request.hasDataSet) return true;
        HashingConsumer consumer(-1);
        return receiveDataSet(association, consumer);
    }

    bool receiveDataSet(T_ASC_Association *association, HashingConsumer &consumer) {
        ConsumerStream stream(consumer);
        T_ASC_PresentationContextID context = 0;
        const OFCondition condition =
            DIMSE_receiveDataSetInFile(association, DIMSE_BLOCKING, 0, &context, &stream, nullptr, nullptr);
        return condition.good() && condition != DUL_PEERREQUESTEDRELEASE ? true : fail(association, condition);
    }

    // Sends the response to a request (PS3.7 9.3) in PDUs that the peer takes.
    bool respond(
        T_ASC_Association *association, T_ASC_PresentationContextID context, const Request &request, uint16_t status) {
        DcmDataset response;
        if (!request.sopClass.empty()) response.putAndInsertString(DCM_AffectedSOPClassUID, request.sopClass.c_str());
        response.putAndInsertUint16(DCM_CommandField, static_cast<Uint16>(request.field | 0x8000));
        response.putAndInsertUint16(DCM_MessageIDBeingRespondedTo, request.messageID);
        response.putAndInsertUint16(DCM_CommandDataSetType, DIMSE_DATASET_NULL);
        response.putAndInsertUint16(DCM_Status, status);
        if (!request.sopInstance.empty())
            response.putAndInsertString(DCM_AffectedSOPInstanceUID, request.sopInstance.c_str());
        response.computeGroupLengthAndPadding(EGL_withGL, EPD_withoutPadding, EXS_LittleEndianImplicit);
        std::vector<uint8_t> bytes(4096);
        DcmOutputBufferStream buffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
        response.transferInit();
        const OFCondition written = response.write(buffer, EXS_LittleEndianImplicit, EET_ExplicitLength, nullptr);
        response.transferEnd();
        void *start = nullptr;
        offile_off_t length = 0;
        buffer.flushBuffer(start, length);
        if (written.bad()) return abort(association, "a response could not be encoded");
        auto *rest = static_cast<uint8_t *>(start);
        while (length > 0) {
            const auto piece = std::min<unsigned long>(association->sendPDVLength, static_cast<unsigned long>(length));
            DUL_PDV pdv = {piece, context, DUL_COMMANDPDV, static_cast<unsigned long>(length) == piece, rest};
            DUL_PDVLIST list = {1, nullptr, 0, {0, 0, 0}, &pdv};
            const OFCondition sent = DUL_WritePDVs(&association->DULassociation, &list);
            if (sent.bad()) return fail(association, sent);
            rest += piece;
            length -= static_cast<offile_off_t>(piece);
        }
        return true;
    }

    // Ends an association whose last call failed. Returns false.
    bool fail(T_ASC_Association *association, const OFCondition &condition) {
        if (condition == DUL_PEERABORTEDASSOCIATION) return end(abortedByPeer, "");
        if (state_.isLost) return end(lost, condition.text());
        if (isStopping_) return abort(association, "the node stops");
        return abort(association, condition.text());
    }

    bool abort(T_ASC_Association *association, const char *cause) {
        ASC_abortAssociation(association);
        state_.isOver = true;
        return end(abortedByUs, cause);
    }

    bool end(End how, const char *cause) {
        Message message(ended);
        message.u8(how).u8(0).u8(0).text(cause);
        channel_.send(message);
        return false;
    }

    Channel channel_;
    ConnectionState state_;
    Security security_{NET_ACCEPTOR};
    T_ASC_Network *network_ = nullptr;
    uint32_t maximumLength_ = 0;
    bool isStopping_ = false;
    bool isIdle_ = false;
};

} // namespace

} // namespace associations

extern "C" int cassociations_receiver_run(int channel) {
    associations::Receiver receiver(channel);
    return receiver.run();
}
