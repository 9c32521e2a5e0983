// SPDX-License-Identifier: Apache-2.0

import Platform

/// The reserve: a file without content that keeps some room on the disk.
///
/// A deletion on a full disk needs room itself, because the database writes down what it deletes. The node then gives up
/// the reserve, deletes what retention allows, and makes the reserve again.
extension Spool {
    /// Size of the reserve in bytes.
    static let reserveSize: Int64 = 8 << 20
    /// Free bytes below which a start gives up the reserve.
    private static let neededAtStart: Int64 = 4 << 20

    private var reservePath: String { path + "/reserve" }

    /// Makes the reserve, unless it exists or the disk is nearly full.
    public func keepReserve() {
        guard !FileSystem.exists(reservePath), let free = try? freeSpace(),
            free - configuration.minimumFree > 2 * Self.reserveSize
        else { return }
        do throws(SystemCallError) {
            try FileDescriptor(path: reservePath, for: .creating).allocate(Self.reserveSize)
        } catch {
            try? FileSystem.remove(reservePath)
        }
    }

    /// Gives up the reserve.
    ///
    /// - Returns: whether the disk has more room now.
    public func giveUpReserve() -> Bool {
        guard FileSystem.exists(reservePath) else { return false }
        return (try? FileSystem.remove(reservePath)) != nil
    }

    /// Gives up the reserve if the disk is too full for a start.
    ///
    /// - Returns: whether the disk is too full.
    func makesRoomAtStart() -> Bool {
        guard let free = try? freeSpace(), free < Self.neededAtStart else { return false }
        _ = giveUpReserve()
        return true
    }
}
