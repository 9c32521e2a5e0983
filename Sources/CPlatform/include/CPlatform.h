// SPDX-License-Identifier: Apache-2.0
//
// The calls of Linux, libcrypto and zlib that Swift's Glibc module does not export. Only Platform imports this header.
//
// Threads: every function may be called from any thread. One digest belongs to one thread at a time.
// Errors: functions that return an int descriptor or status set errno as their system call does.
#ifndef CPLATFORM_H
#define CPLATFORM_H

#include <stddef.h>
#include <stdint.h>

// Descriptors. Each call sets FD_CLOEXEC as it makes the descriptor. If a later fcntl(2) set the flag, a child process
// that another thread starts in between would inherit the descriptor.

/// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC. `address` has room for `*length` bytes of a socket address;
/// `*length` becomes the size of the peer's address. Returns the descriptor, or -1.
int cplatform_accept(int listener, void *address, unsigned int *length);

/// pipe2(2) with O_CLOEXEC: `ends[0]` reads, `ends[1]` writes. Returns 0, or -1.
int cplatform_pipe(int ends[2]);

/// socketpair(2) of two connected Unix stream sockets with SOCK_CLOEXEC. Returns 0, or -1.
int cplatform_channel(int ends[2]);

/// sendmsg(2) with MSG_NOSIGNAL. With a `descriptor` that is not negative, the receiver gets a copy of it with the first
/// byte (SCM_RIGHTS). Returns the number of bytes sent, which may be less than `count`, or -1.
long cplatform_send(int channel, const void *bytes, size_t count, int descriptor);

/// eventfd(2) with EFD_CLOEXEC and EFD_NONBLOCK, count 0. Returns the descriptor, or -1.
int cplatform_event(void);

/// posix_spawn_file_actions_addclosefrom_np(3): the child starts without the descriptors from `lowest` upwards.
/// `actions` is a posix_spawn_file_actions_t. Returns 0 or an error number.
int cplatform_close_from(void *actions, int lowest);

/// What a TCP connection has moved so far, whichever process moved it.
typedef struct {
    /// Bytes that came from the peer.
    uint64_t received;
    /// Bytes that the peer's machine has acknowledged.
    uint64_t acknowledged;
    /// Bytes that were sent and that the peer's machine has not acknowledged yet.
    uint64_t queued;
} cplatform_tcp;

/// Reads TCP_INFO and SIOCOUTQ of a connection. Returns 0, or -1.
int cplatform_tcp_counts(int connection, cplatform_tcp *counts);

// SHA-256 (FIPS 180-4) by libcrypto.

enum { CPLATFORM_SHA256_SIZE = 32 };
typedef struct cplatform_sha256 cplatform_sha256;

/// Makes a digest to which bytes can be added. The caller frees it with cplatform_sha256_destroy. NULL if memory is
/// exhausted.
cplatform_sha256 *cplatform_sha256_create(void);
/// Copies a digest with the bytes added so far. The copy is independent, and the caller frees it. NULL if memory is
/// exhausted.
cplatform_sha256 *cplatform_sha256_copy(const cplatform_sha256 *digest);
/// Adds `count` bytes. Returns 1, or 0 if libcrypto failed.
int cplatform_sha256_update(cplatform_sha256 *digest, const void *bytes, size_t count);
/// Writes the hash of all bytes. After this call, `digest` can only be destroyed. Returns 1, or 0 if libcrypto failed.
int cplatform_sha256_finish(cplatform_sha256 *digest, uint8_t hash[CPLATFORM_SHA256_SIZE]);
void cplatform_sha256_destroy(cplatform_sha256 *digest);

/// HMAC-SHA-256 (RFC 2104) of `count` bytes. Returns 1, or 0 if libcrypto failed.
int cplatform_hmac_sha256(
    const void *key, size_t key_count, const void *bytes, size_t count, uint8_t code[CPLATFORM_SHA256_SIZE]);

/// CRC-32 (ISO 3309, as in zip and PNG) by zlib: continues `checksum`, which starts as 0.
uint32_t cplatform_crc32(uint32_t checksum, const void *bytes, size_t count);

// Certificates (X.509, RFC 5280) by libcrypto. Certificates and lists are read only after they are made, so any number
// of threads may use one. `cplatform_certificate` and `cplatform_revocation_list` are libcrypto's own objects.

