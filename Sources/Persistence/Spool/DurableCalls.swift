// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Platform

/// The system calls that durability depends on.
///
/// Every call of this room that makes bytes, names or rows durable goes through this table. A test can therefore watch
/// the order of the calls, delay one, fail one, or stop the process at the n-th. The node runs with ``real``.
public struct DurableCalls: Sendable {
    /// Creates a file for writing, mode 0600, that must not exist.
    public var create: @Sendable (_ path: String) throws(SystemCallError) -> FileDescriptor
    /// Writes all bytes.
    public var write:
        @Sendable (_ file: FileDescriptor, _ bytes: UnsafeRawBufferPointer) throws(SystemCallError) -> Void
    /// Waits until the file's bytes and size are on disk.
    public var syncFile: @Sendable (_ file: FileDescriptor, _ path: String) throws(SystemCallError) -> Void
    /// Waits until the names in a folder are on disk.
    public var syncFolder: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Makes a folder, mode 0700; a folder that exists stays as it is.
    public var makeFolder: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Renames a file within the spool.
    public var rename: @Sendable (_ from: String, _ to: String) throws(SystemCallError) -> Void
    /// Gives a file a second name.
    public var link: @Sendable (_ from: String, _ to: String) throws(SystemCallError) -> Void
    /// Removes a file; does nothing if the file does not exist.
    public var remove: @Sendable (_ path: String) throws(SystemCallError) -> Void
    /// Runs the database's commit, which writes and syncs the write-ahead log.
    public var commit: @Sendable (_ body: () throws -> Void) throws -> Void
    /// Bytes that an unprivileged writer can still use on the file system of `path`.
    public var freeSpace: @Sendable (_ path: String) throws(SystemCallError) -> Int64

    /// The calls of the operating system.
    public static let real = DurableCalls(
        create: { path throws(SystemCallError) in try FileDescriptor(path: path, for: .creating) },
        write: { file, bytes throws(SystemCallError) in try file.write(bytes) },
        syncFile: { file, _ throws(SystemCallError) in try file.sync() },
        syncFolder: { path throws(SystemCallError) in try FileSystem.syncFolder(path) },
        makeFolder: { path throws(SystemCallError) in try FileSystem.makeFolder(path) },
        rename: { from, to throws(SystemCallError) in try FileSystem.rename(from, to: to) },
        link: { from, to throws(SystemCallError) in try FileSystem.link(from, to: to) },
        remove: { path throws(SystemCallError) in try FileSystem.remove(path) },
        commit: { body in try body() },
        freeSpace: { path throws(SystemCallError) in try FileSystem.freeSpace(path) })
}
