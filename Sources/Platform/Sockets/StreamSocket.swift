// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A connected TCP socket: the node's copy of a connection, over which a receiver or a sender speaks.
///
/// No call waits for the peer. The descriptor is closed with the object, so that a late ``shutDown()`` cannot hit another
/// connection that got the same number.
package final class StreamSocket: Sendable {
    private let file: FileDescriptor
    /// The peer's address.
    package let address: IPAddress

    /// Takes over a connected socket, makes it blocking and sets its options.
    package init(adopting file: FileDescriptor, address: IPAddress) {
        self.file = file
        self.address = address
        let flags = fcntl(file.number, F_GETFL)
        _ = fcntl(file.number, F_SETFL, flags & ~O_NONBLOCK)
        file.switchOn(TCP_NODELAY, at: Int32(IPPROTO_TCP))
        file.switchOn(SO_KEEPALIVE, at: SOL_SOCKET)
    }

    /// The number to wait for with ``Polling``.
    ///
    /// The number stays valid as long as this object lives.
    package var descriptor: Int32 { file.number }

    /// Ends the connection in both directions, for every process that has it; may be called from any thread.
    package func shutDown() {
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Closes the sending side.
    ///
    /// Reading goes on until the peer closes too.
    package func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Reads the bytes that have arrived, without waiting.
    ///
    /// - Returns: `.end` also for a broken connection.
    package func readAvailable(into buffer: UnsafeMutableRawBufferPointer) -> FileDescriptor.ReadResult {
        receive(into: buffer, Int32(MSG_DONTWAIT))
    }

    /// Copies the bytes that have arrived, without waiting and without taking them.
    ///
    /// - Returns: `.end` also for a broken connection.
    package func peek(into buffer: UnsafeMutableRawBufferPointer) -> FileDescriptor.ReadResult {
        receive(into: buffer, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK))
    }

    private func receive(into buffer: UnsafeMutableRawBufferPointer, _ flags: Int32) -> FileDescriptor.ReadResult {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
        if count > 0 { return .bytes(count) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .wouldBlock : .end
    }

    /// The number of bytes that have arrived and that nobody has read yet.
    package var unreadBytes: Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }

    /// Sends bytes if the kernel takes them without waiting for the peer: the last message before the end.
    ///
    /// - Returns: whether all bytes were taken.
    @discardableResult
    package func writeAvailable(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) == $0.count
        }
    }
}

extension StreamSocket {
    /// Connects to the first of these addresses that answers.
    ///
    /// Blocks.
    ///
    /// - Parameters:
    ///   - addresses: at least one.
    ///   - port: the TCP port.
    ///   - limit: the time for each address.
    ///   - isStopped: called ten times per second. The attempt ends once it returns true.
    /// - Throws: the error of the last address.
    package convenience init(
        connectingTo addresses: [IPAddress], port: UInt16, within limit: Duration, isStopped: () -> Bool
    ) throws(SystemCallError) {
        precondition(!addresses.isEmpty, "a connection needs an address")
        var last = SystemCallError(call: "connect", code: EADDRNOTAVAIL)
        for address in addresses {
            do throws(SystemCallError) {
                let file = try FileDescriptor(streamSocketFor: address.family)
                try Self.connect(file.number, to: address, port: port, within: limit, isStopped: isStopped)
                self.init(adopting: file, address: address)
                return
            } catch {
                last = error
            }
        }
        throw last
    }

    private static func connect(
        _ descriptor: Int32, to address: IPAddress, port: UInt16, within limit: Duration, isStopped: () -> Bool
    ) throws(SystemCallError) {
        if address.withSocketAddress(port: port, { Glibc.connect(descriptor, $0, $1) }) == 0 { return }
        guard errno == EINPROGRESS else { throw .last("connect") }
        let deadline = MonotonicClock.now() + limit
        while MonotonicClock.now() < deadline, !isStopped() {
            var entries = [PollEntry(descriptor, writing: true)]
            guard Polling.wait(&entries, atMost: .milliseconds(100)) else { continue }
            var result: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result, &length)
            guard result == 0 else { throw SystemCallError(call: "connect", code: result) }
            return
        }
        throw SystemCallError(call: "connect", code: isStopped() ? ECANCELED : ETIMEDOUT)
    }
}

extension FileDescriptor {
    /// Makes a TCP socket that does not block and that child processes do not inherit.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`.
    /// - Throws: the error of socket(2).
    convenience init(streamSocketFor family: Int32) throws(SystemCallError) {
        let number = socket(
            family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .last("socket") }
        self.init(owning: number)
    }

    /// Switches a socket option on.
    func switchOn(_ option: Int32, at level: Int32) { setOption(option, at: level, to: 1) }

    /// Sets a socket option that holds an integer.
    func setOption(_ option: Int32, at level: Int32, to value: Int32) {
        var value = value
        setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}
