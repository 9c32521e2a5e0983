// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What is done about signals beyond those that end a service group.
enum Signals {
    /// A worker or a peer that goes away makes a write fail, which is handled where it happens.
    static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// A node outlives its terminal.
    static func ignoreHangUps() { signal(SIGHUP, SIG_IGN) }
}
