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

    /// The time since the machine started, `CLOCK_BOOTTIME`: unlike ``now()``, it also counts while the machine sleeps.
    public static func sinceBoot() -> Duration {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        return .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
    }

    /// A text that names the present run of the machine, and changes when the machine restarts.
    ///
    /// The text is empty if the kernel does not tell it.
    public static func bootIdentifier() -> String {
        guard let file = try? FileDescriptor(path: "/proc/sys/kernel/random/boot_id", for: .reading) else { return "" }
        var buffer = [UInt8](repeating: 0, count: 64)
        guard case .bytes(let count)? = try? buffer.withUnsafeMutableBytes(file.read(into:)) else { return "" }
        return String(decoding: buffer[..<count].prefix { $0 > UInt8(ascii: " ") }, as: UTF8.self)
    }

    /// The time that `body` takes.
    public static func measure<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Duration {
        let start = now()
        try body()
        return now() - start
    }
}
