// SPDX-License-Identifier: Apache-2.0
#include "Transport.hpp"

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

void set(int socket, int option) {
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, option, &on, sizeof on);
}

} // namespace

void AbortWatch::take(const uint8_t *bytes, size_t length) {
    constexpr uint8_t abort = 7;
    while (length > 0 && !sawAbort_) {
        if (count_ == headLength && head_[0] != abort) {
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
        if (count_ == headLength && head_[0] != abort && rest_ == 0) count_ = 0;
    }
}

Connection::Connection(DcmNativeSocketType socket, ConnectionState &state)
    : DcmTCPConnection(socket), state_(state), read_(readAhead) {
    set(socket, TCP_NODELAY);
    set(socket, TCP_QUICKACK);
}

bool Connection::refill() {
    const int socket = getSocket();
    if (!state_.waitForData(socket)) return false;
    while (true) {
        const ssize_t count = recv(socket, read_.data(), read_.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            state_.isLost = true;
            return false;
        }
        set(socket, TCP_QUICKACK);
        begin_ = 0;
        end_ = static_cast<size_t>(count);
        return true;
    }
}

ssize_t Connection::read(void *buffer, size_t length) {
    if (state_.isOver || length == 0) return 0;
    if (begin_ == end_ && !refill()) return 0;
    size_t count = std::min(length, end_ - begin_);
    if (state_.isLimited) {
        if (state_.budget == 0) return 0;
        count = static_cast<size_t>(std::min<uint64_t>(count, state_.budget));
        state_.budget -= count;
    }
    std::memcpy(buffer, read_.data() + begin_, count);
    state_.watch.take(read_.data() + begin_, count);
    begin_ += count;
    state_.holdsBytes = begin_ != end_;
    return static_cast<ssize_t>(count);
}

bool Connection::flush(size_t length) {
    size_t sent = 0;
    while (sent < length) {
        const int wait = state_.waitForRoom ? MSG_DONTWAIT : 0;
        const ssize_t count = send(getSocket(), written_.data() + sent, length - sent, MSG_NOSIGNAL | wait);
        if (count >= 0) {
            sent += static_cast<size_t>(count);
        } else if (errno != EINTR && (errno != EAGAIN || !state_.waitForRoom(getSocket()))) {
            state_.isLost = true;
            written_.clear();
            return false;
        }
    }
    written_.erase(written_.begin(), written_.begin() + static_cast<ptrdiff_t>(length));
    return true;
}

ssize_t Connection::write(void *buffer, size_t length) {
    const auto *bytes = static_cast<const uint8_t *>(buffer);
    written_.insert(written_.end(), bytes, bytes + length);
    while (written_.size() >= headLength) {
        const size_t body = static_cast<size_t>(written_[2]) << 24 | written_[3] << 16 | written_[4] << 8 | written_[5];
        if (written_.size() < headLength + body) break;
        if (!flush(headLength + body)) return -1;
    }
    return static_cast<ssize_t>(length);
}

OFBool Connection::networkDataAvailable(int timeout) {
    if (state_.isOver || begin_ != end_) return OFTrue;
    // The node holds the deadlines, and a timeout below zero would wait for ever.
    pollfd entry = {getSocket(), POLLIN, 0};
    return poll(&entry, 1, std::max(timeout, 0) * 1000) > 0;
}

DcmTransportConnection *TransportLayer::createConnection(DcmNativeSocketType socket, OFBool secure) {
    return secure ? nullptr : new Connection(socket, state_);
}

} // namespace associations
