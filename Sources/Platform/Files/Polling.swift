// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc

/// One descriptor of a poll(2) call.
public struct PollEntry: Sendable {
    fileprivate var entry: pollfd

    /// Makes an entry that waits for something to read, or for room to write.
    ///
    /// - Parameters:
    ///   - descriptor: poll(2) ignores a negative number.
    ///   - reading: waits for something to read, or for the end.
    ///   - writing: waits for room to write.
    public init(_ descriptor: Int32, reading: Bool = false, writing: Bool = false) {
        entry = pollfd(fd: descriptor, events: Int16((reading ? POLLIN : 0) | (writing ? POLLOUT : 0)), revents: 0)
    }

    /// Whether the descriptor can be read or written now, or has an error.
    public var isReady: Bool { entry.revents != 0 }
}

/// Waits for descriptors.
public enum Polling {
    /// Waits until an entry is ready or the time is over.
    ///
    /// - Parameters:
    ///   - entries: the descriptors; `isReady` of each is set by the call.
    ///   - limit: `nil` waits for ever. A limit of more than an hour counts as an hour, so the caller must check again
    ///     after the call.
    /// - Returns: whether an entry is ready.
    @discardableResult
    public static func wait(_ entries: inout [PollEntry], atMost limit: Duration?) -> Bool {
        let milliseconds = limit.map { Int32((min(max($0, .zero), .seconds(3600)) / .milliseconds(1)).rounded(.up)) }
        let count = entries.withUnsafeMutableBytes { bytes in
            // A PollEntry has the layout of a pollfd, which is its only stored property.
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

    /// Becomes ready to read when ``ring()`` is called.
    public var descriptor: Int32 { event.number }

    /// Wakes the waiting thread, now or at its next wait.
    ///
    /// May be called from any thread; does not block.
    public func ring() {
        var one: UInt64 = 1
        // The write fails only if the counter is full. A full counter is ready to read already.
        _ = Glibc.write(event.number, &one, 8)
    }

    /// Resets the descriptor, so that the next ``ring()`` makes it ready again.
    public func clear() {
        var count: UInt64 = 0
        _ = Glibc.read(event.number, &count, 8)
    }
}
