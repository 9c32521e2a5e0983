// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// The bytes of a weight file: mapped, embedded in the executable, or held.
///
/// What was read of a mapped file can be let go again: packed weights are copies, and the pages would count as memory of
/// this process although they are only the file's.
// Sendable: the bytes never change, and letting pages go only means that they are read again.
final class WeightBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let origin: Origin

    private enum Origin {
        case mapped, embedded, held
    }

    init(path: String) throws(WeightFileError) {
        func failure() -> WeightFileError { .unreadable(path: path, reason: String(cString: strerror(errno))) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw failure() }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: "it is not a regular file")
        }
        origin = .mapped
        let count = Int(facts.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw failure()
        }
        bytes = UnsafeRawBufferPointer(start: base, count: count)
    }

    /// Bytes that outlive everything, such as those in the executable.
    init(embedded bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        origin = .embedded
    }

    init(copying data: Data) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: data.count, alignment: 64)
        copy.copyBytes(from: data)
        bytes = UnsafeRawBufferPointer(copy)
        origin = .held
    }

    deinit {
        switch origin {
        case .mapped:
            if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
        case .embedded: break
        case .held: bytes.deallocate()
        }
    }

    /// Lets the whole pages within `range` go; they are read from the file again when they are touched.
    func release(_ range: Range<Int>) {
        guard origin == .mapped, let base = bytes.baseAddress else { return }
        let page = 4096
        let first = (range.lowerBound + page - 1) / page * page
        // The last page of the file is whole in memory.
        let last = range.upperBound == bytes.count ? range.upperBound : range.upperBound / page * page
        guard first < last else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
    }

    /// SHA-256 of all bytes, 64 lower-case hexadecimal digits.
    var sha256: String {
        let piece = 4 << 20
        var hasher = SHA256()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            let range = start..<min(start + piece, bytes.count)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[range]))
            release(range)
        }
        return hasher.finalize().hexadecimal
    }
}
