// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A regular file that is mapped for reading until the last reference goes.
///
/// The file must not shrink meanwhile: reading beyond its new end would end the process.
// Sendable: the bytes do not change. A released page is read again when it is touched.
public final class MappedFile: @unchecked Sendable {
    /// A file that cannot be mapped.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// The system's words, or that the path does not name a regular file.
        public let description: String
    }

    /// All bytes of the file.
    ///
    /// The bytes are valid as long as this object lives.
    public let bytes: UnsafeRawBufferPointer

    /// Maps a file.
    ///
    /// - Throws: ``Failure`` if the file is missing, may not be read, or is a folder, a pipe or a device.
    public init(path: String) throws(Failure) {
        let descriptor: FileDescriptor
        let status: (size: Int, isRegularFile: Bool)
        do throws(SystemCallError) {
            descriptor = try FileDescriptor(path: path, for: .reading)
            status = try descriptor.status()
        } catch {
            throw Failure(description: error.reason)
        }
        guard status.isRegularFile else { throw Failure(description: "it is not a regular file") }
        let size = status.size
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let base = withExtendedLifetime(descriptor) { mmap(nil, size, PROT_READ, MAP_PRIVATE, $0.number, 0) }
        guard let base, base != MAP_FAILED else {
            throw Failure(description: SystemCallError.last("mmap").reason)
        }
        bytes = UnsafeRawBufferPointer(start: base, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    /// Gives back the memory of the whole pages within `range`.
    ///
    /// The bytes are read from the file again when touched.
    ///
    /// - Parameter range: byte offsets.
    public func release(_ range: Range<Int>) {
        guard let base = bytes.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = (range.lowerBound + page - 1) / page * page
        // The mapping holds the last page whole, although the file may end inside it.
        let end = range.upperBound == bytes.count ? range.upperBound : range.upperBound / page * page
        guard first < end else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), end - first, MADV_DONTNEED)
    }
}
