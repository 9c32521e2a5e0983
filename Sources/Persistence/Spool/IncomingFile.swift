// SPDX-License-Identifier: Apache-2.0

import Platform
import Foundation

/// The file of an instance while it arrives: bytes go to disk while the data set is hashed.
///
/// Belongs to the association's thread. Ends with ``Journal/commit(_:_:)``, or with ``discard()``, which leaves nothing
/// behind; an instance that is let go without either is discarded.
public final class IncomingFile {
    /// Relative to the spool.
    let folder: String
    let name: String
    private let spool: Spool
    let descriptor: Int32
    private var hasher = SHA256()
    private var settled = false
    /// Bytes in the file, header included.
    public private(set) var size: Int64 = 0
    /// Where the data set begins in the file.
    private(set) var headerSize: Int64 = 0
    private var checkedRoomAt: Int64 = 0

    /// How often free space is looked at again while a large instance arrives, in bytes.
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

    /// The absolute path.
    public var path: String { spool.absolute(stored) }
    var stored: String { folder + "/" + name }

    private static func checkRoom(_ spool: Spool) throws(SpoolError) {
        let free = try spool.freeSpace()
        if free < spool.configuration.minimumFree { throw .full(cause: "\(free) bytes are free") }
    }

    /// Writes the Part 10 header, before any data set byte: it is not part of the hash.
    public func writeHeader(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        try write(bytes)
        headerSize = size
    }

    /// Writes and hashes bytes of the data set as received.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        try write(bytes)
        hasher.update(bufferPointer: bytes)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SpoolError) {
        let limit = spool.configuration.maxInstance
        guard size + Int64(bytes.count) <= limit else { throw .tooLarge(limit: limit) }
        if size - checkedRoomAt >= Self.roomInterval {
            try Self.checkRoom(spool)
            checkedRoomAt = size
        }
        do { try spool.calls.write(descriptor, bytes) } catch { throw SpoolError(error) }
        size += Int64(bytes.count)
    }

    /// Removes the file. Does nothing after a commit that stored it.
    public func discard() {
        guard !settled else { return }
        settle()
        try? spool.calls.remove(path)
    }

    /// Closes the file and lets it be.
    func settle() {
        settled = true
        close(descriptor)
    }

    /// The SHA-256 of the data set, 32 bytes.
    func digest() -> Data { Data(hasher.finalize()) }
}
