// SPDX-License-Identifier: Apache-2.0
#include "RequestedConnection.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace associations {

StandIn::StandIn() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto *name = reinterpret_cast<sockaddr *>(&address);
    if (bind(socket_, name, length) == 0 && listen(socket_, 1) == 0 && getsockname(socket_, name, &length) == 0)
        port_ = ntohs(address.sin_port);
}

StandIn::~StandIn() {
    if (socket_ >= 0) ::close(socket_);
}

Abort::Abort(int connection) : connection_(connection < 0 ? -1 : fcntl(connection, F_DUPFD_CLOEXEC, 0)) {}

Abort::~Abort() {
    if (connection_ < 0) return;
    // A-ABORT by the service provider, invalid PDU parameter value (PS3.8 table 9-26).
    static const unsigned char abort[] = {7, 0, 0, 0, 0, 4, 0, 0, 2, 6};
    if (isOwed) send(connection_, abort, sizeof abort, MSG_NOSIGNAL | MSG_DONTWAIT);
    ::close(connection_);
}

void RequestedTransportLayer::use(int connection, const std::string &host) {
    discard();
    connection_ = connection;
    host_ = host;
    socket_ = -1;
}

void RequestedTransportLayer::discard() {
    if (connection_ >= 0) ::close(connection_);
    connection_ = -1;
}

DcmTransportConnection *RequestedTransportLayer::createConnection(DcmNativeSocketType socket, OFBool secure) {
    if (connection_ < 0 || dup3(connection_, socket, O_CLOEXEC) < 0) return nullptr;
    discard();
    socket_ = socket;
    return TransportLayer::createConnection(socket, secure);
}

} // namespace associations
