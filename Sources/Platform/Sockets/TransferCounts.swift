// SPDX-License-Identifier: Apache-2.0

import CPlatform

/// What a TCP connection has moved so far, whichever process moved it.
package struct TransferCounts: Sendable, Hashable {
    /// Bytes that came from the peer.
    package var received: UInt64
    /// Bytes that the peer's machine has acknowledged.
    package var acknowledged: UInt64
    /// Bytes that were sent and that the peer's machine has not acknowledged yet.
    package var queued: UInt64

    package init(received: UInt64 = 0, acknowledged: UInt64 = 0, queued: UInt64 = 0) {
        self.received = received
        self.acknowledged = acknowledged
        self.queued = queued
    }
}

extension StreamSocket {
    /// What the connection has moved so far; zeros if it cannot be asked any more.
    package var transferCounts: TransferCounts {
        var counts = cplatform_tcp()
        guard cplatform_tcp_counts(descriptor, &counts) == 0 else { return TransferCounts() }
        return TransferCounts(
            received: counts.received, acknowledged: counts.acknowledged, queued: counts.queued)
    }
}
