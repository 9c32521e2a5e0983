// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A file that is read piece by piece: it is neither mapped nor held, so one that shrinks meanwhile is an error and a
/// large one takes no memory.
final class CheckpointFile: Sendable {
    let size: Int
    private let descriptor: Int32
    private let identity: Identity

    private struct Identity: Equatable {
        var device: UInt64
        var number: UInt64
        var size: Int
        var seconds: Int
        var nanoseconds: Int

        init(_ facts: stat) {
            device = UInt64(facts.st_dev)
            number = UInt64(facts.st_ino)
            size = Int(facts.st_size)
            seconds = Int(facts.st_mtim.tv_sec)
            nanoseconds = Int(facts.st_mtim.tv_nsec)
        }
    }

    /// - Throws: `CheckpointError.unreadable`.
    init(path: String) throws(CheckpointError) {
        // A pipe would wait here for somebody who writes.
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(reason: String(cString: strerror(errno))) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .unreadable(reason: "it is not a regular file")
        }
        identity = Identity(facts)
        size = identity.size
    }

    deinit { close(descriptor) }

    /// Whether the file is still the one that was opened, as far as its size and times tell.
    var isUnchanged: Bool {
        var facts = stat()
        return fstat(descriptor, &facts) == 0 && Identity(facts) == identity
    }

    /// - Parameters:
    ///   - offset: where to begin, within the file.
    ///   - count: bounded by the caller.
    /// - Throws: `CheckpointError.unreadable` when the file ends before.
    func bytes(at offset: Int, count: Int) throws(CheckpointError) -> [UInt8] {
        guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
            throw .unreadable(reason: "it ends too early; it may be truncated")
        }
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: CheckpointError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(CheckpointError) { try read(at: offset, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Fills `buffer` from `offset` on.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        var done = 0
        while done < buffer.count {
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let found = pread(descriptor, place.baseAddress, place.count, off_t(offset + done))
            if found < 0 && errno == EINTR { continue }
            guard found >= 0 else { throw .unreadable(reason: String(cString: strerror(errno))) }
            guard found > 0 else { throw .unreadable(reason: "it became shorter while it was read") }
            done += found
        }
    }
}

/// Little-endian numbers out of bytes that somebody else wrote: a place outside them gives `nil`.
struct LittleEndian {
    let bytes: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { self.bytes = ArraySlice(Array(bytes)) }

    /// - Parameter width: 1 to 8 bytes.
    func integer(at offset: Int, width: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count, width <= bytes.count - offset else { return nil }
        let start = bytes.startIndex + offset
        return bytes[start..<start + width].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    /// One that is known to be small.
    func small(at offset: Int, width: Int) -> Int? {
        integer(at: offset, width: width).map { Int(truncatingIfNeeded: $0) }
    }
}
