// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A system call that failed.
public struct SystemCallError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call's name, as in its manual page.
    public let call: String
    /// The value of `errno`.
    public let code: Int32

    public init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    /// The error of the call that has just failed on this thread.
    public static func last(_ call: String) -> SystemCallError { SystemCallError(call: call, code: errno) }

    /// The system's words for ``code``, such as "No such file or directory".
    public var reason: String { String(cString: strerror(code)) }

    public var description: String { "\(call) failed: \(reason)" }

    /// Whether the disk or the quota is full.
    public var isFull: Bool { code == ENOSPC || code == EDQUOT }

    /// Whether the file or folder does not exist.
    public var isMissing: Bool { code == ENOENT }

    /// Whether the same call may succeed later, because the disk, the memory, a limit or a permission is at fault.
    ///
    /// A name or a value that the system does not accept stays wrong.
    public var isTemporary: Bool {
        switch code {
        case ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ELOOP, ENAMETOOLONG, EILSEQ, EINVAL, EXDEV, EBADF: false
        default: true
        }
    }

    /// The value of `errno` for a full disk.
    public static let noSpace = ENOSPC

    /// Whether the file would have become longer than it may be.
    public var isTooLong: Bool { code == EFBIG }

    /// The value of `errno` for a path that leads through something other than a folder.
    public static let notAFolder = ENOTDIR

    /// Whether two paths lie on different file systems, or the file system does not give a file a second name.
    public var cannotLink: Bool { code == EXDEV || code == EPERM || code == ENOTSUP || code == EMLINK }
}
