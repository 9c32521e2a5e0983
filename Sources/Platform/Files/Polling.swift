// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc

/// One descriptor of a poll(2) call.
public struct PollEntry: Sendable {
    fileprivate var entry: pollfd

    /// Waits for something to read, or for room to write.
    ///
    /// - Parameters:
    ///   - descriptor: a negative number is passed over.
    ///   - reading: waits for something to read, or for the end.
    ///   - writing: waits for room to write.
    public init(_ descriptor: Int32, reading: Bool = false, writing: Bool = false) {
        entry = pollfd(fd: descriptor, events: Int16((reading ? POLLIN : 0) | (writing ? POLLOUT : 0)), revents: 0)
    }

    /// Whether a read, a write or an error can be taken now.
    public var isReady: Bool { entry.revents != 0 }
}

/// Waits for descriptors.
public enum Polling {
    /// Waits until an entry is ready or the time is over.
    ///
    /// - Parameters:
    ///   - entries: the descriptors; each tells afterwards whether it is ready.
    ///   - limit: `nil` waits for ever. An hour is the longest wait: the caller looks again after it.
    /// - Returns: whether an entry is ready.
    @discardableResult
    public static func wait(_ entries: inout [PollEntry], atMost limit: Duration?) -> Bool {
        let milliseconds = limit.map { Int32((min(max($0, .zero), .seconds(3600)) / .milliseconds(1)).rounded(.up)) }
        let count = entries.withUnsafeMutableBytes { bytes in
            // A PollEntry is a pollfd and nothing else.
            let descriptors = bytes.bindMemory(to: pollfd.self)
            return poll(descriptors.baseAddress, nfds_t(descriptors.count), milliseconds ?? -1)
        }
        if count <= 0 { for place in entries.indices { entries[place].entry.revents = 0 } }
        return count > 0
    }
}

/// Wakes a thread that waits in ``Polling``.
public final class WakeUp: Sendable {
    private let event: FileDescriptor

    /// - Throws: the error of eventfd(2), for instance if no descriptor is left.
    public init() throws(SystemCallError) {
        let number = cplatform_event()
        guard number >= 0 else { throw .last("eventfd") }
        event = FileDescriptor(owning: number)
    }

    /// Becomes ready to read with ``ring()``.
    public var descriptor: Int32 { event.number }

    /// Wakes the waiting thread, now or at its next wait.
    ///
    /// May be called from any thread; does not block.
    public func ring() {
        var one: UInt64 = 1
        // A full counter is ready already.
        _ = Glibc.write(event.number, &one, 8)
    }

    /// Makes ready for the next ring.
    public func clear() {
        var count: UInt64 = 0
        _ = Glibc.read(event.number, &count, 8)
    }
}
