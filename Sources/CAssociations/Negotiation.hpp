// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Channel.hpp"
#include "Transport.hpp"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"

#include <map>
#include <optional>
#include <string>

namespace associations {

// An accepted presentation context.
struct AcceptedContext {
    std::string abstractSyntax;
    std::string transferSyntax;
};

// Whether each presentation context has an odd ID of its own (PS3.8 9.3.2.2).
bool hasValidContexts(T_ASC_Association *association);

// Writes the fields of `requested`.
void putRequest(Message &message, T_ASC_Association *association, const ConnectionState &state);

// Reads the fields of `accept` into the association's parameters. Returns the contexts that are accepted; nothing if the
// answer does not fit the request.
std::optional<std::map<uint8_t, AcceptedContext>> takeAnswer(Received &accept, T_ASC_Association *association);

} // namespace associations