typedef struct cplatform_certificate cplatform_certificate;
typedef struct cplatform_revocation_list cplatform_revocation_list;

/// Reads the certificates of a PEM text in their order, and skips everything else. Writes up to `most` of them to
/// `found`, which the caller frees with cplatform_certificate_destroy. Returns their number, or -1 if one is malformed
/// or more than `most` are there; nothing is to be freed then.
int cplatform_certificates_read(const void *pem, size_t count, cplatform_certificate *found[], int most);
/// Reads one certificate in DER. NULL if it is malformed.
cplatform_certificate *cplatform_certificate_decode(const void *der, size_t count);
void cplatform_certificate_destroy(cplatform_certificate *certificate);

/// The first and the last second of the validity, since 1970. Returns 1, or 0 if they cannot be read.
int cplatform_certificate_validity(const cplatform_certificate *certificate, int64_t *begin, int64_t *end);
/// The name of the subject, or of the issuer (RFC 2253). The caller frees the text with cplatform_text_destroy.
char *cplatform_certificate_subject(const cplatform_certificate *certificate);
char *cplatform_certificate_issuer(const cplatform_certificate *certificate);
/// The DNS names and the IP addresses among the subject's alternative names, each followed by a newline. Names with
/// characters that no host name has are left out. The caller frees the text with cplatform_text_destroy.
char *cplatform_certificate_names(const cplatform_certificate *certificate);
void cplatform_text_destroy(char *text);
/// Whether the certificate names a host: an IP address, or a DNS name (RFC 6125). Returns 1 or 0.
int cplatform_certificate_is_for(const cplatform_certificate *certificate, const char *host);
/// The SHA-256 of the DER. Returns 1, or 0 if libcrypto failed.
int cplatform_certificate_hash(const cplatform_certificate *certificate, uint8_t hash[CPLATFORM_SHA256_SIZE]);
/// Whether the certificate is signed with its own key.
int cplatform_certificate_is_self_signed(const cplatform_certificate *certificate);

enum { CPLATFORM_KEY_OTHER = 0, CPLATFORM_KEY_RSA = 1, CPLATFORM_KEY_EC = 2 };
/// The kind of the public key; `*bits` becomes its size.
int cplatform_certificate_key(const cplatform_certificate *certificate, int *bits);

enum {
    CPLATFORM_KEY_FITS = 0,
    /// The text holds no private key that can be read.
    CPLATFORM_KEY_UNREADABLE = 1,
    /// The key is encrypted, and the password does not open it.
    CPLATFORM_KEY_LOCKED = 2,
    /// The key belongs to another certificate.
    CPLATFORM_KEY_OF_ANOTHER = 3,
};
/// Whether the private key of a PEM text belongs to a certificate.
int cplatform_certificate_check_key(
    const cplatform_certificate *certificate, const void *pem, size_t count, const void *password,
    size_t password_count);

/// As cplatform_certificates_read, for certificate revocation lists.
int cplatform_revocation_lists_read(const void *pem, size_t count, cplatform_revocation_list *found[], int most);
void cplatform_revocation_list_destroy(cplatform_revocation_list *list);
/// The name of the authority (RFC 2253). The caller frees the text with cplatform_text_destroy.
char *cplatform_revocation_list_issuer(const cplatform_revocation_list *list);
/// The second when the next list is due, since 1970. Returns 1, or 0 if the list does not say it.
int cplatform_revocation_list_due(const cplatform_revocation_list *list, int64_t *due);

enum { CPLATFORM_PURPOSE_ANY = 0, CPLATFORM_PURPOSE_CLIENT = 1, CPLATFORM_PURPOSE_SERVER = 2 };
/// Verifies `chain[0]` against authorities as TLS does: dates, signatures, purpose, strength (112 bits) and revocation.
/// The rest of `chain` are intermediate authorities. Every certificate of `authorities` is trusted. An authority whose
/// revocation list is not among `lists` counts as having revoked nothing. Returns 0, or libcrypto's X509_V_ERR number;
/// `*depth` becomes the place of the failing certificate in the chain.
int cplatform_certificates_verify(
    cplatform_certificate *const chain[], int chain_count, cplatform_certificate *const authorities[],
    int authority_count, cplatform_revocation_list *const lists[], int list_count, int purpose, int *depth);
/// libcrypto's words for the result of cplatform_certificates_verify; static storage.
const char *cplatform_certificate_error(int error);

#endif
