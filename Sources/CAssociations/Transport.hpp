// SPDX-License-Identifier: Apache-2.0
//
// The connection to a peer as DCMTK's upper layer uses it.
#pragma once

#include "PeerCertificate.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace associations {

// Finds the peer's A-ABORT among the bytes that it sends, because DCMTK drops its source and reason.
class AbortWatch {
public:
    void take(const uint8_t *bytes, size_t length);
    bool sawAbort() const { return sawAbort_; }
    // The fields of PS3.8 table 9-26.
    uint8_t source() const { return head_[8]; }
    uint8_t reason() const { return head_[9]; }

private:
    // The beginning of a PDU: its type and length, and the four bytes of an A-ABORT.
    std::array<uint8_t, 10> head_ = {};
    size_t count_ = 0;
    uint32_t rest_ = 0;
    bool sawAbort_ = false;
};

// What a connection tells the association that uses it.
struct ConnectionState {
    // Waits until the socket can be read; false if the association has to end.
    std::function<bool(int socket)> waitForData;
    // Waits until the socket can be written to; false if the association has to end.
    std::function<bool(int socket)> waitForRoom;
    // Bytes of the peer that were read before the connection was made.
    std::vector<uint8_t> firstBytes;
    // What the peer of a secure connection has shown.
    PeerCertificate certificate;
    // Why TLS failed, without anything that the peer sent; empty if it did not.
    std::string failure;
    // What the peer has sent.
    AbortWatch watch;
    // Reads give the end of the connection from now on, because an A-ABORT was sent.
    bool isOver = false;
    // Whether the peer closed the connection or it failed.
    bool isLost = false;
    // Whether the node ended a wait, and the source and reason of the A-ABORT that it ordered.
    bool isInterrupted = false;
    uint8_t abortSource = 0, abortReason = 0;
    // Bytes that were read and not taken yet.
    bool holdsBytes = false;
    // Whether an A-ABORT was sent.
    bool sentAbort = false;
    // Whether DCMTK owns the socket, and closes it.
    bool isTaken = false;

    // Forgets the last connection, and keeps the two functions.
    void reset();
};

// The bytes of a connection in both directions, buffered: each PDU leaves in one write.
class PeerStream {
public:
    // Waits for bytes; returns their number, and 0 or less at the end.
    using Receive = std::function<ssize_t(uint8_t *buffer, size_t length)>;
    // Sends all of the bytes; false if the connection is lost.
    using Transmit = std::function<bool(const uint8_t *bytes, size_t length)>;

    PeerStream(ConnectionState &state, Receive receive, Transmit transmit);
    ssize_t read(void *buffer, size_t length);
    ssize_t write(const void *buffer, size_t length);
    // Whether a read would return at once, as far as these buffers know.
    bool holdsBytes() const { return state_.isOver || begin_ != end_; }

private:
    bool refill();
    bool flush();
    void abort();

    ConnectionState &state_;
    const Receive receive_;
    const Transmit transmit_;
    // Bytes from the peer that were not handed on.
    std::vector<uint8_t> read_;
    size_t begin_ = 0;
    size_t end_ = 0;
    // The PDU that is being written.
    std::vector<uint8_t> written_;
};

// Lets answers leave at once. TCP_QUICKACK holds for one read only, so it is set after each.
void setNoDelay(int socket);
void acknowledgeAtOnce(int socket);

// A plain connection.
class Connection : public DcmTCPConnection {
public:
    Connection(DcmNativeSocketType socket, ConnectionState &state);
    ssize_t read(void *buffer, size_t length) override { return stream_.read(buffer, length); }
    ssize_t write(void *buffer, size_t length) override { return stream_.write(buffer, length); }
    OFBool networkDataAvailable(int timeout) override;

private:
    ssize_t receive(uint8_t *buffer, size_t length);
    bool transmit(const uint8_t *bytes, size_t length);

    ConnectionState &state_;
    PeerStream stream_;
};

class Security;

// Makes connections of these kinds.
class TransportLayer : public DcmTransportLayer {
public:
    TransportLayer(ConnectionState &state, Security &security) : state_(state), security_(security) {}
    DcmTransportConnection *createConnection(DcmNativeSocketType socket, OFBool secure) override;

protected:
    // The name that the peer's certificate has to hold; empty for any.
    virtual std::string host() const { return {}; }

private:
    ConnectionState &state_;
    Security &security_;
};

} // namespace associations
