// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"
#include "CommandSet.hpp"
#include "Ending.hpp"
#include "Incoming.hpp"
#include "Transport.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace associations {

// Messages of the channel, as CAssociations.h numbers them.
enum SenderOrder : uint8_t {
    credentials = 1,
    associate = 30,
    store = 31,
    ask = 32,
    report = 33,
    answer = 34,
    release = 35,
    echo = 36,
};
enum SenderReply : uint8_t { ready = 1, unusable = 2, accepted = 40, responded = 41, told = 42, failed = 43 };

// A file that came with an order.
class File {
public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    ~File();
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    int descriptor() const { return descriptor_; }
    // Whether the file has at least this number of bytes.
    bool holds(uint64_t bytes) const;

private:
    int descriptor_;
};

// An association that the node has requested and the peer has accepted. Its functions that return a bool return false
// if the association is over; `ended` was said then.
class Requested {
public:
    // `socket`: the association's connection, to wait for it.
    Requested(Channel &channel, ConnectionState &state, T_ASC_Association *association, int socket);
    // Says `accepted`, and carries out orders until the association is over.
    void serve();

private:
    void sayAccepted();
    bool waitForOrder();
    bool obey(Received &order);

    bool sendInstance(Received &order, const File &file);
    bool sendCommitment(Received &order, T_DIMSE_Command field);
    bool sendEcho(uint8_t context);
    bool releaseAssociation();
    uint16_t nextMessageID();
    bool awaitResponse(uint16_t field, uint16_t messageID);

    bool takeRequest();
    bool serve(const CommandSet &command);
    bool respond(const CommandSet &command, uint16_t status);
    bool respondToReport(uint16_t status);
    bool receive(const CommandSet &command, const Incoming::Take &take);

    bool fail(const char *cause);
    bool end(Incoming::Outcome outcome);
    bool lose(const OFCondition &condition);
    bool abort(uint8_t reason, const std::string &cause);

    Channel &channel_;
    ConnectionState &state_;
    T_ASC_Association *association_;
    const int socket_;
    Incoming incoming_;
    uint16_t lastMessageID_ = 0;
    // The N-EVENT-REPORT-RQ whose response the peer awaits.
    std::optional<CommandSet> asked_;
};

} // namespace associations
