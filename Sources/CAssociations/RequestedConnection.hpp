// SPDX-License-Identifier: Apache-2.0
//
// DCMTK 3.6.7 requests an association only on a connection that it has made itself, over IPv4, and looks names up
// itself. The node makes the connection, and DCMTK connects to a socket on this machine that stands in for the peer. The
// transport layer then puts the peer's connection in the place of that one.
#pragma once

#include "Transport.hpp"

#include <string>

namespace associations {

// A listening socket on this machine that DCMTK connects to in place of the peer. It lives as long as one request.
class StandIn {
public:
    StandIn();
    ~StandIn();
    StandIn(const StandIn &) = delete;
    StandIn &operator=(const StandIn &) = delete;
    bool isListening() const { return port_ != 0; }
    // As DCMTK takes it: host and port.
    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

private:
    int socket_;
    int port_ = 0;
};

// The A-ABORT that a peer is owed if DCMTK gives up the negotiation: DCMTK closes the connection without a word then.
// The connection is closed with this object, too.
class Abort {
public:
    // `connection` is duplicated; -1 for a connection that cannot be written to from here.
    explicit Abort(int connection);
    ~Abort();
    Abort(const Abort &) = delete;
    Abort &operator=(const Abort &) = delete;
    bool isOwed = true;

private:
    int connection_;
};

// Makes the connection that the node has made.
class RequestedTransportLayer : public TransportLayer {
public:
    RequestedTransportLayer(ConnectionState &state, Security &security) : TransportLayer(state, security) {}
    ~RequestedTransportLayer() override { discard(); }
    // The next connection, which the layer owns, and the name that the peer's certificate has to hold; empty for any.
    void use(int connection, const std::string &host);
    // The descriptor by which the association's connection is known.
    int socket() const { return socket_; }
    // Closes a connection that was not used.
    void discard();
    DcmTransportConnection *createConnection(DcmNativeSocketType socket, OFBool secure) override;

protected:
    std::string host() const override { return host_; }

private:
    int connection_ = -1;
    int socket_ = -1;
    std::string host_;
};

} // namespace associations
