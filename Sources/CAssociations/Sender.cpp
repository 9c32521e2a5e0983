// SPDX-License-Identifier: Apache-2.0
#include "CAssociations.h"

#include "CDCMTKDataSet.h"
#include "Messages.hpp"
#include "Requested.hpp"
#include "RequestedConnection.hpp"
#include "TLS.hpp"
#include "Transport.hpp"

#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/diutil.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace associations {

namespace {

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
        Abort abort(isSecure ? -1 : order.descriptor);
        layer_->use(order.descriptor, host);
        T_ASC_Association *association = nullptr;
        OFCondition condition = ASC_NULLKEY;
        if (isValid && order.isWhole())
            condition = ASC_requestAssociation(network_, parameters, &association, nullptr, nullptr, DUL_BLOCK, 0);
        if (condition.good() && parameters->DULparams.acceptedPresentationContext == nullptr) {
            // DCMTK has sent an A-ABORT, and reports success.
            abort.isOwed = false;
            sayEnded(channel_, abortedByUs, "the answer to A-ASSOCIATE-RQ is neither acceptance nor rejection", 0, 2, 2);
        } else if (condition.good()) {
            abort.isOwed = false;
            Requested(channel_, state_, association, layer_->socket()).serve();
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
            sayEnded(
                channel_, rejected, "", static_cast<uint8_t>(rejection.result), static_cast<uint8_t>(rejection.source),
                static_cast<uint8_t>(rejection.reason & 0xFF));
        } else if (state_.watch.sawAbort() || state_.isLost) {
            abort.isOwed = false;
            sayGone(channel_, state_);
        } else {
            sayEnded(channel_, abortedByUs, condition.text(), 0, 2, 6);
        }
    }

    Channel channel_;
    ConnectionState state_;
    Security security_{NET_REQUESTOR};
    T_ASC_Network *network_ = nullptr;
    RequestedTransportLayer *layer_ = nullptr;
};

} // namespace

} // namespace associations

extern "C" int cassociations_sender_run(int channel) {
    associations::Sender sender(channel);
    return sender.run();
}
