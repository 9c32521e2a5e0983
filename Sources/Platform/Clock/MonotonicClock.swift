// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The clock that only moves forward, `CLOCK_MONOTONIC`: changes of the wall clock do not affect it.
public enum MonotonicClock {
    /// The time since an arbitrary origin that is the same for all processes until the machine restarts.
    public static func now() -> Duration {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
    }

    /// The time that `body` takes.
    public static func measure<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Duration {
        let start = now()
        try body()
        return now() - start
    }
}
