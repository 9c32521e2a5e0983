// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"
#include "Transport.hpp"

#include <cstdint>
#include <string>

namespace associations {

// How an association ended, as the channel numbers it.
enum End : uint8_t { released = 0, rejected = 1, abortedByPeer = 2, abortedByUs = 3, lost = 4 };

// Source and reasons of an A-ABORT (PS3.8 table 9-26).
constexpr uint8_t serviceProvider = 2;
constexpr uint8_t noReason = 0;
constexpr uint8_t unrecognizedPDU = 1;
constexpr uint8_t unexpectedPDU = 2;
constexpr uint8_t invalidPDUParameter = 6;

// The first line of a text of DCMTK, which adds a line with numbers for each cause of a cause.
inline std::string firstLine(const std::string &text) { return text.substr(0, text.find('\n')); }

// Says `ended`, with the fields of an A-ASSOCIATE-RJ or A-ABORT. Returns false.
bool sayEnded(
    Channel &channel, End how, const std::string &cause, uint8_t result = 0, uint8_t source = 0, uint8_t reason = 0);

// Says `ended` for an association that the peer aborted, or whose connection is lost. Returns false.
bool sayGone(Channel &channel, const ConnectionState &state);

} // namespace associations
