// SPDX-License-Identifier: Apache-2.0
#include "CAssociations.h"

#include "CDCMTKDataSet.h"
#include "Channel.hpp"
#include "Ending.hpp"
#include "Incoming.hpp"
#include "Negotiation.hpp"
#include "Served.hpp"
#include "TLS.hpp"
#include "Transport.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"

#include <cerrno>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

namespace associations {

namespace {

// A process that serves one association at a time.
class Receiver {
public:
    explicit Receiver(int channel) : channel_(channel) {}
    int run();

private:
    void takeCredentials(Received &message);
    void serve(Received &order);
    bool waitForAssociation(int socket, short event);
    void endUnmade(T_ASC_Association *association, const OFCondition &condition);
    void sayReady();

    Channel channel_;
    ConnectionState state_;
    Security security_{NET_ACCEPTOR};
    T_ASC_Network *network_ = nullptr;
    bool isStopping_ = false;
};

int Receiver::run() {
    // Each association needs buffers of half a megabyte. By default they go back to the kernel after each association,
    // and half of the time of a short association is spent to get them again.
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    cdcmtk_initialize();
    dcmDisableGethostbyaddr.set(OFTrue);
    dcmEnableAutomaticInputDataCorrection.set(OFFalse);
    // The node limits the request that it reads, and DCMTK one that comes over TLS.
    dcmAssociatePDUSizeLimit.set(1u << 20);
    // Any valid descriptor keeps DCMTK from opening a port of its own.
    dcmExternalSocketHandle.set(channel_.descriptor());
    // The node holds the deadlines. DCMTK's own only has to be longer.
    constexpr int longest = 100000;
    dcmSocketSendTimeout.set(0);
    dcmSocketReceiveTimeout.set(0);
    if (ASC_initializeNetwork(NET_ACCEPTOR, 0, longest, &network_).bad()) return 1;
    if (ASC_setTransportLayer(network_, new TransportLayer(state_, security_), 1).bad()) return 1;
    sayReady();
    while (true) {
        Received message = channel_.receive();
        if (message.kind == credentials) {
            takeCredentials(message);
        } else if (message.kind == associate && message.descriptor >= 0) {
            serve(message);
            sayReady();
        } else if (message.kind > associate && message.kind <= abortNow) {
            // The message has crossed the end of the last association.
            if (message.descriptor >= 0) ::close(message.descriptor);
        } else {
            return 2;
        }
    }
}

void Receiver::takeCredentials(Received &message) {
    const std::string cause = security_.take(message);
    if (cause.empty()) {
        sayReady();
        return;
    }
    Message answer(unusable);
    answer.text(cause);
    channel_.send(answer);
}

void Receiver::sayReady() {
    Message message(ready);
    channel_.send(message);
}

void Receiver::serve(Received &order) {
    const long maximumLength = static_cast<long>(order.u32());
    const bool isSecure = order.u8() != 0;
    const int socket = order.descriptor;
    state_.reset();
    state_.firstBytes = order.bytes();
    if (!order.isWhole()) _exit(2);
    Served *served = nullptr;
    isStopping_ = false;
    const auto wait = [this, &served](int connection, short event) {
        return served != nullptr ? served->wait(connection, event) : waitForAssociation(connection, event);
    };
    state_.waitForData = [wait](int connection) { return wait(connection, POLLIN); };
    state_.waitForRoom = [wait](int connection) { return wait(connection, POLLOUT); };

    dcmExternalSocketHandle.set(socket);
    T_ASC_Association *association = nullptr;
    const OFCondition condition =
        ASC_receiveAssociation(network_, &association, maximumLength, nullptr, nullptr, isSecure, DUL_BLOCK);
    const bool isMade = condition.good() && !state_.sentAbort && hasValidContexts(association);
    if (isMade) {
        Served one(channel_, state_, association, socket);
        served = &one;
        one.serve();
        served = nullptr;
    } else {
        endUnmade(association, condition);
    }
    state_.isOver = true;
    ASC_destroyAssociation(&association);
    if (!state_.isTaken) ::close(socket);
}

// Waits for an event of a connection before the request is whole. Returns false if the node stops.
bool Receiver::waitForAssociation(int socket, short event) {
    while (!isStopping_) {
        pollfd entries[] = {{socket, event, 0}, {channel_.descriptor(), POLLIN, 0}};
        if (poll(entries, 2, -1) < 0 && errno != EINTR) return false;
        if (entries[1].revents != 0) {
            const uint8_t kind = channel_.receive().kind;
            if (kind != stop && kind != abortNow) _exit(2);
            isStopping_ = true;
        } else if (entries[0].revents != 0) {
            return true;
        }
    }
    return false;
}

// Tells why no association came about.
void Receiver::endUnmade(T_ASC_Association *association, const OFCondition &condition) {
    if (condition == DUL_UNSUPPORTEDPEERPROTOCOL) {
        // DCMTK has sent the rejection.
        sayEnded(channel_, rejected, "", 1, 2, 2);
    } else if (isStopping_) {
        sendAbort(association, state_, serviceProvider, noReason);
        sayEnded(channel_, abortedByUs, "the node stops", 0, serviceProvider, noReason);
    } else if (state_.watch.sawAbort() || state_.isLost || !state_.failure.empty() || !state_.isTaken) {
        sayGone(channel_, state_);
    } else if (state_.sentAbort) {
        // DCMTK has answered a PDU out of turn.
        sayEnded(channel_, abortedByUs, "another PDU came than A-ASSOCIATE-RQ");
    } else {
        sendAbort(association, state_, serviceProvider, invalidPDUParameter);
        sayEnded(channel_, abortedByUs, "A-ASSOCIATE-RQ is malformed", 0, serviceProvider, invalidPDUParameter);
    }
}

} // namespace

} // namespace associations

extern "C" int cassociations_receiver_run(int channel) {
    associations::Receiver receiver(channel);
    return receiver.run();
}
