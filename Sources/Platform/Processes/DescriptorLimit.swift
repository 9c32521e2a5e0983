// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The number of files and sockets that this process may have open (RLIMIT_NOFILE).
public enum DescriptorLimit {
    /// The limit that is in force.
    public static var current: Int { limit.map { clamped($0.rlim_cur) } ?? 1024 }

    /// Raises the limit that is in force, if it is lower and the hard limit allows more.
    ///
    /// - Parameter wanted: the number of open files and sockets.
    /// - Returns: the limit that is in force now; less than `wanted` if the hard limit is lower.
    public static func raise(to wanted: Int) -> Int {
        guard var limit, clamped(limit.rlim_cur) < wanted else { return current }
        limit.rlim_cur = min(rlim_t(wanted), limit.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return current
    }

    private static var limit: rlimit? {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? limit : nil
    }

    private static func clamped(_ value: rlim_t) -> Int { Int(clamping: value) }
}
