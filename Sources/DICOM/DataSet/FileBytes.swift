// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// The bytes of a mapped file or of an inflated data set: read-only, and freed with the last reference.
///
/// A mapped file must not shrink while it is in use: files of the spool never change.
final class FileBytes {
    private enum Owner {
        case file(MappedFile)
        /// Memory from `malloc`.
        case memory(UnsafeMutableRawPointer)
    }

    let base: UnsafeRawBufferPointer
    private let owner: Owner

    /// The number of bytes.
    var count: Int { base.count }

    /// Whether the bytes are mapped from the file.
    ///
    /// Their memory can be given back, because the file can be read again.
    var isMapped: Bool { if case .file = owner { true } else { false } }

    /// Maps a regular file.
    ///
    /// - Throws: `DataSetError.cannotOpen`.
    init(path: String) throws(DataSetError) {
        do {
            let file = try MappedFile(path: path)
            base = file.bytes
            owner = .file(file)
        } catch {
            throw .cannotOpen(reason: error.description)
        }
    }

    /// Takes over memory from `malloc`.
    init(owning memory: UnsafeMutableRawPointer, count: Int) {
        base = UnsafeRawBufferPointer(start: memory, count: count)
        owner = .memory(memory)
    }

    deinit { if case .memory(let memory) = owner { free(memory) } }

    /// A part of the bytes, valid as long as this object lives.
    subscript(range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: base[range]) }

    /// Gives back the memory of a part of a mapped file, so that a large file does not stay resident.
    func release(_ range: Range<Int>) { if case .file(let file) = owner { file.release(range) } }

    /// Walks a part in pieces of 4 MiB and gives back the memory of each piece afterwards.
    func forEachPiece(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        let piece = 4 << 20
        for start in stride(from: range.lowerBound, to: range.upperBound, by: piece) {
            let part = start..<min(start + piece, range.upperBound)
            body(self[part])
            release(part)
        }
    }
}
