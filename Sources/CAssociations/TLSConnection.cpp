// SPDX-License-Identifier: Apache-2.0
#include "TLSConnection.hpp"

#include "dcmtk/dcmnet/cond.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <climits>
#include <poll.h>
#include <sys/socket.h>

namespace associations {

namespace {

// MARK: The socket as OpenSSL sees it

// Brings bytes between OpenSSL and a socket. Reads wait for the socket and for the channel. Writes are collected until
// OpenSSL, or the connection after a PDU, asks to flush them.
struct Source {
    const int socket;
    ConnectionState &state;
    std::vector<uint8_t> written;
    // Nobody waits for a peer that does not read while the connection is closed.
    bool isClosing;

    int receive(char *buffer, int length) {
        while (true) {
            if (!isClosing && !state.waitForData(socket)) return -1;
            const ssize_t count = recv(socket, buffer, static_cast<size_t>(length), MSG_DONTWAIT);
            if (count < 0 && (errno == EINTR || (errno == EAGAIN && !isClosing))) continue;
            if (count <= 0) {
                state.isLost = true;
            } else {
                acknowledgeAtOnce(socket);
            }
            return static_cast<int>(count);
        }
    }

    bool flush() {
        size_t sent = 0;
        while (sent < written.size()) {
            const ssize_t count = send(socket, written.data() + sent, written.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count >= 0) {
                sent += static_cast<size_t>(count);
            } else if (errno != EINTR && (errno != EAGAIN || isClosing || !state.waitForRoom(socket))) {
                break;
            }
        }
        const bool isSent = sent == written.size();
        written.clear();
        return isSent;
    }
};

Source *source(BIO *bio) { return static_cast<Source *>(BIO_get_data(bio)); }

int readSource(BIO *bio, char *buffer, int length) {
    BIO_clear_retry_flags(bio);
    return source(bio)->receive(buffer, length);
}

int writeSource(BIO *bio, const char *bytes, int length) {
    BIO_clear_retry_flags(bio);
    auto &written = source(bio)->written;
    written.insert(written.end(), bytes, bytes + length);
    return length;
}

long controlSource(BIO *bio, int command, long, void *) {
    switch (command) {
    case BIO_CTRL_FLUSH: return source(bio)->flush() ? 1 : -1;
    case BIO_CTRL_DUP: return 1;
    default: return 0;
    }
}

int destroySource(BIO *bio) {
    delete source(bio);
    BIO_set_data(bio, nullptr);
    return 1;
}

BIO *makeSource(int socket, ConnectionState &state) {
    static BIO_METHOD *const method = [] {
        BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket and channel");
        BIO_meth_set_read(made, readSource);
        BIO_meth_set_write(made, writeSource);
        BIO_meth_set_ctrl(made, controlSource);
        BIO_meth_set_destroy(made, destroySource);
        return made;
    }();
    BIO *bio = BIO_new(method);
    BIO_set_data(bio, new Source{socket, state, {}, false});
    BIO_set_init(bio, 1);
    return bio;
}

// MARK: Certificates

std::string text(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    char *bytes = nullptr;
    const long length = BIO_get_mem_data(bio, &bytes);
    std::string text(bytes, static_cast<size_t>(length));
    BIO_free(bio);
    return text;
}

PeerCertificate describe(SSL *connection) {
    PeerCertificate description;
    X509 *certificate = SSL_get0_peer_certificate(connection);
    if (certificate == nullptr) return description;
    uint8_t *bytes = nullptr;
    const int length = i2d_X509(certificate, &bytes);
    if (length > 0) description.bytes.assign(bytes, bytes + length);
    OPENSSL_free(bytes);
    description.subject = text(X509_get_subject_name(certificate));
    description.issuer = text(X509_get_issuer_name(certificate));
    const STACK_OF(X509) *chain = SSL_get0_verified_chain(connection);
    for (int i = 0; chain != nullptr && i < sk_X509_num(chain); i++) {
        std::vector<uint8_t> digest(32);
        X509_digest(sk_X509_value(chain, i), EVP_sha256(), digest.data(), nullptr);
        description.chain.push_back(digest);
    }
    return description;
}

// Why a certificate of the peer's chain was not accepted; `depth` is 0 for its own one.
std::string complaint(int error, int depth) {
    const std::string certificate = depth == 0 ? "the peer's certificate " : "an authority of the peer's certificate ";
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return certificate + "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID: return certificate + "is not valid yet";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return certificate + "is self-signed and not among the authorities";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED: return "the peer's certificate comes from an authority that is not trusted here";
    case X509_V_ERR_CERT_REVOKED: return certificate + "is revoked";
    case X509_V_ERR_CRL_HAS_EXPIRED: return "the revocation list for the peer's certificate is out of date";
    case X509_V_ERR_CRL_NOT_YET_VALID: return "the revocation list for the peer's certificate is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return certificate + "does not name the host that was called";
    case X509_V_ERR_INVALID_PURPOSE: return certificate + "is not made for this side of TLS (extended key usage)";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL: return certificate + "has a key that is too short";
    case X509_V_ERR_CA_MD_TOO_WEAK: return certificate + "is signed with a digest that is too weak";
    default: return certificate + "was refused: " + X509_verify_cert_error_string(error);
    }
}

// What the newest error of OpenSSL means. The words do not hold anything that the peer sent.
std::string complaint(unsigned long error) {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "TLS failed";
    switch (ERR_GET_REASON(error)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "the peer did not show a certificate";
    case SSL_R_NO_SHARED_CIPHER: return "the peer offers no cipher suite of the profile";
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_WRONG_SIGNATURE_TYPE: return "the peer cannot use the kind of the certificate's key";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_WRONG_SSL_VERSION: return "the peer offers no version of TLS of the profile";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER: return "the peer does not speak TLS";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "the peer closed the connection during the handshake";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return "the peer says that the node's certificate has expired";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED: return "the peer says that the node's certificate is revoked";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: return "the peer does not accept the node's certificate";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "the peer does not trust the authority of the node's certificate";
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return "the peer wants a certificate of the node";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
        return "the peer refused the handshake: no cipher suite is common, or it wants a certificate";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return "the peer does not speak a version of TLS of the profile";
    default: {
        const char *words = ERR_reason_error_string(error);
        return words == nullptr ? "TLS failed" : std::string("TLS failed: ") + words;
    }
    }
}

} // namespace

