// SPDX-License-Identifier: Apache-2.0
//
// The socket call that Swift's own C library module does not show. Associations themselves are read and written in
// Swift (Sources/DICOM/Network): nothing that a peer sent is parsed behind this door.
#ifndef CDCMTK_NETWORK_H
#define CDCMTK_NETWORK_H

#ifdef __cplusplus
extern "C" {
#endif

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC: a child that is started at the same moment must not inherit the
/// connection, which a later fcntl could not prevent. `address` has room for `*length` bytes of a socket address, and `*length`
/// becomes what it takes. Returns the descriptor, or -1 with errno set.
int cdcmtk_accept(int listener, void *address, unsigned int *length);

#ifdef __cplusplus
}
#endif

#endif
