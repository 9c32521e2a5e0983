// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Why a call on a socket failed.
package enum SocketError: Error, Sendable, Equatable {
    /// The watchdog ended the socket, because the peer was too slow. The text names the event for which the owner
    /// waited.
    case timeout(waitingFor: String)
    /// Another thread ended the socket.
    case stopped
    /// A system call failed.
    case failed(SystemCallError)
}

/// A connected TCP socket, used by one thread and watched by ``SocketWatchdog``.
///
/// Calls block without timeouts of their own. The watchdog shuts the socket down when its deadline passes, and any
/// thread may call ``shutDown(_:)``; the blocked call then throws the reason. The descriptor is closed with the object,
/// so that a late `shutDown` cannot hit another connection that got the same number.
package final class StreamSocket: Sendable {
    /// The activity of the thread that owns the socket.
    ///
    /// The watchdog derives the limit for the peer from the activity.
    package enum Activity: Sendable, Equatable {
        /// The owner works by itself. The watchdog does not limit it.
        case working
        /// The peer has to send or take something within this time. The text names it in the error.
        case waiting(Duration, what: String)
        /// The peer is in the middle of a transfer, and has to keep up `SocketWatchdog.minimumRate`. The text names the
        /// transfer in the error.
        case moving(what: String)
    }

    private struct State {
        var activity = Activity.working
        /// When the activity or the watchdog's window began, by ``MonotonicClock``.
        var since: Duration
        /// Bytes moved since `since`.
        var moved = 0
        /// The time at which the owner began to handle received bytes; `nil` at other times.
        ///
        /// The time that the owner takes does not count against the peer.
        var pausedAt: Duration?
        /// Why the socket was ended from outside.
        var ending: SocketError?
        /// Whether the socket ends as soon as its owner waits for the peer.
        var stopsWhenIdle = false
        /// Whether the owner is inside a write, which only the end of both directions can interrupt.
        var isWriting = false
    }

    private let file: FileDescriptor
    /// The peer's address.
    package let address: IPAddress
    private let state: Mutex<State>

    /// Takes over a connected socket: makes it blocking, sets its options and has the watchdog watch it.
    package init(adopting file: FileDescriptor, address: IPAddress) {
        self.file = file
        self.address = address
        state = Mutex(State(since: MonotonicClock.now()))
        let flags = fcntl(file.number, F_GETFL)
        _ = fcntl(file.number, F_SETFL, flags & ~O_NONBLOCK)
        file.switchOn(TCP_NODELAY, at: Int32(IPPROTO_TCP))
        file.switchOn(SO_KEEPALIVE, at: SOL_SOCKET)
        SocketWatchdog.shared.watch(self)
    }

    /// The number to wait for with ``Polling``.
    ///
    /// The number stays valid as long as this object lives.
    package var descriptor: Int32 { file.number }

    // MARK: Activities and endings

    /// Tells the watchdog the new activity of the owner.
    ///
    /// The limit of the activity counts from this call.
    package func begin(_ activity: Activity) {
        let now = MonotonicClock.now()
        let stops = state.withLock { state in
            state.activity = activity
            state.since = now
            state.moved = 0
            guard state.stopsWhenIdle, state.ending == nil, case .waiting = activity else { return false }
            state.ending = .stopped
            return true
        }
        if stops { shutdown(descriptor, Int32(SHUT_RD)) }
    }

    /// Runs `body` without counting its time against the peer.
    package func pausing<Result>(_ body: () -> Result) -> Result {
        let start = MonotonicClock.now()
        state.withLock { $0.pausedAt = start }
        let result = body()
        let end = MonotonicClock.now()
        state.withLock {
            $0.pausedAt = nil
            $0.since += end - start
        }
        return result
    }

    /// Ends the current call and every later call on the socket; may be called from any thread.
    ///
    /// If the socket is shut down again, the first reason stays.
    package func shutDown(_ reason: SocketError) {
        state.withLock { if $0.ending == nil { $0.ending = reason } }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Ends the current call because the peer exceeded its limit; only ``SocketWatchdog`` and tests call this.
    ///
    /// Unless the owner is inside a write, the owner can still send the peer a last message.
    package func expire(_ reason: SocketError) {
        let direction = state.withLock { state in
            if state.ending == nil { state.ending = reason }
            return state.isWriting ? SHUT_RDWR : SHUT_RD
        }
        shutdown(descriptor, Int32(direction))
    }

    /// Ends reading as soon as the owner waits for the peer; may be called from any thread.
    ///
    /// A transfer that has begun is finished first. The owner can still write afterwards.
    package func stopWhenIdle() {
        let isIdle = state.withLock { state in
            state.stopsWhenIdle = true
            guard state.ending == nil, case .waiting = state.activity else { return false }
            state.ending = .stopped
            return true
        }
        if isIdle { shutdown(descriptor, Int32(SHUT_RD)) }
    }

    /// Whether another thread ended the socket with `.stopped`.
    package var isStopping: Bool { state.withLock { $0.ending == .stopped } }

    /// Closes the sending side.
    ///
    /// Reading goes on until the peer closes too.
    package func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Checks the socket against its limit, and begins a new window for a peer that keeps up.
    ///
    /// Only ``SocketWatchdog`` and tests call this.
    ///
    /// - Parameter now: a reading of ``MonotonicClock``.
    /// - Returns: the error with which to end the socket; `nil` if the peer is fast enough.
    package func judge(at now: Duration) -> SocketError? {
        state.withLock { state in
            // The last message to a peer that has exceeded its limit must not wait for that peer.
            if case .timeout? = state.ending, state.isWriting { return state.ending }
            guard state.ending == nil, state.pausedAt == nil else { return nil }
            switch state.activity {
            case .working:
                return nil
            case .waiting(let limit, let what):
                return now - state.since > limit ? .timeout(waitingFor: what) : nil
            case .moving(let what):
                guard now - state.since >= SocketWatchdog.window else { return nil }
                if state.moved < SocketWatchdog.minimumRate * Int(SocketWatchdog.window.components.seconds) {
                    return .timeout(waitingFor: what)
                }
                state.since = now
                state.moved = 0
                return nil
            }
        }
    }

    // MARK: Reading and writing

    /// Reads at least one byte.
    ///
    /// - Returns: the number of bytes; 0 if the peer has closed its side.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count > 0 {
                // Set again after each read, because the kernel leaves this mode by itself. Peers that use Nagle's
                // algorithm wait for each ACK.
                file.switchOn(TCP_QUICKACK, at: Int32(IPPROTO_TCP))
                let ending = state.withLock { state in
                    state.moved += count
                    return state.ending
                }
                // A peer that goes on sending after its limit has passed would otherwise be read for ever.
                if let ending, case .timeout = ending { throw ending }
                return count
            }
            let error = SystemCallError.last("recv")
            if let ending = state.withLock({ $0.ending }) { throw ending }
            if count == 0 { return 0 }
            if error.code != EINTR { throw .failed(error) }
        }
    }

    /// Reads the bytes that have arrived, without waiting.
    ///
    /// - Returns: `.end` also for a broken connection.
    package func readAvailable(into buffer: UnsafeMutableRawBufferPointer) -> FileDescriptor.ReadResult {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        if count > 0 { return .bytes(count) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .wouldBlock : .end
    }

    /// Copies the bytes that have arrived, without waiting and without taking them.
    ///
    /// - Returns: `.end` also for a broken connection.
    package func peek(into buffer: UnsafeMutableRawBufferPointer) -> FileDescriptor.ReadResult {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK))
        if count > 0 { return .bytes(count) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .wouldBlock : .end
    }

    /// The number of bytes that have arrived and that nobody has read yet.
    package var unreadBytes: Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }

    /// Sends all bytes.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(SocketError) {
        state.withLock { $0.isWriting = true }
        defer { state.withLock { $0.isWriting = false } }
        var rest = bytes
        while !rest.isEmpty {
            let count = send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                state.withLock { $0.moved += count }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
                continue
            }
            let error = SystemCallError.last("send")
            if let ending = state.withLock({ $0.ending }) { throw ending }
            if error.code != EINTR { throw .failed(error) }
        }
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
