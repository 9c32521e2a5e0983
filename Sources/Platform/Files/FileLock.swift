// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A lock file that one process holds: flock(2) on a file that names the holder.
///
/// The kernel drops the lock when the process ends, even after a crash. So a lock is never stale.
public final class FileLock: Sendable {
    /// Why the lock was not taken.
    public enum Failure: Error, Sendable, Equatable {
        /// Another process holds it; `holder` is the text that the process wrote, if it could be read.
        case held(holder: String?)
        case failing(SystemCallError)
    }

    private let descriptor: FileDescriptor

    /// Takes the lock, or fails within a fifth of a second.
    ///
    /// - Parameters:
    ///   - path: the lock file, made if it is missing.
    ///   - holder: one line of text that other processes are shown.
    /// - Throws: ``Failure``.
    public init(path: String, holder: String) throws(Failure) {
        // Stored only once the lock is held. Otherwise `deinit` would erase the text of the process that holds the
        // lock.
        let descriptor: FileDescriptor
        do throws(SystemCallError) {
            descriptor = try FileDescriptor(path: path, for: .updating)
        } catch {
            throw .failing(error)
        }
        var attempts = 0
        // Tried again, because `holder(path:)` of another process takes the lock for a moment.
        while flock(descriptor.number, LOCK_EX | LOCK_NB) != 0 {
            let error = SystemCallError.last("flock")
            guard error.code == EWOULDBLOCK else { throw .failing(error) }
            attempts += 1
            guard attempts < 10 else { throw .held(holder: Self.text(of: path)) }
            usleep(20_000)
        }
        self.descriptor = descriptor
        ftruncate(descriptor.number, 0)
        let line = Array((holder + "\n").utf8)
        _ = line.withUnsafeBytes { pwrite(descriptor.number, $0.baseAddress, $0.count, 0) }
    }

    deinit { ftruncate(descriptor.number, 0) }

    /// Whether a process holds the lock at `path`.
    ///
    /// - Returns: the holder's text, "another process" if the text cannot be read, `nil` if the lock is free.
    public static func holder(path: String) -> String? {
        guard let descriptor = try? FileDescriptor(path: path, for: .updatingExisting),
            withExtendedLifetime(descriptor, { flock($0.number, LOCK_SH | LOCK_NB) }) != 0
        else { return nil }
        return text(of: path) ?? "another process"
    }

    private static func text(of path: String) -> String? {
        guard let descriptor = try? FileDescriptor(path: path, for: .reading) else { return nil }
        var buffer = [UInt8](repeating: 0, count: 1024)
        guard case .bytes(let count)? = try? buffer.withUnsafeMutableBytes(descriptor.read(into:)) else { return nil }
        let line = buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }
}
