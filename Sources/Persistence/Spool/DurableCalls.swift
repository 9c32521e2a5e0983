// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Platform

/// The calls on which durability rests.
///
/// Everything in this room that makes bytes, names or rows durable goes through one of these, so that a test can watch
/// the order of the calls, delay or fail one, or stop the world at the n-th. ``real`` is what the node runs with.
public struct DurableCalls: Sendable {
    /// Creates a file for writing, mode 0600; it must not exist. Returns its descriptor.
    public var create: @Sendable (_ path: String) throws(SystemCallError) -> Int32
    /// Writes all bytes.
    public var write: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemCallError) -> Void
    /// Waits until the file's bytes and size are on disk.
    public var syncFile: @Sendable (_ descriptor: Int32, _ path: String) throws(SystemCallError) -> Void
    /// Waits until the names in a folder are on disk.
    public var syncFolder: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Makes a folder, mode 0700; one that exists is fine.
    public var makeFolder: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Renames within the spool.
    public var rename: @Sendable (_ from: String, _ to: String) throws(SystemCallError) -> Void
    /// Gives a file a second name.
    public var link: @Sendable (_ from: String, _ to: String) throws(SystemCallError) -> Void
    /// Removes a file; one that is not there is fine.
    public var remove: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Runs the database's commit, which writes and syncs the write-ahead log.
    public var commit: @Sendable (_ body: () throws -> Void) throws -> Void
    /// Bytes that an unprivileged writer can still use on the file system of `path`.
    public var freeSpace: @Sendable (_ path: String) throws(SystemCallError) -> Int64

    /// The operating system's own.
    public static let real = DurableCalls(
        create: { path throws(SystemCallError) in
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw SystemCallError(call: "open", code: errno) }
            return descriptor
        },
        write: { descriptor, bytes throws(SystemCallError) in
            var rest = bytes
            while let base = rest.baseAddress, !rest.isEmpty {
                let written = Glibc.write(descriptor, base, rest.count)
                if written < 0 {
                    if errno == EINTR { continue }
                    throw SystemCallError(call: "write", code: errno)
                }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
            }
        },
        syncFile: { descriptor, _ throws(SystemCallError) in
            guard fdatasync(descriptor) == 0 else { throw SystemCallError(call: "fdatasync", code: errno) }
        },
        syncFolder: { path throws(SystemCallError) in
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { throw SystemCallError(call: "open", code: errno) }
            defer { close(descriptor) }
            guard fsync(descriptor) == 0 else { throw SystemCallError(call: "fsync", code: errno) }
        },
        makeFolder: { path throws(SystemCallError) in
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw SystemCallError(call: "mkdir", code: errno)
            }
        },
        rename: { from, to throws(SystemCallError) in
            guard Glibc.rename(from, to) == 0 else { throw SystemCallError(call: "rename", code: errno) }
        },
        link: { from, to throws(SystemCallError) in
            guard Glibc.link(from, to) == 0 else { throw SystemCallError(call: "link", code: errno) }
        },
        remove: { path throws(SystemCallError) in
            guard unlink(path) == 0 || errno == ENOENT else { throw SystemCallError(call: "unlink", code: errno) }
        },
        commit: { body in try body() },
        freeSpace: { path throws(SystemCallError) in
            var facts = statvfs()
            guard statvfs(path, &facts) == 0 else { throw SystemCallError(call: "statvfs", code: errno) }
            return Int64(
                clamping: UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue)
        })
}
