// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The identity and the version of an open file.
///
/// Equal values mean that the file is the same, and that its size and its modification time have not changed.
public struct FileIdentity: Sendable, Hashable {
    /// The size in bytes.
    public let size: Int
    /// Whether this is a regular file, not a folder, a pipe or a device.
    public let isRegularFile: Bool
    private let device: UInt64
    private let inode: UInt64
    private let modified: [Int]

    fileprivate init(_ status: stat) {
        size = Int(status.st_size)
        isRegularFile = status.st_mode & S_IFMT == S_IFREG
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        modified = [Int(status.st_mtim.tv_sec), Int(status.st_mtim.tv_nsec)]
    }
}

extension FileDescriptor {
    /// The identity of the file and its version now.
    ///
    /// - Returns: the identity.
    /// - Throws: the error of fstat(2).
    public func identity() throws(SystemCallError) -> FileIdentity {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .last("fstat") }
        return FileIdentity(status)
    }

    /// Reads from `offset` on until the buffer is full or the file ends, with as many calls as necessary.
    ///
    /// The descriptor's own position stays where it is, so several threads may read at once.
    ///
    /// - Parameters:
    ///   - buffer: receives the bytes.
    ///   - offset: the first byte that is read.
    /// - Returns: the number of bytes read; fewer than the buffer holds only if the file ends.
    /// - Throws: the error of pread(2).
    public func fill(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(SystemCallError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = pread(number, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw .last("pread")
            }
            if count == 0 { break }
            done += count
        }
        return done
    }
}
