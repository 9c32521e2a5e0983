// SPDX-License-Identifier: Apache-2.0
#include "Transport.hpp"

#include "TLS.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace associations {

namespace {

constexpr size_t readAhead = 256u << 10;
constexpr size_t headLength = 6;
constexpr uint8_t abortType = 7;

void set(int socket, int option) {
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, option, &on, sizeof on);
}

} // namespace

void setNoDelay(int socket) { set(socket, TCP_NODELAY); }
void acknowledgeAtOnce(int socket) { set(socket, TCP_QUICKACK); }

void AbortWatch::take(const uint8_t *bytes, size_t length) {
    while (length > 0 && !sawAbort_) {
        if (count_ == headLength && head_[0] != abortType) {
            const size_t skipped = std::min<size_t>(length, rest_);
            rest_ -= static_cast<uint32_t>(skipped);
            bytes += skipped;
            length -= skipped;
        } else {
            head_[count_++] = *bytes++;
            length--;
            if (count_ == headLength)
                rest_ = static_cast<uint32_t>(head_[2]) << 24 | head_[3] << 16 | head_[4] << 8 | head_[5];
            sawAbort_ = count_ == head_.size();
        }
        if (count_ == headLength && head_[0] != abortType && rest_ == 0) count_ = 0;
    }
}

void ConnectionState::reset() {
    ConnectionState fresh;
    fresh.waitForData = std::move(waitForData);
    fresh.waitForRoom = std::move(waitForRoom);
    *this = std::move(fresh);
}

PeerStream::PeerStream(ConnectionState &state, Receive receive, Transmit transmit)
    : state_(state), receive_(std::move(receive)), transmit_(std::move(transmit)), read_(readAhead) {
    if (state_.firstBytes.empty()) return;
    end_ = state_.firstBytes.size();
    // The first bytes may be a request of 1 MiB.
    read_.swap(state_.firstBytes);
    if (read_.size() < readAhead) read_.resize(readAhead);
    state_.firstBytes = {};
    state_.holdsBytes = true;
}

bool PeerStream::refill() {
    const ssize_t count = receive_(read_.data(), read_.size());
    if (count <= 0) return false;
    begin_ = 0;
    end_ = static_cast<size_t>(count);
    return true;
}

ssize_t PeerStream::read(void *buffer, size_t length) {
    if (state_.isOver || length == 0) return 0;
    if (begin_ == end_ && !refill()) {
        // DCMTK closes a connection that gives nothing more. The A-ABORT leaves before that.
        if (state_.isInterrupted && !state_.sentAbort) abort();
        return 0;
    }
    const size_t count = std::min(length, end_ - begin_);
    std::memcpy(buffer, read_.data() + begin_, count);
    state_.watch.take(read_.data() + begin_, count);
    begin_ += count;
    state_.holdsBytes = begin_ != end_;
    return static_cast<ssize_t>(count);
}

bool PeerStream::flush() {
    size_t whole = 0;
    while (written_.size() - whole >= headLength) {
        const uint8_t *head = written_.data() + whole;
        const size_t body = static_cast<size_t>(head[2]) << 24 | head[3] << 16 | head[4] << 8 | head[5];
        if (written_.size() - whole < headLength + body) break;
        whole += headLength + body;
        if (head[0] == abortType) state_.sentAbort = true;
    }
    if (whole == 0) return true;
    const bool isSent = transmit_(written_.data(), whole);
    written_.erase(written_.begin(), isSent ? written_.begin() + static_cast<ptrdiff_t>(whole) : written_.end());
    if (!isSent) state_.isLost = true;
    // After an A-ABORT, DCMTK waits for the peer to close the connection. The node does that.
    if (state_.sentAbort) state_.isOver = true;
    return isSent;
}

// Sends the A-ABORT that the node ordered (PS3.8 9.3.8).
void PeerStream::abort() {
    const uint8_t pdu[] = {abortType, 0, 0, 0, 0, 4, 0, 0, state_.abortSource, state_.abortReason};
    write(pdu, sizeof pdu);
}

ssize_t PeerStream::write(const void *buffer, size_t length) {
    const auto *bytes = static_cast<const uint8_t *>(buffer);
    written_.insert(written_.end(), bytes, bytes + length);
    return flush() ? static_cast<ssize_t>(length) : -1;
}

Connection::Connection(DcmNativeSocketType socket, ConnectionState &state)
    : DcmTCPConnection(socket), state_(state),
      stream_(
          state, [this](uint8_t *buffer, size_t length) { return receive(buffer, length); },
          [this](const uint8_t *bytes, size_t length) { return transmit(bytes, length); }) {
    setNoDelay(socket);
    acknowledgeAtOnce(socket);
}

ssize_t Connection::receive(uint8_t *buffer, size_t length) {
    while (true) {
        if (!state_.waitForData(getSocket())) return 0;
        const ssize_t count = recv(getSocket(), buffer, length, MSG_DONTWAIT);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (count <= 0) {
            state_.isLost = true;
        } else {
            acknowledgeAtOnce(getSocket());
        }
        return count;
    }
}

bool Connection::transmit(const uint8_t *bytes, size_t length) {
    while (length > 0) {
        const ssize_t count = send(getSocket(), bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            bytes += count;
            length -= static_cast<size_t>(count);
        } else if (errno != EINTR && (errno != EAGAIN || !state_.waitForRoom(getSocket()))) {
            return false;
        }
    }
    return true;
}

OFBool Connection::networkDataAvailable(int timeout) {
    if (stream_.holdsBytes()) return OFTrue;
    // The node holds the deadlines: a wait of DCMTK's ends with data, or with the connection. DCMTK passes what is left
    // of its own deadline, which may be less than nothing.
    if (timeout > 0) {
        state_.waitForData(getSocket());
        return OFTrue;
    }
    pollfd entry = {getSocket(), POLLIN, 0};
    return poll(&entry, 1, 0) > 0;
}

DcmTransportConnection *TransportLayer::createConnection(DcmNativeSocketType socket, OFBool secure) {
    state_.isTaken = true;
    if (!secure) return new Connection(socket, state_);
    return security_.connect(socket, state_, host());
}

} // namespace associations
