// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform

/// The reason why the spool does not have room for the instances of one more association.
public struct RoomShortage: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes that are free on the spool's file system; `nil` if the system does not say.
    public let free: Int64?
    /// Bytes that must stay free: `spool.minimumFree`.
    public let minimumFree: Int64
    /// Size of the largest instance, in bytes: `spool.maxInstance`.
    public let maxInstance: Int64
    /// Open associations that may store, the new one included.
    public let associations: Int

    public var description: String {
        let needed = "\(associations) x \(Self.size(maxInstance)) for the largest instance of each association"
        guard let free else { return "the free space of the spool's disk is not known" }
        return
            "\(Self.size(free)) are free on the spool's disk; \(Self.size(minimumFree)) must stay free, and \(needed) "
            + "must fit above; free disk space, or lower spool.minimumFree or spool.maxInstance"
    }

    fileprivate static func size(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
}

extension Spool {
    /// Checks whether one more association may be accepted.
    ///
    /// The largest accepted instance must fit above the minimum free space for each open association and the new one.
    ///
    /// - Parameter openAssociations: associations that may store already.
    /// - Throws: the figures, if there is no room.
    public func checkRoom(openAssociations: Int) throws(RoomShortage) {
        let free = try? freeSpace()
        let (needed, overflow) = configuration.maxInstance.multipliedReportingOverflow(by: Int64(openAssociations) + 1)
        if let free, !overflow, free - configuration.minimumFree >= needed { return }
        throw RoomShortage(
            free: free, minimumFree: configuration.minimumFree, maxInstance: configuration.maxInstance,
            associations: openAssociations + 1)
    }
}

extension SpoolConfiguration {
    /// The size in bytes of the file system that holds the spool, or will hold it; `nil` if it is not known.
    package var diskSize: Int64? {
        // The folder, or the nearest folder above it that exists.
        var url = URL(fileURLWithPath: path).standardizedFileURL
        while url.path != "/", !FileSystem.exists(url.path) { url.deleteLastPathComponent() }
        return try? FileSystem.totalSpace(url.path)
    }

    /// The reason why the node could never accept an association on a disk of this size; `nil` if it could.
    package func impossibility(diskSize: Int64) -> String? {
        let (needed, overflow) = minimumFree.addingReportingOverflow(maxInstance)
        if !overflow, needed <= diskSize { return nil }
        return "the disk of \(path) has \(RoomShortage.size(diskSize)) in all, less than spool.minimumFree "
            + "(\(RoomShortage.size(minimumFree))) and spool.maxInstance (\(RoomShortage.size(maxInstance))) together, "
            + "so every association would be rejected; lower one of them, or choose another spool.path"
    }
}
