// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace associations {

// A message that is being written: CAssociations.h describes the fields.
class Message {
public:
    explicit Message(uint8_t kind) : bytes_(4, 0) { u8(kind); }
    Message &u8(uint8_t value) { return put(value, 1); }
    Message &u16(uint16_t value) { return put(value, 2); }
    Message &u32(uint32_t value) { return put(value, 4); }
    Message &u64(uint64_t value) { return put(value, 8); }
    Message &raw(const void *data, size_t length);
    // Text is cut at 65,535 bytes.
    Message &text(const std::string &value);
    // A u32 length and bytes.
    Message &bytes(const void *data, size_t length) { return u32(static_cast<uint32_t>(length)).raw(data, length); }

    // The whole message, with its length in front.
    const std::vector<uint8_t> &finish();

private:
    Message &put(uint64_t value, int width);
    std::vector<uint8_t> bytes_;
};

// A message that was received. Reading beyond its end gives zeros, and `isWhole` is false then.
class Received {
public:
    uint8_t kind = 0;
    // The descriptor that came with the message; -1 for none. The owner closes it.
    int descriptor = -1;
    std::vector<uint8_t> body;

    uint8_t u8() { return static_cast<uint8_t>(take(1)); }
    uint16_t u16() { return static_cast<uint16_t>(take(2)); }
    uint32_t u32() { return static_cast<uint32_t>(take(4)); }
    uint64_t u64() { return take(8); }
    std::string text();
    // A u32 length and bytes.
    std::vector<uint8_t> bytes();
    // Whether every field that was read lay within the message.
    bool isWhole() const { return !beyond_; }

private:
    uint64_t take(int width);
    size_t position_ = 0;
    bool beyond_ = false;
};

// The child's end of the channel. The process exits when the node's end is closed, because nothing is left to do.
class Channel {
public:
    explicit Channel(int descriptor) : descriptor_(descriptor) {}
    int descriptor() const { return descriptor_; }
    void send(Message &message);
    // Blocks until a message is whole.
    Received receive();
    // Whether a message, or the end of the channel, can be read without waiting.
    bool isReadable() const;

private:
    void fill(uint8_t *buffer, size_t length, int *descriptor);
    int descriptor_;
};

} // namespace associations
