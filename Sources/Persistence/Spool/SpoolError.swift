// SPDX-License-Identifier: Apache-2.0

public import Platform

/// What the spool cannot do. No case holds anything that a peer sent.
public enum SpoolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another process holds the spool; `holder` is what it wrote into the lock file.
    case held(path: String, holder: String)
    /// No room above the free space that the configuration keeps, or the disk or its quota is full.
    case full(cause: String)
    /// The disk fails.
    case failing(cause: SystemCallError)
    /// The instance is larger than `spool.maxInstance`.
    case tooLarge(limit: Int64)
    /// Something in the spool is not as this program left it.
    case damaged(path: String, cause: String)

    init(_ error: SystemCallError) {
        self = error.isFull ? .full(cause: error.description) : .failing(cause: error)
    }

    public var description: String {
        switch self {
        case .held(let path, let holder):
            "the spool \(path) is in use by \(holder): stop that node, or give this one a spool of its own"
        case .full(let cause): "the spool has no room: free disk space or lower spool.minimumFree: \(cause)"
        case .failing(let cause): "the spool's disk fails: \(cause)"
        case .tooLarge(let limit): "the instance is larger than spool.maxInstance (\(limit) bytes)"
        case .damaged(let path, let cause): "the spool file \(path) is damaged: \(cause)"
        }
    }
}
