// SPDX-License-Identifier: Apache-2.0

import Foundation
import Supervision

/// What is done about signals beyond those that end a service group.
enum Signals {
    /// A worker or a peer that goes away makes a write fail, which is handled where it happens.
    static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// A node outlives its terminal.
    static func ignoreHangUps() { signal(SIGHUP, SIG_IGN) }
}

/// The libraries that compute make threads for every processor when they are loaded, needed or not.
enum Processors {
    /// Starts this process anew, as itself, with libraries that make no threads: they read that before `main`.
    static func startOnce() {
        guard getenv("OPENBLAS_NUM_THREADS") == nil else { return }
        setenv("OPENBLAS_NUM_THREADS", "1", 1)
        // Returns only when it fails; the node then runs with threads that do nothing.
        execv(WorkerPoolConfiguration.ownExecutable, CommandLine.unsafeArgv)
    }
}
