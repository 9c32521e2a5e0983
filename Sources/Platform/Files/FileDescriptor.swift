// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc

/// A descriptor that is closed with its last reference.
///
/// Child processes do not inherit it.
public final class FileDescriptor: Sendable {
    /// The purpose for which a file is opened.
    public enum Purpose: Sendable {
        /// Read a file that exists. Opening a named pipe does not block.
        case reading
        /// Read a file that exists; opening a symbolic link fails.
        case readingWithoutLinks
        /// Read the entries of a folder, or sync its names.
        case folder
        /// Read the entries of a folder; opening a symbolic link fails.
        case folderWithoutLinks
        /// Write a new file, mode 0600. Opening fails if the path exists, also as a symbolic link.
        case creating
        /// Write a file, mode 0600, and discard its previous content. The file is made if it is missing.
        case replacing
        /// Add to the end of a file, mode 0600. The file is made if it is missing.
        case appending
        /// Read and write a file, mode 0600. The file is made if it is missing. Opening a symbolic link fails.
        case updating
        /// Read and write a file that exists.
        case updatingExisting
        /// Write to a file that exists, such as one of /proc.
        case writing

        fileprivate var flags: Int32 {
            switch self {
            case .reading: O_RDONLY | O_NONBLOCK
            case .readingWithoutLinks: O_RDONLY | O_NONBLOCK | O_NOFOLLOW
            case .folder: O_RDONLY | O_DIRECTORY
            case .folderWithoutLinks: O_RDONLY | O_DIRECTORY | O_NOFOLLOW
            case .creating: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
            case .replacing: O_WRONLY | O_CREAT | O_TRUNC
            case .appending: O_WRONLY | O_CREAT | O_APPEND
            case .updating: O_RDWR | O_CREAT | O_NOFOLLOW
            case .updatingExisting: O_RDWR
            case .writing: O_WRONLY
            }
        }
    }

    /// The result of a read.
    public enum ReadResult: Sendable, Equatable {
        /// This number of bytes, at least 1.
        case bytes(Int)
        /// The end of the file, or a pipe whose writers are gone.
        case end
        /// The descriptor does not block, and does not have bytes to read now.
        case wouldBlock
    }

    /// The number that system calls take.
    ///
    /// The number is valid as long as this object lives. A caller that passes the number to a system call must keep a
    /// reference until the call returns, for instance in a property or with `withExtendedLifetime`.
    public let number: Int32

    /// Takes over an open descriptor.
    public init(owning number: Int32) { self.number = number }

    /// Opens a file.
    ///
    /// - Throws: the error of open(2).
    public init(path: String, for purpose: Purpose) throws(SystemCallError) {
        number = open(path, purpose.flags | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw .last("open") }
    }

    deinit { if number >= 0 { close(number) } }

    /// Makes a pipe: bytes that are written to `writer` can be read from `reader`.
    ///
    /// - Throws: the error of pipe2(2), for instance if no descriptor is left.
    public static func pipe() throws(SystemCallError) -> (reader: FileDescriptor, writer: FileDescriptor) {
        var ends: [Int32] = [-1, -1]
        guard cplatform_pipe(&ends) == 0 else { throw .last("pipe2") }
        return (FileDescriptor(owning: ends[0]), FileDescriptor(owning: ends[1]))
    }

    /// Lets reads and writes return at once if they would have to wait.
    public func setNonblocking() { _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK) }

    /// Writes all bytes, with as many calls as necessary.
    ///
    /// - Throws: the error of write(2). Part of the bytes may have been written.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) {
        try Self.write(bytes, to: number)
    }

    /// Writes all bytes to a descriptor that the caller does not own.
    ///
    /// - Throws: the error of write(2). Part of the bytes may have been written.
    public static func write(_ bytes: UnsafeRawBufferPointer, to number: Int32) throws(SystemCallError) {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let written = Glibc.write(number, base, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw .last("write")
            }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
        }
    }

    /// Writes as many bytes as the descriptor takes in one call.
    ///
    /// - Returns: the number of bytes written; 0 if the descriptor does not block and cannot take bytes now.
    /// - Throws: the error of write(2).
    public func writeSome(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) -> Int {
        let written = Glibc.write(number, bytes.baseAddress, bytes.count)
        if written >= 0 { return written }
        if errno == EINTR || errno == EAGAIN { return 0 }
        throw .last("write")
    }

    /// Writes all bytes at `offset`; the descriptor's own position stays where it is.
    ///
    /// - Throws: the error of pwrite(2). Part of the bytes may have been written.
    public func overwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let written = pwrite(number, rest.baseAddress, rest.count, off_t(offset + done))
            if written < 0 {
                if errno == EINTR { continue }
                throw .last("pwrite")
            }
            done += written
        }
    }

    /// Reads into a buffer, in one call.
    ///
    /// - Throws: the error of read(2).
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemCallError) -> ReadResult {
        while true {
            let count = Glibc.read(number, buffer.baseAddress, buffer.count)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .end }
            if errno == EINTR { continue }
            if errno == EAGAIN { return .wouldBlock }
            throw .last("read")
        }
    }

    /// Takes room on the disk for the file's first bytes; the file grows to this size if it is smaller.
    ///
    /// - Throws: the error of posix_fallocate(3), such as a full disk. Part of the room may have been taken.
    public func allocate(_ size: Int64) throws(SystemCallError) {
        let code = posix_fallocate(number, 0, off_t(size))
        guard code == 0 else { throw SystemCallError(call: "posix_fallocate", code: code) }
    }

    /// Waits until the file's bytes and size are on disk.
    ///
    /// - Throws: the error of fdatasync(2).
    public func sync() throws(SystemCallError) {
        guard fdatasync(number) == 0 else { throw .last("fdatasync") }
    }

    /// Waits until the file, or the names in the folder, are on disk.
    ///
    /// - Throws: the error of fsync(2).
    public func syncAll() throws(SystemCallError) {
        guard fsync(number) == 0 else { throw .last("fsync") }
    }

    /// Changes the permissions, for instance to `0o600`.
    public func setMode(_ mode: UInt32) { fchmod(number, mode) }

    /// Size in bytes, and whether this is a regular file.
    ///
    /// - Throws: the error of fstat(2).
    public func status() throws(SystemCallError) -> (size: Int, isRegularFile: Bool) {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .last("fstat") }
        return (Int(status.st_size), status.st_mode & S_IFMT == S_IFREG)
    }
}
