// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Bytes of a file, mapped, or of an inflated data set: read-only, and freed with the last reference.
final class FileBytes {
    private enum Origin { case mapped, allocated, empty }

    let base: UnsafeRawBufferPointer
    private let origin: Origin

    var count: Int { base.count }

    /// Maps a regular file. The file must not shrink while it is in use: files of the spool never change.
    init(path: String) throws(DataSetError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .cannotOpen(reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw .cannotOpen(reason: String(cString: strerror(errno))) }
        guard information.st_mode & S_IFMT == S_IFREG else { throw .cannotOpen(reason: "it is not a regular file") }
        let size = Int(information.st_size)
        guard size > 0 else {
            base = UnsafeRawBufferPointer(start: nil, count: 0)
            origin = .empty
            return
        }
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw .cannotOpen(reason: String(cString: strerror(errno)))
        }
        base = UnsafeRawBufferPointer(start: address, count: size)
        origin = .mapped
    }

    /// Takes over memory from `malloc`.
    init(owning memory: UnsafeMutableRawPointer, count: Int) {
        base = UnsafeRawBufferPointer(start: memory, count: count)
        origin = .allocated
    }

    deinit {
        guard let address = UnsafeMutableRawPointer(mutating: base.baseAddress) else { return }
        switch origin {
        case .mapped: munmap(address, base.count)
        case .allocated: free(address)
        case .empty: break
        }
    }

    /// A part of the bytes, good as long as this object lives.
    subscript(range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: base[range]) }

    /// Walks a part in pieces of 4 MiB and lets go of each afterwards, so that a large file does not stay resident.
    func forEachPiece(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        let piece = 4 << 20
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(range.upperBound, (start / piece + 1) * piece)
            body(self[start..<end])
            // Only whole pieces: the memory of a mapped file comes back from the page cache when it is wanted again.
            if origin == .mapped, start % piece == 0, let address = base.baseAddress {
                madvise(UnsafeMutableRawPointer(mutating: address + start), end - start, MADV_DONTNEED)
            }
            start = end
        }
    }
}
