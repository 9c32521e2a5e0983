// SPDX-License-Identifier: Apache-2.0
#include "Ending.hpp"

namespace associations {

namespace {

constexpr uint8_t ended = 3;

} // namespace

bool sayEnded(
    Channel &channel, End how, const std::string &cause, uint8_t result, uint8_t source, uint8_t reason) {
    Message message(ended);
    message.u8(how).u8(result).u8(source).u8(reason).text(firstLine(cause));
    channel.send(message);
    return false;
}

bool sayGone(Channel &channel, const ConnectionState &state) {
    if (state.watch.sawAbort())
        return sayEnded(channel, abortedByPeer, "", 0, state.watch.source(), state.watch.reason());
    return sayEnded(channel, lost, state.failure.empty() ? "the peer closed the connection" : state.failure);
}

} // namespace associations
