// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "Transport.hpp"

#include "dcmtk/dcmtls/tlstrans.h"

#include <openssl/ssl.h>

namespace associations {

// A connection over TLS. It brings OpenSSL's bytes to and from the socket itself, so that every wait also watches the
// channel, and notes in `ConnectionState` who the peer is, or why TLS failed.
class TLSConnection : public DcmTLSConnection {
public:
    // Owns `connection`, whose verification callback is `judgeCertificate`.
    TLSConnection(DcmNativeSocketType socket, SSL *connection, ConnectionState &state);
    ~TLSConnection() override { close(); }
    OFCondition serverSideHandshake() override;
    OFCondition clientSideHandshake() override;
    ssize_t read(void *buffer, size_t length) override;
    ssize_t write(void *buffer, size_t length) override { return stream_.write(buffer, length); }
    void close() override;
    OFBool networkDataAvailable(int timeout) override;

private:
    OFCondition finish(int handshake);
    void fail();
    ssize_t receive(uint8_t *buffer, size_t length);
    bool transmit(const uint8_t *bytes, size_t length);

    // DCMTK's class owns it, and has freed it after `close`.
    SSL *connection_;
    ConnectionState &state_;
    PeerStream stream_;
};

// Decides about a certificate of the peer's chain (SSL_CTX_set_verify). Certificates of an authority whose revocation
// list the node does not have count as not revoked.
int judgeCertificate(int isValid, X509_STORE_CTX *context);

} // namespace associations
