// SPDX-License-Identifier: Apache-2.0

import Foundation
public import Platform

/// The file of an instance that is being received.
///
/// The Part 10 header is written first. Then a process that speaks with the peer appends the data set as it comes, and
/// hashes it on the way; ``finish(bytes:sha256:)`` tells what it has written. ``append(_:)`` does both in this process.
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
    /// The digest that another process has computed.
    private var given: Data?
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

    /// The number of the open file, for a process that appends the data set.
    ///
    /// The number stays valid until the file is kept or removed.
    public var number: Int32 {
        guard let descriptor else { preconditionFailure("a file is written before it is kept or removed") }
        return descriptor.number
    }

    /// The most bytes of the data set.
    public var room: UInt64 { UInt64(max(0, spool.configuration.maxInstance - size)) }

    /// Looks at the free space if another process has appended much since the last look.
    ///
    /// - Throws: ``SpoolError/full(cause:)``, and the errors of the disk.
    public func checkGrowth() throws(SpoolError) {
        let now: Int64
        do { now = Int64(try descriptor?.status().size ?? 0) } catch { throw SpoolError(error) }
        guard now - checkedRoomAt >= Self.roomInterval else { return }
        try Self.checkRoom(spool)
        checkedRoomAt = now
    }

    /// Notes the data set that another process has appended.
    ///
    /// - Parameters:
    ///   - bytes: size of the data set.
    ///   - sha256: SHA-256 of the data set, 32 bytes.
    /// - Throws: ``SpoolError/damaged(path:cause:)`` if the file does not have this size.
    public func finish(bytes: UInt64, sha256: [UInt8]) throws(SpoolError) {
        size += Int64(bytes)
        let found: Int
        do { found = try descriptor?.status().size ?? 0 } catch { throw SpoolError(error) }
        guard Int64(found) == size, sha256.count == 32 else {
            throw .damaged(path: path, cause: "it has \(found) bytes, and \(size) were received")
        }
        given = Data(sha256)
    }

    /// What the failure of another process to append the data set means.
    public func failure(_ error: SystemCallError) -> SpoolError {
        error.isTooLong ? .tooLarge(limit: spool.configuration.maxInstance) : SpoolError(error)
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
    func digest() -> Data { given ?? Data(hasher.finalize()) }
}
