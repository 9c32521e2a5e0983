// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc
import Synchronization

/// The reason why nothing more comes from a child over its channel.
package enum ChannelError: Error, Sendable, Equatable {
    /// The child closed its end, which also happens when it ends, or another thread called `hangUp`.
    case closed
    /// No whole message came in time.
    case timeout
    /// The child announced a message that is longer than the limit.
    case tooLong(bytes: Int)
}

/// A child process whose standard input is a connected Unix stream socket, the channel.
///
/// A message on the channel is a length (u32, little endian, without itself) and that many bytes. A descriptor can travel
/// with a message to the child.
///
/// One thread at a time sends and receives. Any thread may call ``hangUp()`` and ``kill()``.
package final class ChannelProcess: Sendable {
    /// Bytes of the longest message that is received.
    package static let longestMessage = 16 << 20

    package let processID: Int32
    private let channel: FileDescriptor
    private let ending = Mutex<ChildProcess.Ending?>(nil)
    /// Bytes that were received and not taken yet.
    ///
    /// Only the thread that receives uses them.
    private let received = Mutex<[UInt8]>([])

    /// Starts a program as the leader of a process group of its own.
    ///
    /// The child inherits only the channel. Its signals are at their defaults, and what it prints is dropped, because it
    /// may hold patient data.
    ///
    /// - Parameters:
    ///   - executable: a path; `PATH` is not searched.
    ///   - arguments: without the program's name.
    ///   - environment: all variables of the child.
    /// - Throws: ``SpawnError`` with the error of socketpair(2) or posix_spawn(3).
    package init(
        executable: String, arguments: [String], environment: [String: String]
    ) throws(SpawnError) {
        do throws(SystemCallError) {
            var ends: [Int32] = [-1, -1]
            guard cplatform_channel(&ends) == 0 else { throw .last("socketpair") }
            let (own, childs) = (FileDescriptor(owning: ends[0]), FileDescriptor(owning: ends[1]))
            let dropped = try FileDescriptor(path: "/dev/null", for: .writing)
            processID = try ChildProcess.spawn(
                [executable] + arguments, environment: environment, descriptors: [childs, dropped, dropped])
            channel = own
        } catch {
            throw SpawnError(executable: executable, cause: error)
        }
    }

    deinit { kill() }

    /// The number to wait for with ``Polling``.
    package var descriptor: Int32 { channel.number }

    /// Sends a message.
    ///
    /// - Parameters:
    ///   - message: with its length in front.
    ///   - descriptor: the child gets a copy of it with the first byte; negative for none. The caller keeps it open until
    ///     the call returns.
    /// - Throws: the error of sendmsg(2), for instance because the child has ended.
    package func send(_ message: [UInt8], with descriptor: Int32 = -1) throws(SystemCallError) {
        var done = 0
        while done < message.count {
            let count = message.withUnsafeBytes { bytes in
                cplatform_send(
                    channel.number, bytes.baseAddress.map { $0 + done }, bytes.count - done,
                    done == 0 ? descriptor : -1)
            }
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw .last("sendmsg")
            }
        }
    }

    /// Waits for the next message.
    ///
    /// - Parameter deadline: a reading of ``MonotonicClock``; `nil` waits for ever.
    /// - Returns: the message without its length; at least one byte.
    /// - Throws: the reason why no message came.
    package func receive(until deadline: Duration? = nil) throws(ChannelError) -> [UInt8] {
        var bytes = received.withLock { buffer in
            defer { buffer = [] }
            return buffer
        }
        defer { received.withLock { $0 = bytes } }
        while true {
            if bytes.count >= 4 {
                let length = bytes[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
                guard (1...Self.longestMessage).contains(length) else { throw .tooLong(bytes: length) }
                if bytes.count >= 4 + length {
                    let message = Array(bytes[4..<(4 + length)])
                    bytes.removeFirst(4 + length)
                    return message
                }
            }
            if let deadline {
                let rest = deadline - MonotonicClock.now()
                var entries = [PollEntry(channel.number, reading: true)]
                guard rest > .zero, Polling.wait(&entries, atMost: rest) else { throw .timeout }
            }
            var part = [UInt8](repeating: 0, count: 16 << 10)
            let count = part.withUnsafeMutableBytes { recv(channel.number, $0.baseAddress, $0.count, 0) }
            if count > 0 {
                bytes += part[..<count]
            } else if count == 0 || errno != EINTR {
                throw .closed
            }
        }
    }

    /// Closes the channel in both directions, so that a blocked `receive` throws and the child ends by itself.
    package func hangUp() { shutdown(channel.number, Int32(SHUT_RDWR)) }

    /// Kills the whole process group and reaps the child.
    ///
    /// Later calls return the same ending.
    @discardableResult
    package func kill() -> ChildProcess.Ending {
        ending.withLock { ending in
            if let ending { return ending }
            let found = ChildProcess.end(processID)
            ending = found
            return found
        }
    }
}
