// SPDX-License-Identifier: Apache-2.0

#include "CPlatform.h"

// glibc's tcp_info is shorter than the kernel's.
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int cplatform_tcp_counts(int connection, cplatform_tcp *counts)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    int queued = 0;
    memset(&info, 0, sizeof info);
    if (getsockopt(connection, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
    if (ioctl(connection, SIOCOUTQ, &queued) != 0) return -1;
    counts->received = info.tcpi_bytes_received;
    counts->acknowledged = info.tcpi_bytes_acked;
    counts->queued = (uint64_t)queued;
    return 0;
}
