// SPDX-License-Identifier: Apache-2.0

#include "CDCMTKNetwork.h"

#include <sys/socket.h>

static_assert(sizeof(socklen_t) == sizeof(unsigned int), "the door takes the length as an unsigned int");

int cdcmtk_accept(int listener, void *address, unsigned int *length)
{
    return accept4(listener, static_cast<struct sockaddr *>(address), length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
