// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"
#include "CommandSet.hpp"
#include "Commitment.hpp"
#include "DataSetFile.hpp"
#include "Ending.hpp"
#include "Incoming.hpp"
#include "Negotiation.hpp"
#include "Transport.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

namespace associations {

// Messages of the channel, as CAssociations.h numbers them.
enum ReceiverOrder : uint8_t {
    credentials = 1,
    associate = 10,
    accept = 11,
    reject = 12,
    take = 13,
    refuse = 14,
    answer = 15,
    report = 16,
    stop = 17,
    discard = 18,
    abortNow = 19,
};
enum ReceiverReply : uint8_t {
    ready = 1,
    unusable = 2,
    requested = 20,
    store = 21,
    whole = 22,
    asked = 23,
    told = 24,
    reported = 25,
    served = 26,
};
// One association that a peer has requested.
class Served {
public:
    Served(Channel &channel, ConnectionState &state, T_ASC_Association *association, int socket)
        : channel_(channel), state_(state), association_(association), socket_(socket) {}

    // Serves the association from its request to its end.
    void serve();
    // Waits for an event of the connection, and takes what the node sends meanwhile.
    bool wait(int socket, short event);

private:
    bool negotiate();
    void rejectAssociation(Received &verdict);
    bool serveNext();
    void waitForRequest();
    bool serve(const CommandSet &command);
    bool serveStore(const CommandSet &command);
    void awaitDecision();
    void decide(Received &message);
    bool serveCommitment(const CommandSet &command);
    std::optional<Commitment> readCommitment(const CommandSet &command, bool &isOver);
    bool takeResponse(const CommandSet &response);
    bool sendReport();
    void sayReported(uint16_t status);
    bool receiveDataSet(const CommandSet &command, const Incoming::Take &consume);
    bool discardDataSet(const CommandSet &command);
    bool respond(const CommandSet &command, uint16_t status);
    bool respondAlone(const CommandSet &command, uint16_t status);
    void sayServed();
    bool respondAsAnswered(const CommandSet &command);
    std::optional<Received> next(ReceiverOrder one, ReceiverOrder other);
    void takeInterruption(Received &message);
    bool end(Incoming::Outcome outcome);
    bool lose();
    bool abort(uint8_t reason, const char *cause);

    Channel &channel_;
    ConnectionState &state_;
    T_ASC_Association *association_;
    const int socket_;
    std::map<uint8_t, AcceptedContext> contexts_;
    std::unique_ptr<Incoming> incoming_;
    bool isStopping_ = false;
    // The A-ABORT that the node has ordered.
    struct Abort {
        uint8_t source;
        uint8_t reason;
    };
    std::optional<Abort> ordered_;
    // The data set that is being received.
    DataSetFile *file_ = nullptr;
    // Whether the node has taken or refused that data set.
    bool isDecided_ = false;
    // The status with which the node has refused it.
    std::optional<uint16_t> refusal_;
    std::vector<uint8_t> held_;
    // The report that waits to be sent.
    std::optional<Commitment> report_;
    // Message ID of the report that the peer has not answered yet.
    std::optional<uint16_t> reportID_;
    uint16_t lastMessageID_ = 0;
    // The command field of a request for which `served` was not said yet.
    std::optional<uint16_t> unsaid_;
    std::chrono::steady_clock::time_point saidServedAt_ = std::chrono::steady_clock::now();
};

} // namespace associations
