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

#endif
