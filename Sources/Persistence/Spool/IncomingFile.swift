// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// The file of an instance that is being received: its data set goes to disk and is hashed on the way.
///
/// The file belongs to the thread of its association. ``Journal/commit(_:_:)`` keeps it; ``discard()`` removes it. If
/// the last reference goes before either call, the file is removed, too.
public final class IncomingFile {
    /// Folder of the file, relative to the spool.
    let folder: String
    /// Name of the file in ``folder``.
    let name: String
    /// The open file; `nil` once the file is kept or removed.
    private(set) var descriptor: FileDescriptor?
    private let spool: Spool
    private var hasher = SHA256()
    /// Size of the file in bytes, the Part 10 header included.
    public private(set) var size: Int64 = 0
    /// Offset of the data set in the file, in bytes.
    private(set) var headerSize: Int64 = 0
    private var checkedRoomAt: Int64 = 0
    /// Whether the header has a preamble for the seal.
    private var canBeSealed = false

    /// Number of bytes after which a large instance is checked against the free space again.
    private static let roomInterval: Int64 = 16 << 20

    init(spool: Spool, folder: String, name: String) throws(SpoolError) {
        self.spool = spool
        self.folder = folder
        self.name = name
        try Self.checkRoom(spool)
        do { descriptor = try spool.calls.create(spool.absolute(folder + "/" + name)) } catch {
            throw SpoolError(error)
        }
    }

    deinit { discard() }

    /// Absolute path of the file.
    public var path: String { spool.absolute(stored) }
    /// Path of the file, relative to the spool.
    var stored: String { folder + "/" + name }

    private static func checkRoom(_ spool: Spool) throws(SpoolError) {
        let free = try spool.freeSpace()
        if free < spool.configuration.minimumFree { throw .full(cause: "\(free) bytes are free") }
    }

    /// Writes the Part 10 header, which the hash does not cover; must come before ``append(_:)``.
    ///
    /// The preamble becomes an unfinished seal.
    public func writeHeader(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        canBeSealed = InstanceSeal.fits(bytes)
        let preamble = canBeSealed ? InstanceSeal.unfinished : []
        let header = preamble + bytes.dropFirst(preamble.count)
        try header.span.bytes.withUnsafeBytes { header throws(SpoolError) in try write(header) }
        headerSize = size
    }

    /// Writes the seal into the preamble: the data set is complete.
    ///
    /// - Parameters:
    ///   - sha256: ``digest()``.
    ///   - receivedAt: microseconds since 1970.
    /// - Throws: the error of pwrite(2).
    func seal(sha256: Data, receivedAt: Int64) throws(SystemCallError) {
        guard canBeSealed, let descriptor else { return }
        let seal = InstanceSeal(headerSize: headerSize, fileSize: size, receivedAt: receivedAt, sha256: sha256)
        let preamble = seal.encoded
        try preamble.span.bytes.withUnsafeBytes { bytes throws(SystemCallError) in
            try spool.calls.overwrite(descriptor, bytes, 0)
        }
    }

    /// Writes and hashes bytes of the data set as received.
    ///
    /// - Throws: ``SpoolError/tooLarge(limit:)`` or ``SpoolError/full(cause:)``, and the errors of the disk.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        try write(bytes)
        hasher.update(bufferPointer: bytes)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        guard let descriptor else { preconditionFailure("a file is written before it is kept or removed") }
        let limit = spool.configuration.maxInstance
        guard size + Int64(bytes.count) <= limit else { throw .tooLarge(limit: limit) }
        if size - checkedRoomAt >= Self.roomInterval {
            try Self.checkRoom(spool)
            checkedRoomAt = size
        }
        do { try spool.calls.write(descriptor, bytes) } catch { throw SpoolError(error) }
        size += Int64(bytes.count)
    }

    /// Removes the file, unless a commit has kept it.
    public func discard() {
        guard descriptor != nil else { return }
        settle()
        try? spool.calls.remove(path)
    }

    /// Closes the file and keeps it.
    func settle() { descriptor = nil }

    /// SHA-256 of the data set, 32 bytes.
    func digest() -> Data { Data(hasher.finalize()) }
}
