// SPDX-License-Identifier: Apache-2.0
#include "TLS.hpp"

#include "TLSConnection.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>

namespace associations {

namespace {

// The fields of `credentials`.
struct Fields {
    uint8_t profile;
    uint8_t clients;
    std::vector<uint8_t> certificates, key, password, authorities, revocationLists;

    explicit Fields(Received &message)
        : profile(message.u8()), clients(message.u8()), certificates(message.bytes()), key(message.bytes()),
          password(message.bytes()), authorities(message.bytes()), revocationLists(message.bytes()) {}
    ~Fields() {
        OPENSSL_cleanse(key.data(), key.size());
        OPENSSL_cleanse(password.data(), password.size());
    }
};

// PEM text in memory.
class Text {
public:
    explicit Text(const std::vector<uint8_t> &bytes) : bio_(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))) {}
    ~Text() { BIO_free(bio_); }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    operator BIO *() const { return bio_; }

private:
    BIO *bio_;
};

template <typename Item> using Owned = std::unique_ptr<Item, void (*)(Item *)>;

// The words of the newest error of OpenSSL.
std::string reason() {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text == nullptr ? "OpenSSL does not say why" : text;
}

// Whether `reason()` only says that a PEM text has ended.
bool isAtEnd() {
    const unsigned long error = ERR_peek_last_error();
    return error == 0 || (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);
}

// The password of a key, and whether it was needed.
struct Password {
    const std::vector<uint8_t> &bytes;
    bool isAsked;

    static int give(char *buffer, int size, int, void *data) {
        auto *password = static_cast<Password *>(data);
        password->isAsked = true;
        if (password->bytes.size() > static_cast<size_t>(size)) return -1;
        std::memcpy(buffer, password->bytes.data(), password->bytes.size());
        return static_cast<int>(password->bytes.size());
    }
};

std::string useCertificates(SSL_CTX *context, const std::vector<uint8_t> &pem) {
    const Text text(pem);
    const Owned<X509> own(PEM_read_bio_X509_AUX(text, nullptr, nullptr, nullptr), X509_free);
    if (!own) return "the certificate cannot be read: " + reason();
    if (SSL_CTX_use_certificate(context, own.get()) != 1) return "the certificate cannot be used: " + reason();
    while (X509 *issuer = PEM_read_bio_X509(text, nullptr, nullptr, nullptr)) {
        // The context owns the certificate if the call succeeds.
        if (SSL_CTX_add0_chain_cert(context, issuer) != 1) {
            X509_free(issuer);
            return "the certificate's chain cannot be used: " + reason();
        }
    }
    if (!isAtEnd()) return "the certificate's chain cannot be read: " + reason();
    ERR_clear_error();
    return {};
}

std::string useKey(SSL_CTX *context, const std::vector<uint8_t> &pem, const std::vector<uint8_t> &bytes) {
    const Text text(pem);
    Password password{bytes, false};
    const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(text, nullptr, Password::give, &password), EVP_PKEY_free);
    if (!key && password.isAsked) return "the password does not open the private key";
    if (!key) return "the private key cannot be read: " + reason();
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
        return "the private key does not belong to the certificate: " + reason();
    return {};
}

std::string trust(SSL_CTX *context, const std::vector<uint8_t> &pem) {
    const Text text(pem);
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    while (true) {
        const Owned<X509> authority(PEM_read_bio_X509(text, nullptr, nullptr, nullptr), X509_free);
        if (!authority) break;
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get());
        sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(authority.get())));
    }
    // Clients choose the certificate that they show by these names.
    SSL_CTX_set_client_CA_list(context, names);
    if (!isAtEnd()) return "the authorities' certificates cannot be read: " + reason();
    ERR_clear_error();
    return {};
}

std::string useRevocationLists(SSL_CTX *context, const std::vector<uint8_t> &pem) {
    if (pem.empty()) return {};
    const Text text(pem);
    while (true) {
        const Owned<X509_CRL> list(PEM_read_bio_X509_CRL(text, nullptr, nullptr, nullptr), X509_CRL_free);
        if (!list) break;
        X509_STORE_add_crl(SSL_CTX_get_cert_store(context), list.get());
    }
    if (!isAtEnd()) return "the revocation lists cannot be read: " + reason();
    ERR_clear_error();
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return {};
}

// Settings that DCMTK leaves open.
void harden(SSL_CTX *context) {
    // DCMTK allows any strength, for suites without encryption. BCP 195 asks for RSA keys of 2,048 bits and SHA-2.
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    // No session outlives its connection, so that each one shows a certificate that is valid now.
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // Reads as much as the socket holds, not one record.
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 128u << 10);
    // Every certificate among the authorities is trusted, also one that another authority has issued.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
}

std::string choose(DcmTLSTransportLayer &layer, uint8_t profile) {
    const bool isExtended = profile == 2;
    OFCondition condition = layer.setTLSProfile(isExtended ? TSP_Profile_BCP195_Extended : TSP_Profile_BCP195_ND);
    // DCMTK gives the non-downgrading profile suites for RSA certificates alone with TLS 1.2.
    if (condition.good() && !isExtended) condition = layer.addCipherSuite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    if (condition.good() && !isExtended) condition = layer.addCipherSuite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    if (condition.good()) condition = layer.activateCipherSuites();
    return condition.good() ? std::string() : std::string("the cipher suites cannot be set: ") + condition.text();
}

} // namespace

std::string Security::take(Received &message) {
    Fields fields(message);
    OPENSSL_cleanse(message.body.data(), message.body.size());
    if (!message.isWhole()) return "the credentials are cut off";
    ERR_clear_error();
    auto layer = std::make_unique<DcmTLSTransportLayer>(role_, nullptr, OFFalse);
    SSL_CTX *context = layer->getNativeHandle();
    if (context == nullptr) return "TLS cannot be set up: " + reason();
    harden(context);
    std::string cause = choose(*layer, fields.profile);
    if (cause.empty() && !fields.certificates.empty()) {
        cause = useCertificates(context, fields.certificates);
        if (cause.empty()) cause = useKey(context, fields.key, fields.password);
    } else if (cause.empty() && role_ == NET_ACCEPTOR) {
        cause = "the certificate is missing";
    }
    const bool isDemanded = role_ != NET_ACCEPTOR || fields.clients == 2;
    const bool isVerified = isDemanded || fields.clients == 1;
    if (cause.empty() && isVerified && fields.authorities.empty()) cause = "the authorities are missing";
    if (cause.empty()) cause = trust(context, fields.authorities);
    if (cause.empty()) cause = useRevocationLists(context, fields.revocationLists);
    if (!cause.empty()) return cause;
    const int demand = SSL_VERIFY_PEER | (isDemanded ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    SSL_CTX_set_verify(context, isVerified ? demand : SSL_VERIFY_NONE, judgeCertificate);
    layer_ = std::move(layer);
    return {};
}

DcmTransportConnection *
Security::connect(DcmNativeSocketType socket, ConnectionState &state, const std::string &host) {
    SSL *connection = layer_ ? SSL_new(layer_->getNativeHandle()) : nullptr;
    if (connection == nullptr) return nullptr;
    X509_VERIFY_PARAM *rules = SSL_get0_param(connection);
    in6_addr address;
    if (inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str());
    } else if (!host.empty()) {
        X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size());
        SSL_set_tlsext_host_name(connection, host.c_str());
    }
    return new TLSConnection(socket, connection, state);
}

} // namespace associations
