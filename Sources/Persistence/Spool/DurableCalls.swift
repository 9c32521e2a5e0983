// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Platform

/// The system calls that durability depends on.
///
/// Every call of this room that makes bytes, names or rows durable goes through this table. A test can therefore watch
/// the order of the calls, delay one, fail one, or stop the process at the n-th. The calls that examine files are in the
/// table, too, because an error among them must not be taken for a missing file. The node runs with ``real``.
public struct DurableCalls: Sendable {
    /// Creates a file for writing, mode 0600, that must not exist.
    public var create: @Sendable (_ path: String) throws(SystemCallError) -> FileDescriptor
    /// Writes all bytes.
    public var write:
        @Sendable (_ file: FileDescriptor, _ bytes: UnsafeRawBufferPointer) throws(SystemCallError) -> Void
    /// Writes all bytes at an offset, in bytes.
    public var overwrite:
        @Sendable (_ file: FileDescriptor, _ bytes: UnsafeRawBufferPointer, _ offset: Int) throws(SystemCallError) ->
            Void
    /// Opens a file for reading; a symbolic link is an error.
    public var open: @Sendable (_ path: String) throws(SystemCallError) -> FileDescriptor
    /// Reads into a buffer, in one call.
    public var read:
        @Sendable (_ file: FileDescriptor, _ buffer: UnsafeMutableRawBufferPointer) throws(SystemCallError) ->
            FileDescriptor.ReadResult
    /// What a path names; a symbolic link is not followed.
    public var status: @Sendable (_ path: String) throws(SystemCallError) -> FileSystem.Status
    /// The names in a folder, sorted; a symbolic link to a folder is an error.
    public var names: @Sendable (_ folder: String) throws(SystemCallError) -> [String]
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
        overwrite: { file, bytes, offset throws(SystemCallError) in try file.overwrite(bytes, at: offset) },
        open: { path throws(SystemCallError) in try FileDescriptor(path: path, for: .readingWithoutLinks) },
        read: { file, buffer throws(SystemCallError) in try file.read(into: buffer) },
        status: { path throws(SystemCallError) in try FileSystem.status(path) },
        names: { folder throws(SystemCallError) in try FileSystem.names(in: folder) },
        syncFile: { file, _ throws(SystemCallError) in try file.sync() },
        syncFolder: { path throws(SystemCallError) in try FileSystem.syncFolder(path) },
        makeFolder: { path throws(SystemCallError) in try FileSystem.makeFolder(path) },
        rename: { from, to throws(SystemCallError) in try FileSystem.rename(from, to: to) },
        link: { from, to throws(SystemCallError) in try FileSystem.link(from, to: to) },
        remove: { path throws(SystemCallError) in try FileSystem.remove(path) },
        commit: { body in try body() },
        freeSpace: { path throws(SystemCallError) in try FileSystem.freeSpace(path) })
}
