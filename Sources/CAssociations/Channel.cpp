// SPDX-License-Identifier: Apache-2.0
#include "Channel.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace associations {

namespace {

// A longer message can only come from a node that is broken.
constexpr uint32_t longestMessage = 16u << 20;

[[noreturn]] void leave(int status) { _exit(status); }

} // namespace

Message &Message::put(uint64_t value, int width) {
    for (int i = 0; i < width; i++) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
}

Message &Message::raw(const void *data, size_t length) {
    const auto *bytes = static_cast<const uint8_t *>(data);
    bytes_.insert(bytes_.end(), bytes, bytes + length);
    return *this;
}

Message &Message::text(const std::string &value) {
    const size_t length = value.size() < 65535 ? value.size() : 65535;
    u16(static_cast<uint16_t>(length));
    return raw(value.data(), length);
}

const std::vector<uint8_t> &Message::finish() {
    const auto length = static_cast<uint32_t>(bytes_.size() - 4);
    for (int i = 0; i < 4; i++) bytes_[i] = static_cast<uint8_t>(length >> (8 * i));
    return bytes_;
}

uint64_t Received::take(int width) {
    if (body.size() - position_ < static_cast<size_t>(width)) {
        beyond_ = true;
        position_ = body.size();
        return 0;
    }
    uint64_t value = 0;
    for (int i = 0; i < width; i++) value |= static_cast<uint64_t>(body[position_++]) << (8 * i);
    return value;
}

std::string Received::text() {
    const size_t length = u16();
    if (body.size() - position_ < length) {
        beyond_ = true;
        position_ = body.size();
        return {};
    }
    std::string value(reinterpret_cast<const char *>(body.data()) + position_, length);
    position_ += length;
    return value;
}

std::vector<uint8_t> Received::bytes() {
    const size_t length = u32();
    if (body.size() - position_ < length) {
        beyond_ = true;
        position_ = body.size();
        return {};
    }
    const auto begin = body.begin() + static_cast<ptrdiff_t>(position_);
    position_ += length;
    return {begin, begin + static_cast<ptrdiff_t>(length)};
}

void Channel::send(Message &message) {
    const auto &bytes = message.finish();
    size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t count = ::send(descriptor_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count >= 0) {
            sent += static_cast<size_t>(count);
        } else if (errno != EINTR) {
            leave(0);
        }
    }
}

void Channel::fill(uint8_t *buffer, size_t length, int *descriptor) {
    while (length > 0) {
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        iovec part = {buffer, length};
        msghdr header = {};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        const ssize_t count = recvmsg(descriptor_, &header, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) leave(0);
        for (cmsghdr *item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
            if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
            int received = -1;
            std::memcpy(&received, CMSG_DATA(item), sizeof received);
            if (*descriptor >= 0) ::close(*descriptor);
            *descriptor = received;
        }
        buffer += count;
        length -= static_cast<size_t>(count);
    }
}

Received Channel::receive() {
    Received message;
    uint8_t head[5];
    fill(head, sizeof head, &message.descriptor);
    const uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | static_cast<uint32_t>(head[3]) << 24;
    if (length == 0 || length > longestMessage) leave(2);
    message.kind = head[4];
    message.body.resize(length - 1);
    fill(message.body.data(), message.body.size(), &message.descriptor);
    return message;
}

bool Channel::isReadable() const {
    pollfd entry = {descriptor_, POLLIN, 0};
    return poll(&entry, 1, 0) > 0;
}

} // namespace associations
