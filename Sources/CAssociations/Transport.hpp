// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"

#include <array>
#include <cstdint>
#include <functional>
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
    // What the peer has sent.
    AbortWatch watch;
    // Bytes that may still be read until a command set is whole; 0 for no limit.
    uint64_t budget = 0;
    bool isLimited = false;
    // Reads give the end of the connection from now on, because an A-ABORT was sent.
    bool isOver = false;
    // Whether the peer closed the connection or it failed.
    bool isLost = false;
    // Bytes that were read and not taken yet.
    bool holdsBytes = false;
};

// A plain connection as DCMTK's upper layer uses it: answers leave at once, each PDU in one write, and acknowledgements
// are not delayed (TCP_QUICKACK holds for one read only, so it is set after each).
class Connection : public DcmTCPConnection {
public:
    Connection(DcmNativeSocketType socket, ConnectionState &state);
    ssize_t read(void *buffer, size_t length) override;
    ssize_t write(void *buffer, size_t length) override;
    OFBool networkDataAvailable(int timeout) override;

private:
    bool refill();
    bool flush(size_t length);
    ConnectionState &state_;
    // Bytes from the socket that were not handed on.
    std::vector<uint8_t> read_;
    size_t begin_ = 0;
    size_t end_ = 0;
    // The PDU that is being written.
    std::vector<uint8_t> written_;
};

// Makes connections of this kind.
class TransportLayer : public DcmTransportLayer {
public:
    explicit TransportLayer(ConnectionState &state) : state_(state) {}
    DcmTransportConnection *createConnection(DcmNativeSocketType socket, OFBool secure) override;

private:
    ConnectionState &state_;
};

} // namespace associations
