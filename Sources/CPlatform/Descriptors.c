// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof(socklen_t) == sizeof(unsigned int), "the header takes the length as an unsigned int");

int cplatform_accept(int listener, void *address, unsigned int *length)
{
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int cplatform_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int cplatform_event(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int cplatform_close_from(void *actions, int lowest)
{
    return posix_spawn_file_actions_addclosefrom_np(actions, lowest);
}
