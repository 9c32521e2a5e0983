// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A file that gets its final name only after all its bytes are on disk.
///
/// The file is written under a temporary name, mode 0600.
///
/// If the last reference goes before ``finish(as:)``, the temporary file is removed. An object belongs to one thread.
public final class AtomicFile {
    /// The temporary name.
    public let path: String
    private let descriptor: FileDescriptor
    private var isFinished = false

    /// Makes the file.
    ///
    /// - Parameter path: the temporary name. A file that an earlier attempt left there is replaced.
    /// - Throws: the error of unlink(2) or open(2).
    public init(temporaryPath path: String) throws(SystemCallError) {
        self.path = path
        try FileSystem.remove(path)
        descriptor = try FileDescriptor(path: path, for: .creating)
    }

    deinit { if !isFinished { unlink(path) } }

    /// Appends all bytes.
    ///
    /// - Throws: the error of write(2).
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) { try descriptor.write(bytes) }

    /// Appends all bytes.
    ///
    /// - Throws: the error of write(2).
    public func write(_ bytes: [UInt8]) throws(SystemCallError) {
        try bytes.span.bytes.withUnsafeBytes { part throws(SystemCallError) in try write(part) }
    }

    /// Waits until the bytes are on disk, renames the file within its folder, and waits for the new name.
    ///
    /// - Parameter name: the path that the file keeps, in the same folder. A file that has this name is replaced.
    /// - Throws: the error of fdatasync(2), rename(2) or fsync(2).
    public func finish(as name: String) throws(SystemCallError) {
        try descriptor.sync()
        try FileSystem.rename(path, to: name)
        isFinished = true
        try FileSystem.syncFolder(Self.folder(of: name))
    }

    /// The folder part of a path: "." for a bare name.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