int judgeCertificate(int isValid, X509_STORE_CTX *context) {
    if (isValid) return 1;
    const int error = X509_STORE_CTX_get_error(context);
    if (error == X509_V_ERR_UNABLE_TO_GET_CRL) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    auto *connection = static_cast<SSL *>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
    static_cast<ConnectionState *>(SSL_get_app_data(connection))->failure =
        complaint(error, X509_STORE_CTX_get_error_depth(context));
    return 0;
}

// MARK: Connection

TLSConnection::TLSConnection(DcmNativeSocketType socket, SSL *connection, ConnectionState &state)
    : DcmTLSConnection(socket, connection), connection_(connection), state_(state),
      stream_(
          state, [this](uint8_t *buffer, size_t length) { return receive(buffer, length); },
          [this](const uint8_t *bytes, size_t length) { return transmit(bytes, length); }) {
    setNoDelay(socket);
    acknowledgeAtOnce(socket);
    SSL_set_app_data(connection, &state);
    BIO *bio = makeSource(socket, state);
    SSL_set_bio(connection, bio, bio);
}

// DCMTK's own handshakes take the reason of a failure off OpenSSL's queue and keep one word of it.
OFCondition TLSConnection::serverSideHandshake() { return finish(SSL_accept(connection_)); }
OFCondition TLSConnection::clientSideHandshake() { return finish(SSL_connect(connection_)); }

OFCondition TLSConnection::finish(int handshake) {
    if (handshake == 1) {
        state_.certificate = describe(connection_);
        return EC_Normal;
    }
    fail();
    if (state_.failure.empty()) state_.failure = "the connection was lost during the TLS handshake";
    return makeDcmnetCondition(DULC_TCPINITERROR, OF_error, "TLS handshake failed");
}

void TLSConnection::fail() {
    // The oldest error is the cause of the later ones.
    const unsigned long error = ERR_peek_error();
    if (state_.failure.empty() && error != 0) state_.failure = complaint(error);
    ERR_clear_error();
    state_.isLost = true;
}

ssize_t TLSConnection::read(void *buffer, size_t length) {
    const ssize_t count = stream_.read(buffer, length);
    if (SSL_has_pending(connection_)) state_.holdsBytes = true;
    return count;
}

ssize_t TLSConnection::receive(uint8_t *buffer, size_t length) {
    ERR_clear_error();
    const int count = SSL_read(connection_, buffer, length > INT_MAX ? INT_MAX : static_cast<int>(length));
    if (count > 0) return count;
    switch (SSL_get_error(connection_, count)) {
    // The peer has said goodbye.
    case SSL_ERROR_ZERO_RETURN: state_.isLost = true; break;
    // The connection broke, which `Source` has noted, or the association has to end.
    case SSL_ERROR_SYSCALL: break;
    default: fail();
    }
    return 0;
}

bool TLSConnection::transmit(const uint8_t *bytes, size_t length) {
    ERR_clear_error();
    BIO *bio = SSL_get_wbio(connection_);
    if (SSL_write(connection_, bytes, static_cast<int>(length)) > 0 && BIO_flush(bio) > 0) return true;
    // A peer that does not accept the node's certificate says so and closes the connection (RFC 8446 4.4.2.4).
    source(bio)->isClosing = true;
    uint8_t byte = 0;
    receive(&byte, 1);
    return false;
}

OFBool TLSConnection::networkDataAvailable(int timeout) {
    if (connection_ == nullptr) return OFFalse;
    // With reading ahead, records may wait that SSL_pending does not count.
    if (stream_.holdsBytes() || SSL_has_pending(connection_)) return OFTrue;
    // See Connection::networkDataAvailable.
    if (timeout > 0) {
        state_.waitForData(getSocket());
        return OFTrue;
    }
    pollfd entry = {getSocket(), POLLIN, 0};
    return poll(&entry, 1, 0) > 0;
}

void TLSConnection::close() {
    if (connection_ != nullptr) source(SSL_get_wbio(connection_))->isClosing = true;
    connection_ = nullptr;
    DcmTLSConnection::close();
    ERR_clear_error();
}

} // namespace associations
